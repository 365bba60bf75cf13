"""From an envelope ``{"code", "message", "data"}`` to a result, or to the error that it tells of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from mfa_middleware.client.answers import Parse, reader
from mfa_middleware.client.authing.errors import AuthingError, MFARequired
from mfa_middleware.client.authing.results import LoggedIn, UserMFA
from mfa_middleware.client.errors import UnexpectedAnswer
from mfa_middleware.client.results import Result

T = TypeVar("T")
_MFA_REQUIRED = 1635


@dataclass(frozen=True)
class _Answer(Result):
    """An envelope, which has a ``code``; or an answer of GraphQL, whose errors have an envelope for their message."""

    code: int | None = None
    message: str | None = None
    data: object = None
    recovery_code: str | None = None
    errors: tuple[_GraphQLError, ...] | None = None


@dataclass(frozen=True)
class _GraphQLError:
    message: _Answer | str


_read = reader(_Answer)


def data_of(response: httpx2.Response) -> Mapping[str, object]:
    """The ``data`` of an app's answer to a login, REST or GraphQL.

    :raises MFARequired: when the login is held.
    :raises AuthingError: for another ``code`` than 200: the password is wrong, say.
    """
    return _mapping(response, _opened(response))


def _opened(response: httpx2.Response) -> _Answer:
    answer = _read(response)
    for error in answer.errors or ():
        raise _error(response, error.message)
    if answer.code not in (None, HTTPStatus.OK):
        raise _error(response, answer)
    return answer


def _mapping(response: httpx2.Response, answer: _Answer) -> Mapping[str, object]:
    if not isinstance(answer.data, Mapping):
        raise UnexpectedAnswer(response)
    return answer.data


def _error(response: httpx2.Response, told: _Answer | str) -> AuthingError:
    if isinstance(told, str):  # the app's own GraphQL may say it so
        return AuthingError(response.status_code, 0, told)
    kind = MFARequired if told.code == _MFA_REQUIRED else AuthingError
    return kind(response.status_code, told.code or 0, told.message or "", told.data)


# ----------------------------------------------------------------------------------------------- parsers of operations


def done(response: httpx2.Response) -> None:
    """Nothing but that it went well."""
    _enveloped(response)


def data(kind: type[T]) -> Parse[T]:
    """What an envelope holds, as that kind."""
    return _fitting(kind, lambda response: _enveloped(response).data)


def logged_in(response: httpx2.Response) -> LoggedIn:
    """The user of the released login, and the new recovery code beside."""
    answer = _enveloped(response)
    return LoggedIn(_mapping(response, answer), answer.recovery_code or "")


def confirmed(response: httpx2.Response) -> LoggedIn | None:
    """The released login, where the binding was demanded by one."""
    return logged_in(response) if isinstance(_enveloped(response).data, Mapping) else None


def graphql(name: str) -> Parse[UserMFA | None]:
    """What the field of that name answers."""

    def field(response: httpx2.Response) -> object:
        return _mapping(response, _opened(response)).get(name)

    fitting = _fitting(UserMFA, field)
    return lambda response: None if field(response) is None else fitting(response)


def _enveloped(response: httpx2.Response) -> _Answer:
    answer = _opened(response)
    if answer.code is None:
        raise UnexpectedAnswer(response)
    return answer


def _fitting(kind: type[T], pick: Callable[[httpx2.Response], object]) -> Parse[T]:
    adapter = TypeAdapter(kind)

    def parse(response: httpx2.Response) -> T:
        picked = pick(response)
        try:
            return adapter.validate_python(picked)
        except ValidationError:
            raise UnexpectedAnswer(response) from None  # what does not fit may be a secret

    return parse

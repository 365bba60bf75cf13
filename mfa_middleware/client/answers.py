"""From a response to a result, or to the error that it tells of. No input or output."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from mfa_middleware.client.errors import ClientError, Refused, UnexpectedAnswer
from mfa_middleware.client.results import Challenge, Prepared, Problem

T = TypeVar("T")
Parse = Callable[[httpx2.Response], T]

_CHALLENGES = ("mfa_required", "mfa_enrolment_required")
_REFUSED_LOGINS = ("login_not_held", "misconfigured", "unavailable", "cross_origin")
_PROOF = "mfa_assurance="


def reader(kind: type[T]) -> Parse[T]:
    """Reads a body as that kind, whatever its status.

    :raises UnexpectedAnswer: from nothing, since what does not fit may be a secret.
    """
    adapter = TypeAdapter(kind)

    def read(response: httpx2.Response) -> T:
        try:
            return adapter.validate_json(response.content)
        except ValidationError:
            raise UnexpectedAnswer(response) from None

    return read


_problem = reader(Problem)
_challenge = reader(Challenge)
_document = reader(dict[str, object])


def result(kind: type[T]) -> Parse[T]:
    """The parser of an operation that answers with that kind."""
    read = reader(kind)

    def parse(response: httpx2.Response) -> T:
        if not response.is_success:
            raise refusal(response)
        return read(response)

    return parse


def nothing(response: httpx2.Response) -> None:
    """The parser of an operation that answers 204: at a wrong path an app's own page may stand, with 200."""
    if response.status_code != HTTPStatus.NO_CONTENT:
        raise refusal(response)


def released(response: httpx2.Response) -> httpx2.Response:
    """The app's own login answer, or that a step-up succeeded.

    A held login may have any status and body. It is known by the proof that comes with every released one.
    """
    if not any(one.startswith(_PROOF) for one in response.headers.get_list("set-cookie")):
        raise refusal(response)
    return response


def prepared(response: httpx2.Response) -> Prepared:
    """What a factor has prepared; the names beside ``factor`` are that factor's own."""
    if not response.is_success:
        raise refusal(response)
    shown = _document(response)
    factor = shown.pop("factor", None)
    if not isinstance(factor, str):
        raise UnexpectedAnswer(response)
    return Prepared(factor, shown)


def challenge_of(response: httpx2.Response) -> Challenge | None:
    """The challenge in an app's answer to a login; None when the answer is the app's own.

    :raises Refused: when the login was neither held nor let through (``LoginNotHeld``, ``Unavailable``, …).
    """
    problem = _problem_in(response)
    if problem is None:
        return None
    if problem.code in _CHALLENGES:
        return _challenge(response)
    if problem.code in _REFUSED_LOGINS and problem.trace_id:
        raise refusal(response)
    return None


def refusal(response: httpx2.Response) -> ClientError:
    """The error that a response tells of."""
    problem = _problem_in(response)
    if problem is None:
        return UnexpectedAnswer(response)
    return Refused.by_code.get(problem.code, Refused)(problem)


def _problem_in(response: httpx2.Response) -> Problem | None:
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/problem+json":
        return None
    try:
        problem = _problem(response)
    except UnexpectedAnswer:
        return None  # a problem of the app's own shape
    after = response.headers.get("retry-after", "")
    seconds = int(after) if re.fullmatch("[0-9]{1,9}", after) else problem.retry_after
    return replace(problem, status=response.status_code, retry_after=seconds)

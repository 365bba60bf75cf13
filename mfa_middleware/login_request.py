"""``MFA_LOGIN_EXCEPT``: requests to a login's path that are none, by a field as ``grant_type=refresh_token``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import parse_qsl

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.passage import Message, Receive, Scope
from mfa_middleware.settings import split

Fields = Sequence[tuple[str, object]]

_LARGEST_BODY = 65_536


def parse_exceptions(text: str) -> tuple[tuple[str, str], ...]:
    """The ``(field, value)`` pairs in a value of ``MFA_LOGIN_EXCEPT``.

    :raises ConfigurationError: for one that is not ``field=value``.
    """
    pairs = tuple(part.partition("=") for part in split(text))
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise ConfigurationError("MFA_LOGIN_EXCEPT must be field=value, as in grant_type=refresh_token.")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


async def is_excepted(exceptions: Sequence[tuple[str, str]], scope: Scope, receive: Receive) -> tuple[bool, Receive]:
    """Whether the body says that this is no login, and a ``receive`` that gives the app the same messages.

    It must have exactly one such field with that very value. What does not parse, or is too large, is a login.
    """
    messages: list[Message] = []
    body = b""
    while True:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body") or len(body) > _LARGEST_BODY:
            break
    unread = iter(messages)

    async def again() -> Message:
        return next(unread, None) or await receive()

    whole = len(body) <= _LARGEST_BODY
    kinds = [value for name, value in scope["headers"] if name.lower() == b"content-type"]
    fields, other = _fields(kinds[0].decode("latin-1"), body) if whole and len(kinds) == 1 else ((), ())
    return any(
        [value for name, value in fields if name == field] == [wanted] and field not in {name for name, _ in other}
        for field, wanted in exceptions
    ), again


def _fields(content_type: str, body: bytes) -> tuple[Fields, Fields]:
    """The fields as the content type says, and as an app might read them that does not look at it."""
    form, document = _form(body), _object(body)
    match content_type.partition(";")[0].strip().lower():
        case "application/x-www-form-urlencoded":
            return form, document
        case "application/json":
            return document, form
        case _:
            return (), ()


def _form(body: bytes) -> Fields:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return ()


def _object(body: bytes) -> Fields:
    try:
        pairs: object = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return ()
    return pairs if isinstance(pairs, _Pairs) else ()


class _Pairs(list[tuple[str, object]]):
    """A JSON object as pairs: a name that stands there twice must not be lost."""

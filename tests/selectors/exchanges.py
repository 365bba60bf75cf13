"""Logins and requests as selectors see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mfa_middleware import Settings
from mfa_middleware.cookies import CookieNames
from mfa_middleware.passage import PASSAGE, Passage
from mfa_middleware.selectors import (
    LoginExchange,
    LoginSelectors,
    Place,
    RequestExchange,
    RequestSelectors,
    parse_selectors,
)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers nothing."""


def scope_of(headers: Mapping[str, str] | None = None, **more: object) -> dict[str, Any]:
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return {
        "type": "http",
        "method": "POST",
        "path": "/login",
        "headers": fields,
        "root_path": "",
        "query_string": b"",
        **more,
    }


def login_exchange(
    body: object = b"",
    response: Mapping[str, str] | None = None,
    *,
    request: Mapping[str, str] | None = None,
    declared: bool = True,
    app: Any = nothing,
    **scope: object,
) -> LoginExchange:
    """A response: its body (bytes as they are, anything else as JSON), and the fields of both sides."""
    whole = scope_of(request, **scope)
    passage = whole[PASSAGE] = Passage(app, whole, lambda: None)
    names = CookieNames(("session",))
    exchange = LoginExchange(whole, Place.of(whole), passage, declared=declared, session_cookies=names)
    exchange.status = 200
    exchange.headers = tuple((name.encode(), value.encode("latin-1")) for name, value in (response or {}).items())
    exchange.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return exchange


async def login_user(text: str, exchange: LoginExchange, **given: object) -> str | None:
    """Whom ``MFA_LOGIN_USER`` finds in that response."""
    return await LoginSelectors(parse_selectors("MFA_LOGIN_USER", text, Settings(**given))).user(exchange)


async def request_user(text: str, scope: dict[str, Any], **given: object) -> str | None:
    """Whom ``MFA_REQUEST_USER`` finds in that request."""
    selectors = RequestSelectors("MFA_REQUEST_USER", parse_selectors("MFA_REQUEST_USER", text, Settings(**given)))
    return await selectors.user(RequestExchange(scope, None))

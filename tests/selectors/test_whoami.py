"""``whoami:`` asks the app itself, with what a client would have after the response."""

from __future__ import annotations

import asyncio
import json

import pytest

from mfa_middleware import LoginNotHeld
from tests.selectors.exchanges import login_exchange, login_user

WHOAMI = "whoami:/me?full=1#/user/id"


class Me:
    """An app that says who sends a session's cookie or a bearer token."""

    def __init__(
        self, *, status: int = 200, body: bytes | None = None, hangs: bool = False, known: str = "NEW"
    ) -> None:
        self.status, self.body, self.hangs, self.known = status, body, hangs, known
        self.scopes: list[dict] = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        assert (await receive())["body"] == b""
        if self.hangs:
            await asyncio.Event().wait()
        headers = dict(scope["headers"])
        known = (
            f"session={self.known}".encode() in headers.get(b"cookie", b"")
            or headers.get(b"authorization") == b"Bearer T"
        )
        body = self.body if self.body is not None else json.dumps({"user": {"id": "alice" if known else None}}).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"set-cookie", b"rolled=1")]})
        await send({"type": "http.response.body", "body": body})


SIGNED_IN = {"set-cookie": "session=NEW; Path=/"}


async def test_who_has_the_new_cookie_is_who_logs_in_and_what_the_app_sets_then_is_held_too():
    app = Me()
    exchange = login_exchange(b"ok", SIGNED_IN, app=app)
    assert await login_user(WHOAMI, exchange) == "alice"
    assert (b"set-cookie", b"rolled=1") in exchange.extra_cookies


async def test_who_has_the_new_bearer_is_who_logs_in():
    assert await login_user(WHOAMI, login_exchange({"data": {"access_token": "T"}}, app=Me())) == "alice"


async def test_a_failed_login_is_nobody_s():
    assert await login_user(WHOAMI, login_exchange(b"wrong password", app=Me())) is None


async def test_the_inner_request_is_a_clean_get_of_that_path():
    app = Me()
    request = {
        "cookie": "a=1",
        "range": "bytes=0-1",
        "if-none-match": "x",
        "accept-encoding": "gzip",
        "content-length": "5",
        "x-kept": "1",
        "host": "app.example",
    }
    await login_user(
        WHOAMI, login_exchange(b"ok", SIGNED_IN, request=request, app=app, extensions={"http.response.push": {}})
    )
    scope = app.scopes[0]
    assert (scope["method"], scope["path"], scope["query_string"], scope["extensions"]) == ("GET", "/me", b"full=1", {})
    headers = dict(scope["headers"])
    assert headers[b"cookie"] == b"a=1; session=NEW"
    assert headers[b"x-kept"] == b"1"
    assert not {b"range", b"if-none-match", b"accept-encoding", b"content-length"} & set(headers)


async def test_an_app_that_hangs_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(hangs=True)), engine_timeout=0.05)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_app_that_does_not_say_is_a_doubt(status):
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(status=status)))


@pytest.mark.parametrize("status", [401, 403, 302])
async def test_an_app_that_turns_the_client_away_says_nobody(status):
    assert await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(status=status))) is None


async def test_what_is_no_json_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(body=b"<html>")))


async def test_an_answer_without_end_is_a_doubt():
    with pytest.raises(LoginNotHeld):
        await login_user(WHOAMI, login_exchange(b"ok", SIGNED_IN, app=Me(body=b" " * 2000)), held_response_limit=1024)


async def test_a_login_in_a_session_that_the_client_had_is_refused():
    exchange = login_exchange(b"ok", request={"cookie": "session=OLD"}, app=Me(known="OLD"))
    with pytest.raises(LoginNotHeld) as refused:
        await login_user(WHOAMI, exchange)
    assert "MFA_SESSION_COOKIE" in refused.value.reason

"""Rule 1, held means held: credentials of the attacker's own, in other spellings, names and readings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mfa_middleware import mark_login
from tests.rules.apps import RIGHT, SECRET, WITH_COOKIE, Case, checked, fields_of, token_for
from tests.rules.asgi_client import http_scope
from tests.rules.conftest import Wrapped

BY_ASKING = {"login_user": "whoami:/me#/user", "request_user": "whoami:/me#/user"}
ON_THE_SERVER = [case for case in WITH_COOKIE if not case.inside and case.naive_falls]
KNOWN = "0bc123def456abc123def456abc12345"
OPAQUE = "an-opaque-token-0123456789"


def _app(login: Callable[[Request], Any], me: Callable[[Request], str | None] = lambda request: None) -> Starlette:
    async def who(request: Request) -> Response:
        user = me(request)
        return JSONResponse({"user": user}, 200 if user else 401)

    return Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", who)])


@pytest.mark.parametrize("own", [[("x-api-key", "bob's")], [("cookie", "api_auth=bobs")]], ids=["header", "cookie"])
async def test_a_second_credential_of_one_s_own_does_not_speak_for_the_login(own: Any, wrapped: Wrapped):
    """The app prefers it when asked who that is: bob, who needs no factor, while the response signs alice in."""

    async def login(request: Request) -> Response:
        response = JSONResponse({"ok": checked(await fields_of(request)) is not None})
        response.set_cookie("session", "a-session-of-alice-0123456789")
        return response

    def me(request: Request) -> str | None:
        if "x-api-key" in request.headers or "api_auth" in request.cookies:
            return "bob"
        return "alice" if "session" in request.cookies else None

    answer = await wrapped(_app(login, me), **BY_ASKING).client().post("/login", json=RIGHT, headers=own)
    assert answer.code == "login_not_held"
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("spelt", ['"\\060' + KNOWN[1:] + '"', "%30" + KNOWN[1:], f'"{KNOWN}"', KNOWN], ids=repr)
@pytest.mark.parametrize("case", ON_THE_SERVER, ids=str)
async def test_no_spelling_of_a_known_id_frees_its_session_in_gate(case: Case, spelt: str, wrapped: Wrapped):
    """The app reads the id out of it and sends it back plainly: that is not a new one."""
    site = wrapped(case, session_mode="gate")
    await site.login(site.client(), raw_cookies=[f"{case.cookie}={spelt}"])
    assert await site.client(cookies={case.cookie: KNOWN}).who() is None


async def test_in_gate_a_stream_from_before_the_login_ends_with_it(wrapped: Wrapped, monkeypatch: pytest.MonkeyPatch):
    """Server-sent events, opened anonymously, in the session that somebody then signs in."""
    monkeypatch.setattr("mfa_middleware.gate._SECONDS_BETWEEN_LOOKS", 0.0)
    sent: list[Any] = []
    case = next(one for one in ON_THE_SERVER if one.name == "starsessions")
    site = wrapped(case, session_mode="gate")
    inner = site.app.app  # type: ignore[attr-defined]

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/stream":
            await inner(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello nobody", "more_body": True})
        await site.login(site.client(cookies={case.cookie: KNOWN}))
        await send({"type": "http.response.body", "body": b"private mail of alice", "more_body": True})

    site.app.app = streaming  # type: ignore[attr-defined]

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = http_scope("GET", "/stream")
    scope["headers"] = [*scope["headers"], (b"cookie", f"{case.cookie}={KNOWN}".encode())]
    await site.app(scope, receive, send)
    assert b"".join(one.get("body", b"") for one in sent) == b"hello nobody"


async def test_in_gate_a_request_with_many_session_cookies_loses_them_all(wrapped: Wrapped):
    """Browsers send one or two; each would be a row in the database."""
    case = next(one for one in ON_THE_SERVER if one.name == "litestar-server")
    site = wrapped(case, session_mode="gate")
    answer = await site.login(site.client(), raw_cookies=[f"{case.cookie}={number:032}" for number in range(2000)])
    assert answer.code == "mfa_required"
    await site.nobody_is_in()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"a=": "&grant_type=refresh_token&b=", "grant_type": "password"}, ["application/x-www-form-urlencoded"]),
        ({"grant_type": "refresh_token"}, ["application/json", "application/x-www-form-urlencoded"]),
    ],
    ids=["a form that is JSON", "two content types"],
)
async def test_a_body_that_can_be_read_in_two_ways_is_no_exception(body: Any, kind: list[str], wrapped: Wrapped):
    async def login(request: Request) -> Response:
        user = checked(json.loads(await request.body()))
        return JSONResponse({"access_token": token_for(user)} if user else {"error": "wrong"}, 200 if user else 401)

    by_token = {"login_user": "jwt:/access_token#sub", "request_user": "bearer:sub", "app_jwt_key": SECRET}
    site = wrapped(_app(login), login_except="grant_type=refresh_token", **by_token)
    headers = [("content-type", one) for one in kind]
    answer = await site.client().post("/login", content=json.dumps(body | RIGHT).encode(), headers=headers)
    assert answer.code == "mfa_required"


@pytest.mark.parametrize("name", ["t", "accessToken", "data"])
async def test_an_opaque_token_is_found_under_any_name(name: str, wrapped: Wrapped):
    """A client of GraphQL chooses it, and an app may have its own."""

    async def login(request: Request) -> Response:
        return JSONResponse({"ok": {name: OPAQUE}} if checked(await fields_of(request)) else {"error": "wrong"})

    def me(request: Request) -> str | None:
        return "alice" if request.headers.get("authorization") == f"Bearer {OPAQUE}" else None

    site = wrapped(_app(login, me), **BY_ASKING)
    answer = await site.client().post("/login", json=RIGHT)
    assert answer.code == "mfa_required"
    assert OPAQUE.encode() not in answer.body
    assert (await site.client().post("/login", json={"username": "alice", "password": "?"})).json == {"error": "wrong"}


async def test_a_token_without_the_user_beside_it_is_refused_where_json_looks_for_the_user(wrapped: Wrapped):
    async def login(request: Request) -> Response:
        return JSONResponse({"data": {"login": {"access_token": OPAQUE}}})

    site = wrapped(_app(login), login_user="json:/data/login/user", request_user="header:X-User")
    answer = await site.client().post("/login", json=RIGHT)
    assert answer.code == "login_not_held"


async def test_marking_one_request_as_no_login_opens_no_other(wrapped: Wrapped):
    """What the app says of one request is of that one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/impersonate":
            mark_login(scope, None)
        await PlainTextResponse(token_for("alice"))(scope, receive, send)

    site = wrapped(app, login_user="mark, jwt:/access_token#sub", request_user="header:X-User")
    assert (await site.client().post("/impersonate")).status == 200
    assert (await site.client().post("/login", json=RIGHT)).code == "login_not_held"


@pytest.mark.parametrize("name", ["жук".encode(), b"=?utf-8?b?0LbRg9C6?="], ids=["UTF-8", "RFC 2047"])
async def test_a_name_that_no_header_field_carries_plainly_is_refused(name: bytes, wrapped: Wrapped):
    """Read as latin-1 it would be somebody else, who has no factor."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-user", name), (b"set-cookie", b"session=signed-in")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    site = wrapped(app, login_user="header:X-User", request_user="header:X-User")
    answer = await site.client().post("/login", json=RIGHT)
    assert answer.code == "login_not_held"


async def test_a_user_who_is_called_none_is_a_user(wrapped: Wrapped):
    """Not to be taken for nobody, who stood in the session before."""
    scope_session: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user_id"] = "None"
        await PlainTextResponse("welcome")(scope, receive, send)

    site = wrapped(app, login_user="session:user_id", enrolment="required")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await site.app({**http_scope("POST", "/login"), "session": scope_session}, None, send)
    assert sent[0]["status"] == 401
    assert scope_session == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_ordinary_answer_of_a_declared_path_passes_however_many_ids_it_has(method: str, wrapped: Wrapped):
    """A profile at the path where one logs in, or what else is asked of GraphQL."""
    profile = {"id": KNOWN, "items": [{"id": f"item-number-{number:020}"} for number in range(20)]}

    async def session(request: Request) -> Response:
        return JSONResponse(profile)

    async def me(request: Request) -> Response:
        return JSONResponse({"user": None}, 401)

    app = Starlette(routes=[Route("/login", session, methods=["GET", "POST"]), Route("/me", me)])
    assert (await wrapped(app, **BY_ASKING).client().request(method, "/login")).json == profile

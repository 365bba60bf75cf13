"""Rule 1, held means held: whatever the form of a login's request and response, and whatever fails on the way."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mfa_middleware import mark_login
from mfa_middleware.errors import LoginNotHeld
from tests.rules.apps import CASES, RIGHT, SECRET, WRONG, checked, fields_of, starlette_signed, starsessions, token_for
from tests.rules.asgi_client import App, Client, exchange, http_scope
from tests.rules.conftest import Site, Wrapped

BY_JSON = {"login_user": "json:/user", "request_user": "bearer:sub", "app_jwt_key": SECRET}
BY_JWT = BY_JSON | {"login_user": "jwt:/access_token#sub"}
JSON = [(b"content-type", b"application/json")]
ALICE = json.dumps({"user": "alice", "access_token": "the-token"}).encode()
EVERY_EXTENSION = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "http.response.push": {},
    "http.response.debug": {},
    "tls": {"server_cert": None},
}


def answering(*messages: Any) -> App:
    """A bare app that sends these messages at /login, and raises what is an exception among them."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(dict(message))

    return app


def start(status: int = 200, headers: Sequence[tuple[bytes, bytes]] = tuple(JSON), **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes | bytearray | memoryview = ALICE, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, **more}


async def _nothing_left(site: Site, *, status: int = 500) -> None:
    answer = await site.client().post("/login", json=RIGHT)
    assert answer.status == status
    assert b"the-token" not in repr(answer.messages).encode()


# --------------------------------------------------------------------------------------------- requests of every form

MULTIPART = (
    b'--x\r\ncontent-disposition: form-data; name="username"\r\n\r\nalice\r\n'
    b'--x\r\ncontent-disposition: form-data; name="password"\r\n\r\nwonderland\r\n--x--\r\n'
)


@pytest.mark.parametrize("form", ["json", "form", "multipart", "query"])
@pytest.mark.parametrize(
    "case", [one for one in CASES if one.name.startswith(("starlette", "starsessions", "fastapi"))], ids=str
)
async def test_credentials_in_any_form_are_a_login(case: Any, form: str, wrapped: Wrapped):
    site = wrapped(case)
    client = site.client()
    match form:
        case "json" | "form":
            answer = await client.post("/login", **{form: RIGHT})
        case "multipart":
            kind = [("content-type", "multipart/form-data; boundary=x")]
            answer = await client.post("/login", content=MULTIPART, headers=kind)
        case _:
            answer = await client.post("/login?username=alice&password=wonderland")
    assert answer.code == "mfa_required"
    await site.nobody_is_in()


async def _graphql(request: Request) -> Response:
    """Something like GraphQL: one or many operations in one request, errors as 200."""
    asked = await request.json()
    answers = [
        {"data": {"login": {"token": token_for(user), "id": user}}}
        if (user := checked(one["variables"]))
        else {"data": None}
        for one in (asked if isinstance(asked, list) else [asked])
    ]
    return JSONResponse(answers if isinstance(asked, list) else answers[0])


GRAPHQL = Starlette(routes=[Route("/graphql", _graphql, methods=["POST"])])
POINTERS = "json:/data/login/id, json:/0/data/login/id, json:/1/data/login/id"
BOB = {"username": "bob", "password": "builder"}


@pytest.mark.parametrize(
    ("logins", "code"),
    [
        ([RIGHT], "mfa_required"),
        ([RIGHT, RIGHT], "mfa_required"),
        ([RIGHT, BOB], "login_not_held"),
        ([BOB, RIGHT], "login_not_held"),
        ([WRONG, RIGHT], "mfa_required"),
        ([RIGHT, WRONG], "mfa_required"),
    ],
)
async def test_a_batch_of_logins_is_one_user_s_or_is_refused(logins: list[Any], code: str, wrapped: Wrapped):
    site = wrapped(GRAPHQL, **BY_JSON | {"login_user": POINTERS, "login": "POST /graphql"})
    client = site.client()
    answer = await client.post("/graphql", json=[{"query": "…", "variables": one} for one in logins])
    assert answer.code == code
    assert client.bearers == []


async def test_a_single_graphql_login_is_held_and_its_error_passes(wrapped: Wrapped):
    site = wrapped(GRAPHQL, **BY_JSON | {"login_user": POINTERS, "login": "POST /graphql"})
    assert (await site.client().post("/graphql", json={"variables": RIGHT})).code == "mfa_required"
    assert (await site.client().post("/graphql", json={"variables": WRONG})).json == {"data": None}


@pytest.mark.parametrize(
    "content",
    [
        b"grant_type=password&username=alice&password=wonderland",
        b"grant_type=refresh_token&grant_type=password&username=alice&password=wonderland",
        b"grant_type=password&username=alice&password=wonderland&grant_type=refresh_token",
        b"grant_type=refresh_token;grant_type=password&username=alice&password=wonderland",
        b"x=1;grant_type=password&grant_type=refresh_token&username=alice&password=wonderland",
        b"grant_type=refresh_token&x=1;grant_type=password&username=alice&password=wonderland",
        b"grant_type=refresh_token&grant%5ftype=password&username=alice&password=wonderland",
        b"grant_type=refresh_token%00&username=alice&password=wonderland",
        b"grant_type=refresh_token&grant_type&username=alice&password=wonderland",
        b"&" * 70000 + b"grant_type=refresh_token&username=alice&password=wonderland",
    ],
)
async def test_no_body_that_logs_in_looks_like_the_exception(content: bytes, wrapped: Wrapped):
    """``MFA_LOGIN_EXCEPT`` on an endpoint that goes by the field itself."""

    async def token(request: Request) -> Response:
        form = await request.form()
        user = checked(form) if form.get("grant_type") == "password" else None
        return JSONResponse({"access_token": token_for(user)} if user else {"refreshed": True})

    app = Starlette(routes=[Route("/token", token, methods=["POST"])])
    site = wrapped(app, **BY_JWT | {"login": "POST /token", "login_except": "grant_type=refresh_token"})
    client = site.client()
    await client.post("/token", content=content, headers=[("content-type", "application/x-www-form-urlencoded")])
    assert client.bearers == []


# ------------------------------------------------------------------------------------------- responses of every form


@pytest.mark.parametrize("status", [200, 201, 204, 302, 307, 400, 401, 403, 404, 418, 500, 503])
@pytest.mark.parametrize("inside", [True, False])
async def test_a_login_is_held_whatever_its_status(status: int, inside: bool, wrapped: Wrapped):
    """A view that signs in and then answers "password expired", or fails."""

    async def login(request: Request) -> Response:
        request.session["user_id"] = "alice"
        return Response(status_code=status)

    def build(wrap: Any = None) -> App:
        inner = [Middleware(wrap)] if wrap else []
        return Starlette(
            routes=[Route("/login", login, methods=["POST"])],
            middleware=[Middleware(SessionMiddleware, secret_key=SECRET), *inner],
        )

    site = wrapped(build if inside else build(), inside=inside, login_user="session:user_id")
    client = site.client()
    answer = await site.login(client)
    assert answer.code == "mfa_required"
    assert client.cookies == {}


async def test_a_view_that_signs_in_and_raises_signs_nobody_in(wrapped: Wrapped):
    def build(wrap: Any) -> App:
        async def login(request: Request) -> Response:
            request.session["user_id"] = "alice"
            raise RuntimeError("after the sign-in")

        return Starlette(
            routes=[Route("/login", login, methods=["POST"])],
            middleware=[
                Middleware(SessionMiddleware, secret_key=SECRET),
                Middleware(_answers_errors),
                Middleware(wrap),
            ],
        )

    site = wrapped(build, inside=True, login_user="session:user_id")
    client = site.client()
    answer = await site.login(client)
    assert answer.status == 500
    assert client.cookies == {}


def _answers_errors(app: App) -> App:
    """Stands between the session middleware and ours, and makes answers of what is raised."""

    async def answering_errors(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except RuntimeError:
            await Response("oh", 500)(scope, receive, send)

    return answering_errors


SPLITS = [
    [body(ALICE[:10], more_body=True), body(ALICE[10:])],
    [body(bytes([one]), more_body=True) for one in ALICE] + [body(b"")],
    [body(b"", more_body=True), body(ALICE, more_body=True), body(b"", more_body=False)],
    [body(bytearray(ALICE))],
    [body(memoryview(ALICE))],
]


@pytest.mark.parametrize("parts", SPLITS)
async def test_a_streamed_login_is_held(parts: list[Any], wrapped: Wrapped):
    site = wrapped(answering(start(), *parts), **BY_JSON)
    await _nothing_left(site, status=401)


REFUSED: dict[str, list[Any]] = {
    "never finished": [start(), body(more_body=True)],
    "no body at all": [start()],
    "trailers announced": [start(trailers=True), body()],
    "pathsend": [start(), {"type": "http.response.pathsend", "path": "/the-token"}],
    "zerocopysend": [start(), {"type": "http.response.zerocopysend", "file": 1, "note": "the-token"}],
    "something new": [start(), {"type": "http.response.tomorrow", "body": b"the-token"}],
    "over the limit": [start(), body(b" " * 2_000_000 + ALICE)],
    "over the limit in parts": [start(), *[body(ALICE + b" " * 1000, more_body=True)] * 2000, body()],
    "LF in a header": [start(headers=[(b"x", b"a\nset-cookie: the-token")]), body()],
    "CR in a header's name": [start(headers=[(b"x\rset-cookie", b"the-token")]), body()],
    "NUL in a header": [start(headers=[(b"set-cookie", b"a=the-token\0")]), body()],
    "a coding that hides it": [start(headers=[*JSON, (b"content-encoding", b"br")]), body()],
    "gzip that is none": [start(headers=[*JSON, (b"content-encoding", b"gzip")]), body()],
    "a user who is a list": [start(), body(b'{"user": ["alice"], "access_token": "the-token"}')],
    "a user who is a float": [start(), body(b'{"user": 1.0, "access_token": "the-token"}')],
    "a user with NUL": [start(), body(b'{"user": "alice\\u0000", "access_token": "the-token"}')],
    "a user who is half a character": [start(), body(b'{"user": "\\ud800", "access_token": "the-token"}')],
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_login_that_cannot_be_held_is_refused(what: str, wrapped: Wrapped):
    await _nothing_left(wrapped(answering(*REFUSED[what]), **BY_JSON))


MULTI_MEMBER = gzip.compress(ALICE[:9]) + gzip.compress(ALICE[9:])
UNREADABLE: dict[str, list[Any]] = {
    "nested too deep to parse": [start(), body(ALICE[:-1] + b', "echo": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")],
    "a number too long to parse": [start(), body(ALICE[:-1] + b', "echo": ' + b"1" * 5000 + b"}")],
    "JSON in latin-1": [start(), body('{"user": "alice", "access_token": "the-token", "n": "\xe9"}'.encode("latin-1"))],
    "gzip in two members": [start(headers=[*JSON, (b"content-encoding", b"gzip")]), body(MULTI_MEMBER)],
    "gzip twice": [
        start(headers=[*JSON, (b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")]),
        body(gzip.compress(gzip.compress(ALICE))),
    ],
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_response_that_says_it_is_json_and_cannot_be_read_is_no_way_round(what: str, wrapped: Wrapped):
    """An app that echoes something of the request can be made to answer so, and its client may read more than we."""
    site = wrapped(answering(*UNREADABLE[what]), **BY_JSON)
    answer = await site.client().post("/login", json=RIGHT)
    assert answer.code in ("mfa_required", "login_not_held")


async def test_a_response_that_starts_twice_is_refused(wrapped: Wrapped):
    twice = [start(headers=[(b"x-user", b"alice"), (b"set-cookie", b"session=the-token")]), start(204, []), body(b"")]
    site = wrapped(answering(*twice), login_user="whoami:/me#/user", request_user="user")
    answer = await site.client().post("/login", json=RIGHT)
    assert b"the-token" not in repr(answer.messages).encode()


async def test_an_app_that_raises_after_the_start_of_its_login_lets_nothing_out(wrapped: Wrapped):
    site = wrapped(answering(start(), body(more_body=True), RuntimeError("broken")), **BY_JSON)
    answer = await site.client().post("/login", json=RIGHT)
    assert isinstance(answer.error, RuntimeError)
    assert answer.messages == []


async def test_a_response_without_end_lets_nothing_out(wrapped: Wrapped):
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(more_body=True))
        await asyncio.sleep(3600)

    site = wrapped(endless, **BY_JSON)
    answer = await exchange(site.app, http_scope("POST", "/login"), seconds=0.2)
    assert answer.messages == []


@pytest.mark.parametrize(
    ("method", "status", "coding", "data"),
    [
        ("HEAD", 200, b"br", b""),
        ("HEAD", 200, b"gzip", b""),
        ("POST", 303, b"br", b""),
        ("POST", 303, b"gzip", b""),
        ("POST", 303, b"gzip", gzip.compress(b"")),
        ("POST", 200, b"gzip", gzip.compress(b"")),
    ],
    ids=["HEAD, br", "HEAD, gzip", "a redirect, br", "a redirect, gzip", "a redirect, a gzip of nothing", "nothing"],
)
async def test_an_answer_without_a_body_is_no_login_whatever_its_coding(
    method: str, status: int, coding: bytes, data: bytes, wrapped: Wrapped
):
    """Some servers name the coding that a body would have."""
    fields = [(b"content-encoding", coding), (b"x-app", b"1")]
    site = wrapped(answering(start(status, fields), body(data)), **BY_JWT)
    answer = await site.client().request(method, "/login", json=RIGHT)
    assert (answer.status, answer.headers, answer.body) == (status, fields, data)
    assert site.told.names == []


async def test_a_gzipped_login_is_held_and_its_release_can_be_read(wrapped: Wrapped):
    async def login(request: Request) -> Response:
        return JSONResponse({"user": "alice", "access_token": "the-token", "padding": "x" * 2000})

    app = Starlette(routes=[Route("/login", login, methods=["POST"])], middleware=[Middleware(GZipMiddleware)])
    for accepted in ("gzip", "", "br"):
        site = wrapped(app, **BY_JSON)
        client = site.client()
        challenge = await site.login(client, headers=[("accept-encoding", "gzip")])
        assert challenge.code == "mfa_required"
        released = await site.verify(client, challenge, headers=[("accept-encoding", accepted)])
        plain = gzip.decompress(released.body) if released.header("content-encoding") == "gzip" else released.body
        assert json.loads(plain)["access_token"] == "the-token"
        assert (released.header("content-encoding") == "gzip") == (accepted == "gzip")


async def test_a_file_as_a_login_s_answer_is_held_whatever_the_server_offers(tmp_path: Path, wrapped: Wrapped):
    file = tmp_path / "answer.json"
    file.write_bytes(ALICE)
    seen: list[Any] = []

    async def login(request: Request) -> Response:
        seen.append(request.scope.get("extensions"))
        return FileResponse(file)

    site = wrapped(Starlette(routes=[Route("/login", login, methods=["POST"])]), **BY_JSON)
    answer = await site.login(site.client(), extensions=EVERY_EXTENSION)
    assert answer.code == "mfa_required"
    assert seen == [{"tls": {"server_cert": None}}]


async def test_a_file_as_the_answer_of_an_undeclared_login_is_refused(tmp_path: Path, wrapped: Wrapped):
    file = tmp_path / "the-token"
    file.write_bytes(ALICE)

    def build(wrap: Any) -> App:
        async def magic(request: Request) -> Response:
            request.session["user_id"] = "alice"
            return FileResponse(file)

        return Starlette(
            routes=[Route("/magic", magic)],
            middleware=[Middleware(SessionMiddleware, secret_key=SECRET), Middleware(wrap)],
        )

    site = wrapped(build, inside=True, login_user="session:user_id")
    client = site.client()
    answer = await client.get("/magic", extensions=EVERY_EXTENSION)
    assert answer.code == "login_not_held"
    assert client.cookies == {}


async def test_the_release_is_the_login_byte_for_byte(wrapped: Wrapped):
    """Several cookies, mixed case, latin-1; hop-by-hop fields go, cookies without a path get that of the login."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"X-Name", "Zoë".encode("latin-1")),
        (b"set-cookie", b"b=2; HttpOnly"),
        (b"Connection", b"close, x-hop"),
        (b"X-Hop", b"gone"),
        (b"Keep-Alive", b"timeout=5"),
        (b"SET-COOKIE", b"a=3; Path=/app"),
        (b"Location", b"welcome"),
    ]
    site = wrapped(answering(start(headers=headers), body()), **BY_JSON | {"login": "POST /v1/login"})
    client = site.client()
    released = await site.verify(client, await site.login(client, "/v1/login"))
    assert released.body == ALICE
    assert [pair for pair in released.headers if not pair[1].startswith((b"mfa_", b'"mfa_'))][:6] == [
        (b"Content-Type", b"application/json"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"X-Name", "Zoë".encode("latin-1")),
        (b"set-cookie", b"b=2; HttpOnly; Path=/v1"),
        (b"SET-COOKIE", b"a=3; Path=/app"),
        (b"Location", b"/v1/welcome"),
    ]
    names = [name.lower() for name, _ in released.headers]
    assert not {b"connection", b"x-hop", b"keep-alive"} & set(names)
    assert (b"content-length", b"%d" % len(ALICE)) in released.headers
    assert (b"cache-control", b"no-store") in released.headers


async def test_the_user_s_header_field_is_for_the_middleware_alone(wrapped: Wrapped):
    """``header:NAME`` is stripped from responses, and from requests, where anybody could have written it."""
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value for name, value in scope["headers"] if name == b"x-user")
        await Response(headers={"X-User": "bob", "X-Other": "1"})(scope, receive, send)

    site = wrapped(app, login_user="header:X-User", request_user="header:X-User")
    answer = await site.login(site.client(), headers=[("X-User", "alice")])
    assert answer.header("x-other") == "1"
    assert answer.header("x-user") is None
    assert seen == []


@pytest.mark.parametrize("held", [True, False])
async def test_background_tasks_run_exactly_once(held: bool, wrapped: Wrapped):
    runs: list[str] = []

    async def login(request: Request) -> Response:
        user = checked(await fields_of(request))
        return JSONResponse({"user": user}, background=BackgroundTask(runs.append, str(user)))

    site = wrapped(Starlette(routes=[Route("/login", login, methods=["POST"])]), **BY_JSON)
    client = site.client()
    answer = await client.post("/login", json=RIGHT if held else BOB)
    if held:
        assert (await site.verify(client, answer)).json == {"user": "alice"}
    assert runs == ["alice" if held else "bob"]


async def test_the_app_is_called_once_for_a_login_and_its_release(wrapped: Wrapped):
    calls: list[str] = []

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        await answering(start(), body())(scope, receive, send)

    site = wrapped(spy, **BY_JSON)
    client = site.client()
    await site.verify(client, await site.login(client))
    assert calls == ["/login"]


async def test_a_head_login_gives_no_cookie(wrapped: Wrapped):
    site = wrapped(starlette_signed(), login="* /login", login_user="whoami:/me#/user", request_user="whoami:/me#/user")
    client = site.client()
    answer = await client.request("HEAD", "/login?username=alice&password=wonderland")
    assert answer.status == 401
    assert client.cookies == {}


# ----------------------------------------------------------------------------------------------------------- marking


def _marking(user: Any, *, path: str = "/magic") -> App:
    async def magic(request: Request) -> Response:
        try:
            mark_login(request.scope, user)
        except LoginNotHeld as error:
            return JSONResponse({"raised": str(error)}, 409)
        response = JSONResponse({"ok": True})
        response.set_cookie("session", "of-alice-and-long-enough")
        return response

    return Starlette(routes=[Route(path, magic, methods=["GET", "POST"])])


async def test_a_marked_login_at_an_undeclared_path_is_held(wrapped: Wrapped):
    site = wrapped(_marking("alice"), login_user="mark")
    client = site.client()
    answer = await client.post("/magic")
    assert answer.code == "mfa_required"
    assert client.cookies == {}


@pytest.mark.parametrize("cookie", ["session=x", "a=b; session =x", "a=b, session=x", "session-0=x"])
async def test_marking_raises_where_the_login_could_not_be_held(cookie: str, wrapped: Wrapped):
    site = wrapped(_marking("alice"), login_user="mark")
    answer = await site.client().post("/magic", raw_cookies=[cookie])
    assert answer.status == 409
    assert "MFA_LOGIN" in answer.json["raised"]


async def test_marking_raises_without_the_selector_and_without_a_middleware(wrapped: Wrapped):
    site = wrapped(_marking("alice"), login_user="header:X-User", request_user="header:X-User")
    assert (await site.client().post("/magic")).status == 409
    assert (await Client(_marking("alice")).post("/magic")).status == 409


async def test_marking_raises_after_the_response_has_started(wrapped: Wrapped):
    raised: list[bool] = []

    async def magic(request: Request) -> Response:
        async def stream() -> Any:
            yield b"a"
            try:
                mark_login(request.scope, "alice")
            except LoginNotHeld:
                raised.append(True)

        return StreamingResponse(stream())

    site = wrapped(Starlette(routes=[Route("/magic", magic)]), login_user="mark")
    await site.client().get("/magic")
    assert raised == [True]


async def test_marked_as_no_login_it_is_none(wrapped: Wrapped):
    site = wrapped(_marking(None), login_user="mark, header:X-User", request_user="header:X-User")
    assert (await site.client().post("/magic")).json == {"ok": True}


@pytest.mark.parametrize("build", [starlette_signed, starsessions])
async def test_the_anonymous_session_is_as_it_was_while_the_login_is_held(build: Any, wrapped: Wrapped):
    site = wrapped(build, inside=True, login_user="session:user_id")
    client = site.client()
    await client.get("/visit")
    before = (await client.get("/me")).json
    await site.login(client)
    assert (await client.get("/me")).json == before == {"user": None, "cart": {"items": ["tea"]}}


async def test_marking_by_a_method_that_is_not_declared_raises_where_a_session_cookie_came(wrapped: Wrapped):
    """Its session cookie is not stripped, so that such a login could not be held."""
    site = wrapped(_marking("alice", path="/login"), login_user="mark")
    answer = await site.client().get("/login", raw_cookies=["session=known-before-the-login"])
    assert answer.status == 409
    assert "MFA_LOGIN" in answer.json["raised"]


async def test_marking_in_a_websocket_raises(wrapped: Wrapped):
    raised: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(LoginNotHeld):
            mark_login(scope, "alice")
        raised.append(True)

    site = wrapped(app, login_user="mark")
    await site.app({**http_scope("GET", "/ws"), "type": "websocket"}, None, None)
    assert raised == [True]


async def test_a_message_that_the_app_uses_again_passes_as_it_was_sent(wrapped: Wrapped):
    """A wrong password's answer, streamed through one dict and one buffer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(401, []))
        buffer = bytearray(b"abc")
        message = body(buffer, more_body=True)
        await send(message)
        buffer[:] = b"def"
        await send(message)
        message |= {"body": b"", "more_body": False}
        await send(message)

    heard = b""

    async def hear(message: Any) -> None:
        nonlocal heard
        heard += bytes(message.get("body", b""))

    await wrapped(app, **BY_JSON).app(http_scope("POST", "/login"), None, hear)
    assert heard == b"abcdef"

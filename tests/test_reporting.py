"""``MFA_REPORT``: from outside, a login at an undeclared path is told of, and nothing is changed by it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from mfa_middleware import MFA, MFAMiddleware, Settings, mark_login
from mfa_middleware.events import LoginNotDeclared
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing import VirtualAuthenticator
from tests.rules import apps
from tests.rules.asgi_client import App, Client, exchange, http_scope
from tests.world import Listener, Plugin

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ASKS = {"login_user": "whoami:/me#/user", "request_user": "whoami:/me#/user"}
JWT = {"login_user": "jwt:/access_token#sub", "request_user": "bearer:sub", "app_jwt_key": apps.SECRET}


class Site:
    """A wrapped app, with ``alice`` who has a factor, and what it told."""

    def __init__(self, middleware: MFAMiddleware, listener: Listener) -> None:
        self.middleware = middleware
        self.listener = listener

    def client(self) -> Client:
        return Client(self.middleware)

    @property
    def told(self) -> list[tuple[str | None, str]]:
        return [(one.user_id, one.path) for one in self.listener.events if isinstance(one, LoginNotDeclared)]


Wrapped = Callable[..., Any]


@pytest.fixture
async def wrapped() -> AsyncIterator[Wrapped]:
    made: list[MFA] = []

    async def wrap(app: App, **values: Any) -> Site:
        listener = Listener()
        settings = Settings(**{"database_url": "sqlite://", "report": True} | values)
        middleware = MFAMiddleware(app, settings=settings, plugins=[Plugin(listeners=(listener,))])
        made.append(middleware.mfa)
        await middleware.mfa.import_secret("alice", ImportedSecret("totp", SECRET))
        return Site(middleware, listener)

    yield wrap
    for one in made:
        await one.close()


async def _reset(request: Request) -> Response:
    user = request.query_params.get("user", "alice")
    return JSONResponse({"nested": {"token": "opaque"}, "access_token": apps.token_for(user)})


async def _me(request: Request) -> Response:
    return JSONResponse({"user": apps.user_of_bearer(request.headers)})


async def _big(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"access_token": "' + apps.token_for("alice").encode() + b'", "rest": "'
        yield b"x" * 5000
        yield b'"}'

    return StreamingResponse(parts(), media_type="application/json")


async def _marked(request: Request) -> Response:
    mark_login(request.scope, None)
    return await _reset(request)


async def _odd(request: Request) -> Response:
    return JSONResponse({"access_token": "no.jwt.at-all"})


TOKENS = Starlette(
    routes=[
        Route("/reset", _reset, methods=["GET", "POST"]),
        Route("/login", _reset, methods=["POST"]),
        Route("/me", _me),
        Route("/big", _big),
        Route("/marked", _marked),
        Route("/odd", _odd),
    ]
)


@pytest.mark.parametrize("settings", [ASKS, JWT], ids=["whoami", "jwt"])
async def test_a_token_at_an_undeclared_path_is_told_of(settings: dict[str, str], wrapped: Wrapped):
    site = await wrapped(TOKENS, **settings)
    answer = await site.client().post("/reset")
    assert answer.status == 200
    assert site.told == [("alice", "/reset")]


async def test_a_new_session_at_an_undeclared_path_is_told_of(wrapped: Wrapped):
    site = await wrapped(apps.starlette_signed(), **ASKS)
    assert (await site.client().post("/reset")).status == 303
    assert site.told == [("alice", "/reset")]


async def test_who_was_in_already_is_not_told_of_again(wrapped: Wrapped):
    """A session cookie that is set anew by every answer, and a token that a bearer exchanges for another."""
    site = await wrapped(apps.starlette_signed(), **ASKS)
    client = site.client()
    await client.post("/reset")
    await client.get("/visit")
    assert site.told == [("alice", "/reset")]
    for settings in (ASKS, JWT):
        site = await wrapped(TOKENS, **settings)
        await site.client().post("/reset", bearer=apps.token_for("alice"))
        assert site.told == []


async def test_who_becomes_somebody_else_is_told_of(wrapped: Wrapped):
    for settings in (ASKS, JWT):
        site = await wrapped(TOKENS, **settings)
        await site.client().post("/reset", bearer=apps.token_for("bob"))
        assert site.told == [("alice", "/reset")]


async def test_who_has_no_factor_is_not_told_of(wrapped: Wrapped):
    site = await wrapped(TOKENS, **ASKS)
    await site.client().post("/reset?user=bob")
    assert site.told == []


async def test_what_gives_no_credentials_is_not_asked_about(wrapped: Wrapped):
    asked: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await TOKENS(scope, receive, send)

    site = await wrapped(app, **ASKS)
    await site.client().get("/me", bearer=apps.token_for("alice"))
    assert (asked, site.told) == (["/me"], [])


async def test_a_declared_login_is_held_and_not_told_of(wrapped: Wrapped):
    site = await wrapped(TOKENS, **ASKS)
    assert (await site.client().post("/login")).code == "mfa_required"
    assert site.told == []


async def test_a_released_login_is_not_told_of_where_the_sub_app_is_mounted_by_hand():
    listener = Listener()
    settings = Settings(database_url="sqlite://", report=True, **JWT)
    mfa = MFA(settings, plugins=[Plugin(listeners=(listener,))])
    await mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    routes = [*TOKENS.routes, Mount("/mfa", app=mfa.app)]
    site = Site(MFAMiddleware(Starlette(routes=routes), mfa=mfa), listener)
    client = site.client()
    token = (await client.post("/login")).json["mfaToken"]
    code = VirtualAuthenticator(SECRET).code()
    released = await client.post("/mfa/verify", json={"mfaToken": token, "factor": "totp", "code": code})
    assert "access_token" in released.json
    assert site.told == []
    await mfa.close()


async def test_what_the_app_says_is_no_login_is_not_told_of(wrapped: Wrapped):
    site = await wrapped(TOKENS, **JWT | {"login_user": "mark, jwt:/access_token#sub"})
    assert (await site.client().get("/marked")).status == 200
    assert site.told == []


async def test_without_the_setting_nothing_is_told(wrapped: Wrapped):
    site = await wrapped(TOKENS, report=False, **ASKS)
    await site.client().post("/reset")
    assert site.told == []


async def test_inside_a_login_is_held_on_every_path_and_so_not_told_of(wrapped: Wrapped):
    listener = Listener()
    settings = Settings(
        database_url="sqlite://", report=True, login_user="session:user_id", request_user="session:user_id"
    )
    made: list[MFAMiddleware] = []

    def inside(app: App) -> App:
        made.append(MFAMiddleware(app, settings=settings, plugins=[Plugin(listeners=(listener,))]))
        return made[-1]

    app = apps.starlette_signed(inside)
    await Client(app).get("/visit")
    await made[-1].mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    assert (await Client(app).post("/reset")).code == "mfa_required"
    assert "login_not_declared" not in listener.names
    await made[-1].mfa.close()


@pytest.mark.parametrize("path", ["/reset", "/big", "/me", "/nothing"])
async def test_no_answer_is_changed(path: str, wrapped: Wrapped):
    """Message by message, as they come: the first part leaves before the second is made."""
    fields = [(b"x-run", secrets.token_hex(4).encode())]
    bare = await exchange(TOKENS, http_scope("GET", path, fields))
    site = await wrapped(TOKENS, held_response_limit=1024, **ASKS)
    watched = await exchange(site.middleware, http_scope("GET", path, fields))
    assert [one["type"] for one in watched.messages] == [one["type"] for one in bare.messages]
    shown = [[one.get("status"), one.get("more_body")] for one in watched.messages]
    assert shown == [[one.get("status"), one.get("more_body")] for one in bare.messages]
    assert len(watched.body) == len(bare.body)


async def test_a_body_over_the_limit_is_not_kept(wrapped: Wrapped):
    small = await wrapped(TOKENS, held_response_limit=1024, **JWT)
    assert len((await small.client().get("/big")).body) > 5000
    large = await wrapped(TOKENS, held_response_limit=100_000, **JWT)
    await large.client().get("/big")
    assert (small.told, large.told) == ([], [("alice", "/big")])


async def test_the_client_has_its_answer_before_anything_is_looked_at(wrapped: Wrapped):
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(f"app {scope['path']}")
        await TOKENS(scope, receive, send)

    site = await wrapped(app, **ASKS)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            seen.append("answered")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await site.middleware(http_scope("POST", "/reset"), receive, send)
    assert seen[:2] == ["app /reset", "answered"]
    assert set(seen[2:]) == {"app /me"}


@pytest.mark.parametrize("trouble", ["no such view", "a broken selector", "the database is away", "no JWT"])
async def test_trouble_of_the_report_is_not_the_clients(trouble: str, wrapped: Wrapped, monkeypatch, caplog):
    caplog.set_level("INFO", logger="mfa_middleware.reporting")
    settings = {"login_user": "whoami:/nothing#/user"} if trouble == "no such view" else {}
    site = await wrapped(TOKENS, **JWT | settings)
    parts = site.middleware.mfa.parts

    async def broken(*_: object) -> Any:
        raise RuntimeError(trouble)

    if trouble == "a broken selector":
        monkeypatch.setattr(parts.login_user, "user", broken)
    if trouble == "the database is away":
        monkeypatch.setattr(parts.core.authenticator_store, "load", broken)
    path = "/odd" if trouble == "no JWT" else "/reset"
    answer = await site.client().get(path)
    assert (answer.status, answer.error) == (200, None)
    assert site.told == []
    assert f"{path!r} could not be looked at for MFA_REPORT" in caplog.text


async def test_an_app_that_fails_fails_as_without_the_report(wrapped: Wrapped):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("of the app")

    site = await wrapped(app, **ASKS)
    answer = await site.client().get("/reset")
    assert str(answer.error) == "of the app"
    assert site.told == []

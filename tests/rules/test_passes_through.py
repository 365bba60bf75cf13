"""Rule 9, what is not ours passes through: message by message, the very same objects, as without the middleware."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mfa_middleware import MFAMiddleware, Settings
from tests.rules.apps import RIGHT, SECRET, starlette_signed
from tests.rules.asgi_client import App, Client, Message, exchange, http_scope
from tests.rules.conftest import KEY, Site, Wrapped

WATCHED = {"login_user": "mark, session:user_id"}
UNWATCHED = {"login_user": "json:/user", "request_user": "bearer:sub", "app_jwt_key": SECRET}
OFFERED: dict[str, Any] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.trailers": {},
    "http.response.early_hint": {},
}


async def _chunks() -> Any:
    for number in range(3):
        yield b"part %d" % number
        await asyncio.sleep(0)


def _cookies(_: Request) -> Response:
    response = PlainTextResponse("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/x")
    return response


async def _body_back(request: Request) -> Response:
    return Response(b"|".join([part async for part in request.stream()]))


RAN: list[str] = []
FILE = Path(__file__)
PAGES: dict[str, Callable[[Request], Any]] = {
    "plain": lambda _: PlainTextResponse("hello"),
    "empty": lambda _: Response(status_code=204),
    "json": lambda _: JSONResponse({"user": "alice"}),
    "redirect": lambda _: RedirectResponse("/elsewhere"),
    "error": lambda _: PlainTextResponse("oh", 500),
    "cookies": _cookies,
    "streaming": lambda _: StreamingResponse(_chunks()),
    "large": lambda _: Response(b"x" * 3_000_000),
    "background": lambda _: PlainTextResponse("soon", background=BackgroundTask(RAN.append, "ran")),
    "file": lambda _: FileResponse(FILE, headers={"etag": "e", "last-modified": "l"}),
    "body": _body_back,
}
PATHS = ["plain", "empty", "json", "redirect", "error", "cookies", "streaming", "large", "background", "file", "body"]


def _endpoint(answer: Callable[[Request], Any]) -> Any:
    async def endpoint(request: Request) -> Response:
        made = answer(request)
        response: Response = await made if asyncio.iscoroutine(made) else made
        return response

    return endpoint


def _pages(sessions: bool = False, inside: Any = None) -> App:
    async def login(request: Request) -> Response:
        request.session["user_id"] = "bob"
        return PlainTextResponse("welcome")

    routes = [Route(f"/{name}", _endpoint(answer), methods=["GET", "POST"]) for name, answer in PAGES.items()]
    middleware = [Middleware(SessionMiddleware, secret_key=SECRET)] if sessions else []
    middleware += [Middleware(inside)] if inside else []
    return Starlette(routes=[*routes, Route("/login", login, methods=["POST"])], middleware=middleware)


async def _messages(app: App, path: str, offered: Any, headers: Any = ()) -> list[Message]:
    scope = http_scope("POST", path, headers, extensions=offered)
    answer = await exchange(app, scope, [b"one", b"two", b""])
    assert answer.error is None
    return answer.messages


@pytest.mark.parametrize("offered", [None, {}, OFFERED], ids=["none", "empty", "all"])
@pytest.mark.parametrize("settings", [WATCHED, UNWATCHED], ids=["watched", "unwatched"])
@pytest.mark.parametrize("name", PATHS)
async def test_what_is_no_login_is_as_from_the_bare_app(name: str, settings: Any, offered: Any, wrapped: Wrapped):
    RAN.clear()
    bare = await _messages(_pages(), f"/{name}", offered)
    through = await _messages(wrapped(_pages(), **settings).app, f"/{name}", offered)
    assert through == bare
    assert [len(one.get("body", b"")) for one in through] == [len(one.get("body", b"")) for one in bare]
    assert RAN == ["ran", "ran"] or name != "background"


@pytest.mark.parametrize(
    ("name", "offered"),
    [(name, offered) for name in PATHS for offered in (None, OFFERED)],
)
async def test_inside_what_a_signed_in_user_sees_is_as_from_the_bare_app(name: str, offered: Any, wrapped: Wrapped):
    """A session that has somebody in it already makes no login of every response."""
    site = wrapped(lambda middleware: _pages(True, middleware), inside=True, **WATCHED)
    client = site.client()
    assert (await client.post("/login")).body == b"welcome"
    cookie = [(b"cookie", f"session={client.cookies['session']}".encode())]
    bare = await _messages(_pages(True), f"/{name}", offered, cookie)
    through = await _messages(site.app, f"/{name}", offered, cookie)
    # The session is looked at, and so the response varies by the cookie; nothing else may differ.
    assert [_without_vary(one) for one in through] == [_without_vary(one) for one in bare]


def _without_vary(message: Message) -> Message:
    if "headers" not in message:
        return message
    return {**message, "headers": [pair for pair in message["headers"] if pair[0] != b"vary"]}


async def test_inside_a_stream_to_a_signed_in_user_is_not_kept_until_its_end(wrapped: Wrapped):
    """Server-sent events never end; the first must arrive all the same."""

    async def events(request: Request) -> Response:
        async def stream() -> Any:
            yield b"data: 1\n\n"
            await asyncio.sleep(3600)

        return StreamingResponse(stream())

    async def login(request: Request) -> Response:
        request.session["user_id"] = "bob"
        return PlainTextResponse("welcome")

    def build(middleware: Any) -> App:
        return Starlette(
            routes=[Route("/events", events), Route("/login", login, methods=["POST"])],
            middleware=[Middleware(SessionMiddleware, secret_key=SECRET), Middleware(middleware)],
        )

    site = wrapped(build, inside=True, **WATCHED)
    client = site.client()
    await client.post("/login")
    cookie = [(b"cookie", f"session={client.cookies['session']}".encode())]
    answer = await exchange(site.app, http_scope("GET", "/events", cookie), seconds=0.3)
    assert answer.body == b"data: 1\n\n"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}],
        [{"type": "http.response.push", "path": "/a.css", "headers": []}],
        [{"type": "http.response.debug", "info": {"template": 1}}],
    ],
)
@pytest.mark.parametrize("settings", [WATCHED, UNWATCHED], ids=["watched", "unwatched"])
async def test_messages_of_every_kind_pass_as_the_very_same_objects(messages: Any, settings: Any, wrapped: Wrapped):
    sent = [
        *messages,
        {"type": "http.response.start", "status": 200, "headers": [(b"X-Mixed", b"1")], "trailers": True},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.zerocopysend", "file": object()},
        {"type": "http.response.body", "body": b"", "more_body": False},
        {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False},
        {"type": "http.response.tomorrow"},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in sent:
            await send(message)

    site = wrapped(app, **settings)
    answer = await exchange(site.app, http_scope("GET", "/anything"))
    assert [id(one) for one in answer.messages] == [id(one) for one in sent]


@pytest.mark.parametrize("kind", ["http", "websocket", "something.new"])
@pytest.mark.parametrize(("settings", "same_send"), [(WATCHED, False), (UNWATCHED, True)], ids=["watched", "unwatched"])
async def test_receive_is_the_very_same_and_send_where_nothing_watches(
    kind: str, settings: Any, same_send: bool, wrapped: Wrapped
):
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.extend([scope, receive, send])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        """Nobody listens."""

    scope = {**http_scope("GET", "/anything", extensions=OFFERED), "type": kind}
    site = wrapped(app, **settings)
    await site.app(scope, receive, send)
    assert got[0] is scope
    assert got[0]["extensions"] == OFFERED
    assert got[1] is receive
    if same_send or kind != "http":
        assert got[2] is send


async def test_what_an_app_raises_passes(wrapped: Wrapped):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("the app's own")

    for settings in (WATCHED, UNWATCHED):
        site = wrapped(app, **settings)
        for path in ("/anything", "/login"):
            answer = await exchange(site.app, http_scope("POST", path))
            assert isinstance(answer.error, KeyError)
            assert answer.messages == []


# -------------------------------------------------------------------------------------------------------- WebSockets


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="chat", headers=[(b"x", b"y")])
    await websocket.send_text(await websocket.receive_text())
    await websocket.send_bytes(await websocket.receive_bytes())
    await websocket.close(4000, "enough")


async def _reject(websocket: WebSocket) -> None:
    await websocket.close(4001)


async def _deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("no", 403))


SOCKETS = Starlette(
    routes=[WebSocketRoute("/echo", _echo), WebSocketRoute("/reject", _reject), WebSocketRoute("/deny", _deny)],
)


def websocket_scope(path: str, headers: Any = ()) -> dict[str, Any]:
    scope = http_scope("GET", path, headers, extensions={"websocket.http.response": {}})
    del scope["method"]
    return scope | {"type": "websocket", "scheme": "ws", "subprotocols": ["chat"]}


async def talk(app: App, scope: dict[str, Any], *said: dict[str, Any]) -> list[Message]:
    heard: list[Message] = []
    messages = iter([{"type": "websocket.connect"}, *said])

    async def receive() -> Message:
        return next(messages, {"type": "websocket.disconnect", "code": 1005})

    async def send(message: Message) -> None:
        heard.append(message)

    await app(scope, receive, send)
    return heard


@pytest.mark.parametrize("path", ["/echo", "/reject", "/deny", "/nowhere"])
@pytest.mark.parametrize("settings", [WATCHED, UNWATCHED], ids=["watched", "unwatched"])
@pytest.mark.parametrize("inside", [True, False])
async def test_a_websocket_talks_as_with_the_bare_app(path: str, settings: Any, inside: bool, wrapped: Wrapped):
    def build(middleware: Any = None) -> App:
        inner = middleware(SOCKETS) if middleware else SOCKETS
        return SessionMiddleware(inner, secret_key=SECRET)

    said = ({"type": "websocket.receive", "text": "hi"}, {"type": "websocket.receive", "bytes": b"\0"})
    site = wrapped(build if inside else build(), inside=inside, **settings)
    assert await talk(site.app, websocket_scope(path), *said) == await talk(build(), websocket_scope(path), *said)


@pytest.mark.parametrize("who", ["alice", ["alice"]], ids=["a user id", "what is no user id"])
@pytest.mark.parametrize("when", ["before accept", "after accept", "after the last message"])
async def test_a_websocket_that_signs_in_is_closed_and_the_session_put_back(when: str, who: object, wrapped: Wrapped):
    """Also where nobody knows whom: somebody it is."""
    sessions: list[dict[str, Any]] = []

    async def socket(websocket: WebSocket) -> None:
        if when == "before accept":
            websocket.session["user_id"] = who
        await websocket.accept()
        if when == "after accept":
            websocket.session["user_id"] = who
        await websocket.send_text("welcome")
        if when == "after the last message":
            websocket.session["user_id"] = who

    def build(middleware: Any) -> App:
        async def looking(scope: Any, receive: Any, send: Any) -> None:
            await middleware_app(scope, receive, send)
            sessions.append(dict(scope["session"]))

        middleware_app = middleware(Starlette(routes=[WebSocketRoute("/ws", socket)]))
        return SessionMiddleware(looking, secret_key=SECRET)

    site = wrapped(build, inside=True, login_user="session:user_id")
    heard = await talk(site.app, websocket_scope("/ws"))
    if when != "after the last message":
        assert heard[-1] == {"type": "websocket.close", "code": 1008}
        assert not any(one.get("text") for one in heard)
    assert sessions == [{}]
    told = [one.user_id for one in site.told.events if one.name == "login_not_held"]
    assert told == ["alice" if who == "alice" else None]


# ---------------------------------------------------------------------------------------------------------- lifespan


async def _lifespan(app: App, *, state: dict[str, Any] | None = None) -> list[Message]:
    heard: list[Message] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        heard.append(message)

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {} if state is None else state}
    await app(scope, receive, send)
    return heard


COMPLETE = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_the_app_starts_with_its_state_and_stops(wrapped: Wrapped):
    steps: list[str] = []

    async def lifespan(app: Starlette) -> Any:
        steps.append("up")
        yield {"pool": 1}
        steps.append("down")

    state: dict[str, Any] = {}
    site = wrapped(Starlette(lifespan=asynccontextmanager(lifespan)))
    assert await _lifespan(site.app, state=state) == COMPLETE
    assert (steps, state) == (["up", "down"], {"pool": 1})


async def test_an_app_that_fails_to_start_says_so(wrapped: Wrapped):
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    assert await _lifespan(wrapped(failing).app) == [{"type": "lifespan.startup.failed", "message": "no database"}]


@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_an_app_that_knows_no_lifespan_starts(how: str, wrapped: Wrapped):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert how == "returns" or scope["type"] == "http", "lifespan is not supported"

    assert await _lifespan(wrapped(app).app) == COMPLETE


async def test_a_bad_setting_stops_start_up_and_without_lifespan_every_request(wrapped: Wrapped):
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["type"])

    bad = MFAMiddleware(app, settings=Settings(secret_key=KEY, database_url="sqlite://", login_user="no-such:thing"))
    heard = await _lifespan(bad)
    assert [one["type"] for one in heard] == ["lifespan.startup.failed"]
    assert (await Client(bad).get("/anything")).status == 503
    assert (await Client(bad).post("/login", json=RIGHT)).status == 503
    assert await talk(bad, websocket_scope("/ws")) == [{"type": "websocket.close", "code": 1011}]
    assert calls == []


async def test_the_site_is_not_the_bare_app_s_shadow(wrapped: Wrapped):
    """The comparisons above would pass with no middleware at all; here is the difference that it makes."""
    site: Site = wrapped(starlette_signed(), login_user="session:user_id")
    assert (await site.login(site.client())).code == "mfa_required"
    assert (await Client(starlette_signed()).post("/login", json=RIGHT)).status == 200


@pytest.mark.parametrize("path", ["/articles", "/login"])
@pytest.mark.parametrize("session", [False, True], ids=["outside", "inside"])
async def test_a_request_leaves_nothing_that_only_the_garbage_collector_finds(path: str, session: bool):
    """Its passes stop everybody, and come the sooner the more there is to find."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"an answer"})

    wrapped = MFAMiddleware(app, settings=Settings(database_url="sqlite://", secret_key=KEY))

    async def ask(times: int) -> None:
        for _ in range(times):
            await wrapped(http_scope("POST", path) | ({"session": {}} if session else {}), nothing, nowhere)

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def nowhere(_: Message) -> None: ...

    await ask(5)
    gc.collect()
    gc.disable()
    try:
        await ask(20)
        assert gc.collect() == 0
    finally:
        gc.enable()
        await wrapped.mfa.close()

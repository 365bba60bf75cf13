"""``MFA_SESSION_MODE=gate``: a session that the client had before cannot be used until its login is released."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from mfa_middleware import MFA, MFAMiddleware, Settings, gate
from mfa_middleware.errors import Unavailable
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing import VirtualAuthenticator
from tests.rules.asgi_client import exchange, http_scope

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PASSWORDS = {"alice": "wonderland", "bob": "builder"}
SESSION = [(b"cookie", b"session=had-before-12345")]


class ServerSideApp:
    """Signs the very session in whose id the client sends, known or not, as several server-side back-ends do."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.signed_in = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.renews = False
        self.received: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        session_id = self._session_id(scope)
        if scope["type"] == "websocket":
            await self._socket(session_id, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            self.received.append(message["type"])
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"].strip("/") == "login" and scope["method"] == "POST":
            await self._login(session_id, json.loads(body), send)
        else:
            await self._answer(send, 200, {"user": self.sessions.get(session_id, {}).get("user")}, session_id)

    async def _login(self, session_id: str, form: dict[str, str], send: Any) -> None:
        session = self.sessions.setdefault(session_id, {})
        if form.get("csrf", "") != session.get("csrf", ""):
            await self._answer(send, 403, {"error": "csrf"}, session_id)
            return
        if PASSWORDS.get(form["username"]) != form["password"]:
            await self._answer(send, 401, {"error": "password"}, session_id)
            return
        if self.renews:
            del self.sessions[session_id]
            session_id = "renewed-0123456789"
        self.sessions.setdefault(session_id, {})["user"] = form["username"]
        self.signed_in.set()
        await self.go_on.wait()
        await self._answer(send, 200, {"user": form["username"]}, session_id)

    async def _socket(self, session_id: str, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": str(self.sessions.get(session_id, {}).get("user"))})

    @staticmethod
    def _session_id(scope: Any) -> str:
        cookies = dict(
            part.strip().split("=", 1)
            for name, value in scope["headers"]
            if name == b"cookie"
            for part in value.decode().split(";")
        )
        return str(cookies.get("session", f"fresh-{uuid.uuid4().hex}"))

    @staticmethod
    async def _answer(send: Any, status: int, document: Any, session_id: str) -> None:
        headers = [(b"content-type", b"application/json"), (b"set-cookie", f"session={session_id}; Path=/".encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})


class World:
    """An app behind the middleware, and clients of it."""

    def __init__(self, tmp_path: Path, mode: str = "gate", login_user: str = "whoami:/me#/user") -> None:
        self.app = ServerSideApp()
        self.settings = Settings(
            database_url=f"sqlite:///{tmp_path}/mfa.sqlite3",
            login_user=login_user,
            request_user="whoami:/me#/user",
            session_mode=mode,
        )
        self.wrapped = MFAMiddleware(self.app, settings=self.settings)
        self.mfa: MFA = self.wrapped.mfa

    def client(self, cookie: str | None = None) -> httpx2.AsyncClient:
        headers = {"cookie": cookie} if cookie else {}
        transport = httpx2.ASGITransport(self.wrapped)
        return httpx2.AsyncClient(transport=transport, base_url="http://app", headers=headers)

    async def login(self, cookie: str, password: str = "wonderland", user: str = "alice", **extra: str) -> Any:
        async with self.client(cookie) as client:
            return await client.post("/login", json={"username": user, "password": password, **extra})

    async def me(self, cookie: str, path: str = "/me") -> Any:
        async with self.client(cookie) as client:
            answer = await client.get(path)
            return answer.json().get("user", answer.status_code)

    async def verify(self, cookie: str, token: str) -> Any:
        code = VirtualAuthenticator(SECRET).code()
        async with self.client(cookie) as client:
            return await client.post("/mfa/verify", json={"mfaToken": token, "factor": "totp", "code": code})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    yield world
    await world.mfa.close()


async def test_in_strip_an_unlisted_cookie_shows_the_hole_that_gate_is_for(tmp_path: Path) -> None:
    """The attack works on the app itself: its session is signed in behind the held response. Strip names the hole."""
    world = World(tmp_path, "strip")
    world.wrapped = MFAMiddleware(world.app, settings=world.settings.model_copy(update={"session_cookie": "other"}))
    world.mfa = world.wrapped.mfa
    await world.mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    answer = await world.login("session=attacker-chosen-1")
    assert (answer.status_code, answer.json()["code"]) == (500, "login_not_held")
    assert world.app.sessions["attacker-chosen-1"] == {"user": "alice"}
    await world.mfa.close()


@pytest.mark.parametrize(
    "later",
    [
        "session=attacker-chosen-1",
        'session="attacker-chosen-1"',
        "session =attacker-chosen-1",
        "session=x; session=attacker-chosen-1",
        "session=attacker-chosen-1; session=x",
        "session=" + quote("attacker-chosen-1", safe="").replace("-", "%2D"),
        "$Version=1; session=attacker-chosen-1",
    ],
)
async def test_a_session_of_the_attackers_choosing_is_anonymous_after_a_held_login(world: World, later: str) -> None:
    """The app signed it in, and still it is nobody's: at the app and below the mount, however the cookie is spelt."""
    answer = await world.login("session=attacker-chosen-1")
    assert (answer.status_code, answer.json()["code"]) == (401, "mfa_required")
    assert world.app.sessions["attacker-chosen-1"] == {"user": "alice"}
    assert await world.me(later) is None
    assert await world.me(later, "/mfa/status") == 401


async def test_the_session_is_free_again_once_the_login_is_released(world: World) -> None:
    """Whoever proves the factor goes on in the session that the app signed in."""
    token = (await world.login("session=had-before-12345")).json()["mfaToken"]
    answer = await world.verify("session=had-before-12345", token)
    assert (answer.status_code, answer.json()) == (200, {"user": "alice"})
    assert await world.me("session=had-before-12345") == "alice"


async def test_a_csrf_token_kept_in_the_session_reaches_the_login(world: World) -> None:
    """What strip breaks, gate leaves whole."""
    world.app.sessions["with-csrf-0123456"] = {"csrf": "token"}
    answer = await world.login("session=with-csrf-0123456", csrf="token")
    assert answer.json()["code"] == "mfa_required"


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("bob", "builder")])
async def test_the_session_is_freed_when_nothing_is_held(world: World, user: str, password: str) -> None:
    """A wrong password, or a user without a factor, costs nobody a session."""
    await world.login("session=had-before-12345", password, user)
    assert await world.me("session=had-before-12345") == (None if password == "wrong" else "bob")
    answer = await world.login("session=had-before-12345", "wrong")
    assert answer.status_code == 401
    assert await world.me("session=had-before-12345") == (None if password == "wrong" else "bob")


async def test_an_app_that_renews_the_id_frees_the_old_one(world: World) -> None:
    """The new id is in the held response alone; the old one is nobody's and usable."""
    world.app.renews = True
    answer = await world.login("session=had-before-12345")
    assert answer.json()["code"] == "mfa_required"
    assert "set-cookie" not in answer.headers
    assert await world.mfa.parts.core.authenticator_store.session_blocked([], time.time()) == frozenset()
    assert await world.me("session=had-before-12345") is None
    async with world.client("session=had-before-12345") as client:
        assert (await client.get("/me")).headers["set-cookie"].startswith("session=had-before-12345")


async def test_a_request_in_the_middle_of_a_gated_login_is_nobodys(world: World) -> None:
    """The block is there before the app sees the login, so that a parallel request finds no window."""
    world.app.go_on.clear()
    login = asyncio.create_task(world.login("session=had-before-12345"))
    await world.app.signed_in.wait()
    assert world.app.sessions["had-before-12345"] == {"user": "alice"}
    assert await world.me("session=had-before-12345") is None
    world.app.go_on.set()
    assert (await login).json()["code"] == "mfa_required"
    assert await world.me("session=had-before-12345") is None


async def test_a_request_that_was_under_way_when_the_login_began_is_cut_off(world: World) -> None:
    """Who sends headers first and the body after the login gets nothing: neither the body in nor an answer out."""
    body_may_come = asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        await body_may_come.wait()
        yield b"{}"

    async with world.client("session=had-before-12345") as client:
        slow = asyncio.create_task(client.post("/transfer", content=slow_body()))
        await asyncio.sleep(0)
        assert (await world.login("session=had-before-12345")).json()["code"] == "mfa_required"
        world.app.received.clear()
        body_may_come.set()
        answer = await slow
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert world.app.received == ["http.disconnect"]


async def test_a_second_login_in_a_blocked_session_gets_a_session_of_its_own(world: World) -> None:
    """It can neither use the first one's session nor free it."""
    first = await world.login("session=had-before-12345")
    second = await world.login("session=had-before-12345", "builder", "bob")
    assert first.json()["code"] == "mfa_required"
    assert second.headers["set-cookie"].startswith("session=fresh-")
    assert await world.me("session=had-before-12345") is None


async def test_a_websocket_with_a_blocked_cookie_is_anonymous_and_an_open_one_is_closed(world: World) -> None:
    """A socket that was open before the login learns nothing by it."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope = {
        "type": "websocket",
        "path": "/ws",
        "headers": [(b"cookie", b"session=had-before-12345")],
        "root_path": "",
        "scheme": "ws",
    }
    await to_app.put({"type": "websocket.connect"})
    socket = asyncio.create_task(world.wrapped(dict(scope), to_app.get, from_app.put))
    assert (await from_app.get())["type"] == "websocket.accept"
    await world.login("session=had-before-12345")
    await to_app.put({"type": "websocket.receive", "text": "who am I?"})
    assert await from_app.get() == {"type": "websocket.close", "code": 1008}
    await socket

    sent: list[Any] = []
    incoming = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "?"}, {"type": "websocket.disconnect"}]
    )

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    await world.wrapped(dict(scope), receive, send)
    assert sent[-1] == {"type": "websocket.send", "text": "None"}


async def test_a_lost_database_is_503_for_requests_with_a_session_cookie_and_for_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then which sessions are blocked."""
    await world.mfa.open()

    async def away(*_: object, **__: object) -> frozenset[bytes]:
        raise Unavailable("database: away")

    monkeypatch.setattr(world.mfa.parts.core.authenticator_store, "session_blocked", away)
    assert await world.me("session=had-before-12345") == 503
    assert await world.me("theme=dark") is None


async def test_a_session_that_cannot_be_freed_is_503_and_nothing_of_the_app_s_answer_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the response's start tells a login here: it passes already when the session is to be freed."""
    world = World(tmp_path, login_user="mark")
    await world.mfa.open()

    async def away(*_: object) -> None:
        raise Unavailable("database: away")

    monkeypatch.setattr(world.mfa.parts.core.authenticator_store, "free_session", away)
    body = json.dumps({"username": "alice", "password": "wonderland"}).encode()
    answer = await exchange(world.wrapped, http_scope("POST", "/login", SESSION), [body])
    await world.mfa.close()
    assert answer.error is None
    assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.body"]
    assert (answer.status, answer.code) == (503, "unavailable")


class Losing:
    """A database that goes away when it is told to; before that, no session is blocked."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gone = False
        monkeypatch.setattr(world.mfa.parts.core.authenticator_store, "session_blocked", self)

    async def __call__(self, digests: object, at: float) -> frozenset[bytes]:
        if self.gone:
            raise Unavailable("database: away")
        return frozenset()


@pytest.mark.parametrize("before", ["the body is read", "the answer"])
async def test_a_database_that_is_lost_under_a_request_is_its_503(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, before: str
) -> None:
    """The app is told that its client has gone, and never of an error of ours; an event says why."""
    await world.mfa.open()
    losing, told = Losing(world, monkeypatch), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        losing.gone = before == "the body is read"
        told.append((await receive())["type"])
        losing.gone = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the app's"})

    world.wrapped.app = app
    answer = await exchange(world.wrapped, http_scope("POST", "/transfer", SESSION))
    assert answer.error is None
    assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.body"]
    assert (answer.status, answer.code) == (503, "unavailable")
    assert told == ["http.disconnect" if before == "the body is read" else "http.request"]
    told_of = [vars(one).get("mfa", {}) for one in caplog.records]
    (refused,) = [one for one in told_of if one.get("event") == "refused"]
    assert (refused["code"], refused["reason"][:9]) == ("unavailable", "database:")


async def test_a_database_that_is_lost_under_a_stream_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_SECONDS_BETWEEN_LOOKS", 0.0)
    await world.mfa.open()
    losing = Losing(world, monkeypatch)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two", b"three"):
            losing.gone = part != b"one"
            await send({"type": "http.response.body", "body": part, "more_body": part != b"three"})

    world.wrapped.app = app
    answer = await exchange(world.wrapped, http_scope("GET", "/stream", SESSION))
    assert answer.error is None
    assert [(one["body"], one["more_body"]) for one in answer.messages[1:]] == [(b"one", True), (b"", False)]


async def test_a_database_that_is_lost_under_a_websocket_closes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.mfa.open()
    losing, told, heard = Losing(world, monkeypatch), [], []
    incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "who am I?"}])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        losing.gone = True
        told.append(await receive())
        await send({"type": "websocket.send", "text": "alice"})

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        heard.append(message)

    world.wrapped.app = app
    scope = {"type": "websocket", "path": "/ws", "headers": SESSION, "root_path": "", "scheme": "ws"}
    await world.wrapped(scope, receive, send)
    assert heard == [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008}]
    assert told == [{"type": "websocket.disconnect", "code": 1008}]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "put"])
async def test_every_method_but_get_and_head_blocks(world: World, method: str) -> None:
    """A view without a guard on its method is no way round."""
    blocked: list[bytes] = []
    store = world.mfa.parts.core.authenticator_store
    make_block: Callable[..., Any] = store.block_session

    async def spy(digest: bytes, until: float, *, at: float) -> bool:
        blocked.append(digest)
        return bool(await make_block(digest, until, at=at))

    store.block_session = spy  # type: ignore[method-assign]
    async with world.client("session=had-before-12345") as client:
        await client.request(method, "/login", json={})
        assert len(blocked) == 1
        await client.get("/login")
    assert len(blocked) == 1


async def test_another_cookie_that_is_new_does_not_free_the_session_that_was_signed_in(world: World) -> None:
    """Two session cookies are declared; the app signs in one of them, and renews the other."""
    plain = world.app._answer

    async def with_another(send: Any, status: int, document: Any, session_id: str) -> None:
        async def adding(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"set-cookie", b"sessionid=brand-new-012345; Path=/"))
            await send(message)

        await plain(adding, status, document, session_id)

    world.app._answer = with_another  # type: ignore[method-assign]
    answer = await world.login("session=had-before-12345")
    assert answer.json()["code"] == "mfa_required"
    assert await world.me("session=had-before-12345") is None

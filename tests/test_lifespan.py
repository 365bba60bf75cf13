"""Start-up and shutdown: bad settings stop it, the app's own lifespan passes, no lifespan means 503."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from mfa_middleware import MFA, ConfigurationError, MFAMiddleware, Settings, Unavailable
from mfa_middleware.keyring import new_key
from mfa_middleware.management import ImportedSecret
from mfa_middleware.parts import Parts
from tests.other_loops import other_loops
from tests.world import HELD, Client, LoginApp, login

KEY = new_key()


class Server:
    """A server's side of the lifespan protocol."""

    def __init__(self, app, state=None):
        self.sent: list[dict] = []
        self._told: asyncio.Queue = asyncio.Queue()
        self._answers: asyncio.Queue = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, **({} if state is None else {"state": state})}
        self.running = asyncio.create_task(app(scope, self._told.get, self._send))

    async def _send(self, message):
        self.sent.append(message)
        await self._answers.put(message)

    async def tell(self, what):
        """Start up or shut down; the answer, or None where the app ended without one."""
        await self._told.put({"type": f"lifespan.{what}"})
        answer = asyncio.create_task(self._answers.get())
        await asyncio.wait({answer, self.running}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await asyncio.sleep(0)
        return answer.result()["type"] if answer.done() else answer.cancel() and None

    async def end(self):
        await asyncio.wait_for(self.running, 5)


async def no_lifespan(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")
    await LoginApp()(scope, receive, send)


async def ends_at_once(scope, receive, send):
    """An app that returns for what it does not know."""


class Lifespan:
    """An app with a lifespan of its own."""

    def __init__(self, fails=""):
        self.fails = fails
        self.seen: list[str] = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await LoginApp()(scope, receive, send)
            return
        for what in ("startup", "shutdown"):
            message = await receive()
            self.seen.append(message["type"])
            if what == self.fails:
                await send({"type": f"lifespan.{what}.failed", "message": "no luck"})
                return
            if what == "startup" and "state" in scope:
                scope["state"]["db"] = "open"
            await send({"type": f"lifespan.{what}.complete"})


BAD = {
    "a login that is none": {"login": "POST"},
    "an unknown selector": {"login_user": "magic:x"},
    "a selector that cannot answer": {"login_user": "user"},
    "a selector of a request that cannot answer": {"request_user": "json:/x"},
    "a pointer that is none": {"login_user": "json:x"},
    "a weak key": {"secret_key": "c2hvcnQ"},
    "a key that is not random": {"secret_key": "A" * 43},
    "a key that is no base64": {"secret_key": "!" * 43},
    "redis without a key": {"redis_url": "redis://127.0.0.1:1/0"},
    "a redis URL that does not parse": {"redis_url": "redis://h:port/0", "secret_key": KEY},
    "a key without a folder": {"database_url": "sqlite:////nonexistent/folder/x.sqlite3"},
    "a database without a folder": {"database_url": "sqlite:////nonexistent/folder/x.sqlite3", "secret_key": KEY},
    "an unknown dialect": {"dialect": "klingon"},
    "an unknown factor": {"factors": "smile"},
    "backups alone": {"factors": "recovery_code"},
    "an exception that is none": {"login_except": "grant_type"},
    "a bearer without a key": {"request_user": "bearer:sub"},
    "a key that is no PEM": {"request_user": "bearer:sub", "app_jwt_key": "-----BEGIN PUBLIC KEY-----\nx"},
    "algorithms that do not fit": {"request_user": "bearer:sub", "app_jwt_key": "k" * 32, "app_jwt_algorithms": "none"},
    "HS256 with a public key": {
        "request_user": "bearer:sub",
        "app_jwt_key": "https://x.example/jwks",
        "app_jwt_algorithms": "HS256",
    },
    "an unknown setting": {"loginn": "POST /x"},
    "a plugin's setting that does not fit": {"totp_digits": "99"},
}
QUIETLY_OFF = {
    "no selector at all": {"login_user": ","},
    "an empty selector": {"login_user": ""},
    "a body to read and no login's path": {"login": ",", "login_user": "json:/user"},
}


@pytest.fixture
async def on_file(make_mfa, settings):
    """A server on a database file."""
    return await make_mfa(database_url=settings().database_url)


async def started(app, **state):
    server = Server(app, **state)
    return server, await server.tell("startup")


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_setting_stops_start_up_with_one_sentence(settings, bad):
    server, answer = await started(MFAMiddleware(LoginApp(), settings=settings(**BAD[bad])))
    assert answer == "lifespan.startup.failed"
    message = server.sent[0]["message"]
    assert message.startswith("mfa-middleware: ")
    assert message.endswith((".", "?"))
    await server.end()
    assert len(server.sent) == 1


@pytest.mark.parametrize("bad", QUIETLY_OFF)
async def test_settings_under_which_nothing_is_ever_a_login_stop_start_up(settings, bad):
    server, answer = await started(MFAMiddleware(LoginApp(), settings=settings(**QUIETLY_OFF[bad])))
    server.running.cancel()
    assert answer == "lifespan.startup.failed"


async def test_a_database_that_is_the_root_folder_stops_start_up(settings):
    server, answer = await started(
        MFAMiddleware(LoginApp(), settings=settings(database_url="sqlite:////", secret_key=KEY))
    )
    await asyncio.gather(server.running, return_exceptions=True)
    assert answer == "lifespan.startup.failed"


async def test_a_bad_variable_stops_start_up_and_not_the_construction(monkeypatch):
    monkeypatch.setenv("MFA_TOKEN_TTL", "soon")
    server, answer = await started(MFAMiddleware(LoginApp()))
    assert answer == "lifespan.startup.failed"
    assert "MFA_TOKEN_TTL" in server.sent[0]["message"]


@pytest.mark.parametrize("bad", [bad for bad in BAD if not bad.startswith("a database")])
async def test_without_lifespan_every_request_is_503_with_the_reason_in_the_log(settings, caplog, bad):
    app = LoginApp()
    async with Client(MFAMiddleware(app, settings=settings(**BAD[bad]))) as client:
        for method, path in (("GET", "/"), ("POST", "/login"), ("GET", "/mfa/status"), ("POST", "/mfa/verify")):
            caplog.clear()
            response = await client.request(method, path)
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert response.headers["retry-after"]
            assert any("MFA_" in one.getMessage() or "factor" in one.getMessage() for one in caplog.records)
            assert "MFA_" not in response.text
    assert app.calls == 0


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.startswith("a database")])
async def test_without_lifespan_a_database_that_cannot_be_used_is_503_too(settings, bad):
    app = LoginApp()
    async with Client(MFAMiddleware(app, settings=settings(**BAD[bad]))) as client:
        for method, path in (("GET", "/mfa/status"), ("POST", "/login"), ("GET", "/")):
            assert (await client.request(method, path)).status_code == 503
    assert app.calls == 0


async def test_without_lifespan_a_database_that_cannot_be_used_lets_no_login_through(settings):
    async with Client(MFAMiddleware(LoginApp(), settings=settings(**BAD["a database without a folder"]))) as client:
        response = await client.post("/login")
    assert response.status_code >= 500
    assert "set-cookie" not in response.headers
    assert "the-app-s-token" not in response.text


async def test_without_lifespan_a_bad_setting_closes_websockets(settings):
    sent = []

    async def send(message):
        sent.append(message)

    await MFAMiddleware(LoginApp(), settings=settings(login="x"))(
        {"type": "websocket", "path": "/", "headers": []}, asyncio.Queue().get, send
    )
    assert sent == [{"type": "websocket.close", "code": 1011}]


# ---------------------------------------------------------------------------------------------------- the app's own


@pytest.mark.parametrize("app", [no_lifespan, ends_at_once])
async def test_an_app_without_lifespan_starts_and_its_lack_is_hidden(settings, app):
    middleware = MFAMiddleware(app, settings=settings())
    server, answer = await started(middleware)
    assert answer == "lifespan.startup.complete"
    assert middleware.mfa.opened
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.end()
    assert not middleware.mfa.opened


async def test_the_app_s_lifespan_and_state_pass(settings):
    app, state = Lifespan(), {"given": 1}
    middleware = MFAMiddleware(app, settings=settings())
    server, answer = await started(middleware, state=state)
    assert answer == "lifespan.startup.complete"
    assert state == {"given": 1, "db": "open"}
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.end()
    assert app.seen == ["lifespan.startup", "lifespan.shutdown"]
    assert [one["type"] for one in server.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not middleware.mfa.opened


@pytest.mark.parametrize("fails", ["startup", "shutdown"])
async def test_the_app_s_failure_passes_and_closes_the_stores(settings, fails):
    middleware = MFAMiddleware(Lifespan(fails), settings=settings())
    server, answer = await started(middleware)
    if fails == "shutdown":
        assert answer == "lifespan.startup.complete"
        answer = await server.tell("shutdown")
    assert answer == f"lifespan.{fails}.failed"
    assert server.sent[-1]["message"] == "no luck"
    await server.end()
    assert not middleware.mfa.opened


async def test_the_app_does_not_start_where_the_settings_are_bad(settings):
    app = Lifespan()
    server, _ = await started(MFAMiddleware(app, settings=settings(login="x")))
    await server.end()
    assert app.seen == []


@pytest.mark.parametrize("leaving", [asyncio.CancelledError, SystemExit])
async def test_a_start_up_that_is_cancelled_or_exits_is_not_taken_for_an_app_without_lifespan(settings, leaving):
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[dict] = []

    async def leaves(scope, receive, send):
        await receive()
        raise leaving

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    middleware = MFAMiddleware(leaves, settings=settings())
    with pytest.raises(leaving):
        await middleware({"type": "lifespan"}, receive, send)
    assert sent == []
    assert not middleware.mfa.opened


async def test_an_app_that_breaks_after_its_start_is_not_hidden(settings):
    async def breaks(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ZeroDivisionError

    middleware = MFAMiddleware(breaks, settings=settings())
    server, _ = await started(middleware)
    assert await server.tell("shutdown") is None
    with pytest.raises(ZeroDivisionError):
        await server.end()
    assert not middleware.mfa.opened


async def test_an_app_that_leaves_the_lifespan_after_its_start_leaves_the_stores_open(settings):
    async def leaves(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})

    middleware = MFAMiddleware(leaves, settings=settings())
    server, _ = await started(middleware)
    await asyncio.sleep(0.05)
    opened, sent = middleware.mfa.opened, [one["type"] for one in server.sent]
    await server.tell("shutdown")
    await server.end()
    assert opened
    assert sent == ["lifespan.startup.complete"]


# ------------------------------------------------------------------------------------------------------------- stores


async def test_an_engine_that_is_away_does_not_stop_start_up(settings):
    middleware = MFAMiddleware(
        LoginApp(), settings=settings(redis_url="redis://127.0.0.1:1/0", secret_key=KEY, engine_timeout=0.2)
    )
    server, answer = await started(middleware)
    assert answer == "lifespan.startup.complete"
    async with Client(middleware) as client:
        assert (await client.get("/mfa/status", headers={"X-User": "alice"})).status_code == 503
        login_answer = await client.post("/login")
        assert (login_answer.status_code, login_answer.json()["code"]) == (503, "unavailable")
        assert (await client.get("/other")).status_code == 200
    await server.tell("shutdown")
    await server.end()


async def test_a_second_server_on_the_same_embedded_stores_is_refused(settings):
    first, answer = await started(MFAMiddleware(LoginApp(), settings=settings()))
    assert answer == "lifespan.startup.complete"
    second, answer = await started(MFAMiddleware(LoginApp(), settings=settings()))
    assert answer == "lifespan.startup.failed"
    assert "MFA_REDIS_URL" in second.sent[0]["message"]
    await first.tell("shutdown")
    third, answer = await started(MFAMiddleware(LoginApp(), settings=settings()))
    assert answer == "lifespan.startup.complete"
    await third.tell("shutdown")
    for one in (first, second, third):
        await one.end()


async def test_a_file_system_without_locks_is_told_as_what_it_is_and_not_as_another_server(settings, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    mfa = MFA(settings())
    with pytest.raises(ConfigurationError, match=r"MFA_DATABASE_URL: .* cannot be locked .*No locks available") as told:
        await mfa.open()
    await mfa.close()
    assert "another server" not in str(told.value)


async def test_a_second_server_without_lifespan_lets_no_login_through(settings, on_file):
    async with Client(MFAMiddleware(LoginApp(), settings=settings())) as client:
        response = await client.post("/login")
        assert response.status_code >= 500
        assert "set-cookie" not in response.headers
    assert on_file.opened


async def test_the_command_line_may_open_beside_a_server(settings, on_file):
    other = MFA(settings())
    await other.open(alone=False)
    await other.close()


async def test_what_was_closed_opens_again(on_file):
    await on_file.import_secret("alice", ImportedSecret("totp", "A" * 32))
    await on_file.close()
    assert (await login(on_file)).factors[0].factor == "totp"


async def test_many_first_uses_at_once_open_once(settings):
    mfa = MFA(settings())
    await asyncio.gather(*(mfa.begin_login("alice", HELD) for _ in range(10)))
    await mfa.close()


def test_importing_the_package_loads_neither_engines_nor_pages():
    program = (
        "import sys, mfa_middleware; "
        "print([name for name in ('sqlalchemy', 'jinja2', 'fakeredis', 'alembic', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_constructing_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MFAMiddleware(LoginApp())
    MFA(Settings())
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_starts_loads_no_library_that_only_some_requests_or_commands_need():
    program = (
        "import asyncio, sys; from mfa_middleware import MFA, Settings;"
        "asyncio.run(MFA(Settings(database_url='sqlite://')).open());"
        "print(*{'openapi_pydantic', 'typer', 'rich', 'alembic', 'graphql', 'asyncpg'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


async def test_two_loops_that_use_it_first_at_the_same_time_wait_for_one_opening(settings, monkeypatch):
    mfa = MFA(settings())
    store = mfa.parts.core.token_store
    opened = []

    async def slowly():
        opened.append(1)
        await asyncio.sleep(0.2)

    monkeypatch.setattr(store, "open", slowly)
    with other_loops(2) as loops:
        await asyncio.gather(*(loop.run(mfa.status("alice")) for loop in loops))
        await loops[0].run(mfa.close())
    assert opened == [1]


def test_two_threads_that_use_it_first_at_the_same_time_have_the_same_parts(settings, monkeypatch):
    """Else the one would be opened, and the other used."""
    meeting = threading.Barrier(2)
    made: list[Parts] = []

    def make(*given):
        with suppress(threading.BrokenBarrierError):  # nobody else comes here meanwhile
            meeting.wait(0.05)
        made.append(Parts(*given))
        return made[-1]

    monkeypatch.setattr("mfa_middleware.mfa.Parts", make)
    mfa = MFA(settings())
    with ThreadPoolExecutor(2) as threads:
        found = [one.result(20) for one in [threads.submit(lambda: mfa.parts) for _ in range(2)]]
    assert len(made) == 1
    assert found == made * 2


async def test_a_request_that_comes_while_it_is_closed_opens_it_again_as_a_whole(settings, monkeypatch):
    mfa = MFA(settings())
    await mfa.open()
    store = mfa.parts.core.token_store
    close = store.close

    async def slowly():
        await asyncio.sleep(0.05)
        await close()

    monkeypatch.setattr(store, "close", slowly)
    closing = asyncio.create_task(mfa.close())
    await asyncio.sleep(0.01)
    await mfa.status("alice")
    await closing
    assert (await mfa.status("alice")).enabled is False
    await mfa.close()


async def test_while_one_engine_is_away_the_other_is_opened_once(settings, monkeypatch):
    """Each request tries again: connections and threads would pile up."""
    mfa = MFA(settings(redis_url="redis://127.0.0.1:1/0", secret_key=KEY, engine_timeout=1))
    opened = []
    connect = sqlite3.connect

    def counted(*given, **options):
        opened.append(connect(*given, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", counted)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await mfa.status("alice")
    assert len(opened) == 2  # what writes, and what reads
    await mfa.close()

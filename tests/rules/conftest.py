"""Apps, each wrapped by the middleware, with ``alice`` who has a TOTP and ``bob`` who has none."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mfa_middleware import MFA, MFAMiddleware, Settings, hookimpl
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing import VirtualAuthenticator
from tests.rules.apps import RIGHT, Case
from tests.rules.asgi_client import Answer, App, Client

KEY = base64.urlsafe_b64encode(bytes(range(7, 39))).decode()
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW_PAGE = "text/html,application/xhtml+xml"


class Listener:
    """Keeps the events that it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.plugin = _ListenerPlugin(self)

    async def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.events]

    @property
    def reasons(self) -> str:
        return " | ".join(str(getattr(one, "reason", "")) for one in self.events)


class _ListenerPlugin:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @hookimpl
    def mfa_register_event_listeners(self, settings: Settings) -> list[Listener]:
        return [self._listener]


class Site:
    """A wrapped app, and what one does with it."""

    def __init__(self, app: App, case: Case | None = None, told: Listener | None = None) -> None:
        self.app = app
        self.case = case
        self.told = told or Listener()
        self.clients: list[Client] = []

    def client(self, **more: Any) -> Client:
        client = Client(self.app, **more)
        self.clients.append(client)
        return client

    async def login(self, client: Client, path: str = "/login", method: str = "POST", **more: Any) -> Answer:
        """Log in as alice with the right password, in the way that the app wants."""
        if not more.keys() & {"json", "form", "content"}:
            more |= {"form": RIGHT} if self.case is not None and self.case.body == "form" else {"json": RIGHT}
        return await client.request(method, path, **more)

    async def verify(self, client: Client, challenge: Answer, **more: Any) -> Answer:
        """Answer a challenge rightly."""
        code = VirtualAuthenticator(TOTP_SECRET).code()
        body = {"factor": "totp", "code": code, "mfaToken": challenge.json["mfaToken"]}
        return await client.post(f"{client.root_path}/mfa/verify", json=body, **more)

    async def nobody_is_in(self) -> None:
        """What must be true after an attack, of all who took part in it."""
        for client in self.clients:
            assert await client.who() is None, "somebody is signed in without the factor"


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which alice has a TOTP; each test gets a copy."""
    file = tmp_path_factory.mktemp("rules") / "alice.sqlite3"

    async def fill() -> None:
        mfa = MFA(Settings(database_url=f"sqlite:///{file}", secret_key=KEY))
        await mfa.import_secret("alice", ImportedSecret("totp", TOTP_SECRET))
        await mfa.close()

    asyncio.run(fill())
    return file


Wrapped = Callable[..., Site]


@pytest.fixture
async def wrapped(database: Path, tmp_path: Path) -> AsyncIterator[Wrapped]:
    """Wraps any app from outside, by settings; a case in the place that it names. More settings win."""
    stack = AsyncExitStack()

    def settings(**values: Any) -> Settings:
        file = shutil.copy(database, tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite3")
        return Settings(**{"database_url": f"sqlite:///{file}", "secret_key": KEY, "session_mode": "strip"} | values)

    def wrap(what: Any, *, inside: bool = False, **values: Any) -> Site:
        case = what if isinstance(what, Case) else None
        if case is not None:
            values = {"login_user": case.login_user, "request_user": case.request_user, **case.more, **values}
        listener = Listener()

        def middleware(app: App) -> App:
            made = MFAMiddleware(app, settings=settings(**values), plugins=[listener.plugin])
            stack.push_async_callback(made.mfa.close)
            return made

        if isinstance(what, Case):
            app = what.build(middleware) if what.inside else middleware(what.build())
        else:
            app = what(middleware) if inside else middleware(what)
        return Site(app, case, listener)

    async with stack:
        yield wrap

"""The app, served in this process while it is under attack; the middleware found on it; the user's factor."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeVar, cast

from mfa_middleware.factor import BackupCodes, Enrolling, Importing
from mfa_middleware.management import ImportedSecret
from mfa_middleware.mfa import MFA
from mfa_middleware.middleware import MFAMiddleware
from mfa_middleware.passage import App, Message, Receive, Scope, Send
from mfa_middleware.selectors import Place
from mfa_middleware.testing.conformance.client import Client

Result = TypeVar("Result")
logger = logging.getLogger(__name__)
LABEL = "conformance kit"
_MOST_OBJECTS = 50_000
_PLAIN = (str, bytes, int, float, bool, type(None), type, ModuleType)


class NotReadyError(Exception):
    """The attacks cannot begin. Its text says why, and what to do."""


class Log(logging.Handler):
    """What the middleware has logged as events since it was last asked."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason."""
        event: object = getattr(record, "mfa", None)
        reason = event.get("reason") if isinstance(event, dict) else record.getMessage()
        self.told += [str(reason)] if reason else []


@dataclass(frozen=True, slots=True)
class Key:
    """The user's factor: its name, and what an app that holds it was shown when it was bound."""

    factor: str
    shown: Mapping[str, str] = field(repr=False)


class Stage:
    """Serves ``app``, with its lifespan, on an event loop of its own."""

    def __init__(self, app: App, base_url: str) -> None:
        self.app = app
        self.base_url = base_url
        self.log = Log()
        self.state: dict[str, Any] = {}
        self.obstacle = ""  #: why the attacks cannot begin
        self.middleware: MFAMiddleware
        self.key: Key
        self.place = Place.NOWHERE
        self._runner = asyncio.Runner()
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None

    @property
    def mfa(self) -> MFA:
        """What the middleware works with."""
        return self.middleware.mfa

    def run(self, what: Coroutine[Any, Any, Result]) -> Result:
        """Run it on the app's event loop."""
        return self._runner.run(what)

    def client(self) -> Client:
        """Somebody who has nothing yet."""
        return Client(self.app, self.base_url, state=self.state)

    async def open(self) -> None:
        """Start the app, and find the middleware.

        :raises NotReadyError: when the app does not start, or has no middleware on it.
        """
        logging.getLogger("mfa_middleware").addHandler(self.log)
        self._lifespan = asyncio.create_task(self._live())
        await self._to_app.put({"type": "lifespan.startup"})
        started = await self._from_app.get()
        if started["type"] == "lifespan.startup.failed":
            raise NotReadyError(f"The app does not start: {started.get('message', '')}")
        await self.client().get("/")  # many frameworks put their middleware together at the first request
        middlewares = (one for one in _reachable(self.app) if issubclass(type(one), MFAMiddleware))
        found = cast("MFAMiddleware | None", next(middlewares, None))
        if found is None:
            raise NotReadyError("No MFAMiddleware is to be found on `app`; give the app with the middleware on it.")
        self.middleware = found
        self.place = await self._place()

    async def close(self) -> None:
        """Shut the app down."""
        logging.getLogger("mfa_middleware").removeHandler(self.log)
        if self._lifespan is not None and not self._lifespan.done():
            await self._to_app.put({"type": "lifespan.shutdown"})
            await self._from_app.get()
            await self._lifespan

    def end(self) -> None:
        """Close the event loop."""
        self._runner.close()

    async def bind(self, user: str) -> None:
        """Give the user a new factor in place of the one that the kit gave before.

        :raises NotReadyError: when the user has a factor of their own, or none in use can be imported.
        """
        theirs = [one for one in (await self.mfa.overview(user)).authenticators if one.label != LABEL]
        if theirs:
            raise NotReadyError(
                f"{user!r} has a second factor already, which the kit does not touch. Name a user who is there for "
                f"tests alone, or run `mfa reset {user}`."
            )
        key = await self._key(user)
        await self.free(user)
        await self.mfa.import_secret(user, ImportedSecret(key.factor, key.shown["secret"], LABEL))
        self.key = key

    async def free(self, user: str) -> None:
        """Take the kit's factor from the user, and a lock if there is one."""
        await self.mfa.reset(user)
        await self.mfa.unlock(user)

    async def _key(self, user: str) -> Key:
        for name, factor in self.mfa.parts.core.factors.items():
            if isinstance(factor, Importing) and not isinstance(factor, BackupCodes):
                shown = (await factor.enrol(Enrolling(user, user, LABEL))).shown
                if "secret" in shown:
                    return Key(name, shown)
        raise NotReadyError("No factor in use takes an imported secret; name one in MFA_FACTORS, for the tests.")

    async def _place(self) -> Place:
        """Where the middleware stands, as it sees itself in a request."""
        below = self.middleware.app
        seen: list[Place] = []

        async def look(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.append(Place.of(scope))
            await below(scope, receive, send)

        self.middleware.app = look
        try:
            await self.client().get("/")
        finally:
            self.middleware.app = below
        return seen[0] if seen else Place.OUTSIDE

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, self._to_app.get, self._from_app.put)
        except Exception:
            logger.debug("the app knows no lifespan", exc_info=True)
        await self._from_app.put({"type": "over"})


def _reachable(app: object) -> Iterator[object]:
    """All that the app is made of, nearest first: attributes, and what functions close over."""
    seen: set[int] = set()
    waiting = deque([app])
    while waiting and len(seen) < _MOST_OBJECTS:
        one = waiting.popleft()
        if id(one) in seen or issubclass(type(one), _PLAIN):
            continue
        seen.add(id(one))
        yield one
        waiting.extend(_parts_of(one))


def _parts_of(one: object) -> Iterator[object]:
    # By type, not isinstance: a proxy of a request's context raises at any look at it.
    kind = type(one)
    if issubclass(kind, MethodType):
        yield object.__getattribute__(one, "__self__")
    elif issubclass(kind, FunctionType):
        yield from _closed_over(cast("FunctionType", one))
    elif issubclass(kind, list | tuple | deque):
        yield from cast("Iterable[object]", one)
    elif issubclass(kind, dict):
        yield from cast("dict[object, object]", one).values()
    else:
        try:
            yield from object.__getattribute__(one, "__dict__").values()
        except AttributeError:
            pass  # slots


def _closed_over(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            pass

"""The people, apps and plugins that the tests of the core are about."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2

from mfa_middleware import MFA, MFAMiddleware, Settings, hookimpl
from mfa_middleware.callers import Caller
from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, Enrolment, State
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.models import Challenge, Counter, Proof
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator

_PERIOD, _NEARLY_OVER = 30, 2  # seconds
NOON = 1_800_000_000  # the start of a TOTP step
HELD = HeldLogin(
    200,
    ((b"content-type", b"application/json"), (b"set-cookie", b"session=signed-in")),
    b'{"access_token": "the-app-s-token"}',
    "/login",
)


class MakeSettings(Protocol):
    def __call__(self, **given: object) -> Settings: ...


class MakeMFA(Protocol):
    def __call__(self, *plugins: object, **given: object) -> Awaitable[MFA]: ...


class WrapApp(Protocol):
    def __call__(self, app: LoginApp | None = None, *plugins: object, **given: object) -> Client: ...


@dataclass(frozen=True)
class Person:
    """Somebody with one authenticator app, and recovery codes."""

    user_id: str
    id: str
    app: VirtualAuthenticator
    recovery_codes: tuple[str, ...] = field(repr=False)

    @property
    def code(self) -> str:
        """The code that the app shows now."""
        return self.app.code()

    @property
    def caller(self) -> Caller:
        """Signed in, with nothing proven."""
        return Caller(self.user_id)

    @property
    def proven(self) -> Caller:
        """Signed in, with a browser that has just proven a factor."""
        return Caller(self.user_id, assured=True)

    @property
    def wrong(self) -> str:
        """A code that is none of those near now."""
        near = {self.app.code(offset_steps=step) for step in range(-20, 21)}
        return next(code for code in ("000000", "111111", "222222") if code not in near)


def earlier_code(app: VirtualAuthenticator) -> str:
    """The code before that of this moment, so that this moment's is not used up by it.

    At the end of a time step it could be too late for it when it arrives: then it is the next step's, after a moment.
    """
    left = _PERIOD - time.time() % _PERIOD
    if left < _NEARLY_OVER:
        time.sleep(left)
    return app.code(offset_steps=-1)


async def enrol(mfa: MFA, user_id: str = "alice") -> Person:
    """Bind an authenticator app. The code of this very moment is not used up by it."""
    caller = Caller(user_id)
    begun = await mfa.bind(caller, "totp")
    app = VirtualAuthenticator(begun.shown["uri"])
    confirmed = await mfa.confirm(caller, begun.id, earlier_code(app))
    return Person(user_id, begun.id, app, confirmed.recovery_codes)


async def login(mfa: MFA, user_id: str = "alice", held: HeldLogin = HELD) -> Challenge:
    """The password was right."""
    challenge = await mfa.begin_login(user_id, held)
    assert challenge is not None
    return challenge


async def outcomes(*calls: Awaitable[object]) -> list[str]:
    """What came of calls that were made at once: names of errors, ``ok`` for the others."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [type(one).__name__ if isinstance(one, BaseException) else "ok" for one in results]


class LoginApp:
    """An app with a login at ``/login``: JSON in, a token and a cookie out. It counts its calls."""

    def __init__(self, answer: Mapping[str, object] | None = None) -> None:
        self.calls = 0
        self.answer = answer or {"user_id": "alice", "access_token": "the-app-s-token"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("this app knows HTTP alone")
        self.calls += 1
        body = json.dumps(self.answer if scope["path"] == "/login" else {"path": scope["path"]}).encode()
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"session=signed-in; HttpOnly")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Client(httpx2.AsyncClient):
    """A client of a wrapped app, as a program has it: no browser, no cookies kept."""

    def __init__(self, middleware: MFAMiddleware) -> None:
        super().__init__(
            transport=httpx2.ASGITransport(app=middleware, raise_app_exceptions=True), base_url="http://app.example"
        )
        self.middleware = middleware
        self.mfa = middleware.mfa

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **options)
        self.cookies.clear()
        return response


class Plugin:
    """A plugin that registers what it is given."""

    def __init__(self, *factors: object, listeners: tuple[object, ...] = ()) -> None:
        self.__name__ = f"plugin_{id(self)}"
        self._factors = factors
        self._listeners = listeners

    @hookimpl
    def mfa_register_factors(self, settings: Settings) -> tuple[object, ...]:
        return self._factors

    @hookimpl
    def mfa_register_event_listeners(self, settings: Settings) -> tuple[object, ...]:
        return self._listeners


class Listener:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def __call__(self, event: object) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.events]


Checking = Callable[[State, Answer], Awaitable[Any]]


class Word:
    """A factor whose answer is a word. ``checking`` takes the place of its check; every check is counted."""

    title = "A word"
    amr = "kba"

    def __init__(self, checking: Checking | None = None, name: str = "word") -> None:
        self.name = name
        self.checking = checking
        self.checks = 0

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        return Enrolment({"word": "sesame"}, {"secret": "sesame"})

    async def check(self, state: State, answer: Answer) -> Proof | None:
        self.checks += 1
        if self.checking is not None:
            return await self.checking(state, answer)  # type: ignore[no-any-return]
        if answer.code != state["word"]:
            raise InvalidCode("another word")
        return Counter(int(time.time()) + self.checks)

    def adopt(self, secret: str) -> State:
        return {"word": secret}


def digest(text: str) -> bytes:
    """A digest that a proof can be."""
    return hashlib.sha256(text.encode()).digest()

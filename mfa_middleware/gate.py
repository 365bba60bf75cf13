"""The session mode ``gate``: an app's session is blocked before the app sees the login, until that is released.

With server-side sessions an app may sign in the very session whose cookie the client had before; holding the response
holds nothing then. So nobody can use the session meanwhile: its cookie is taken out of every request, and requests that
were under way when the block came get nothing more to read or to say.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable

from mfa_middleware.cookies import CookieNames, canonical_value
from mfa_middleware.errors import Unavailable
from mfa_middleware.passage import Message, Receive, Scope, Send
from mfa_middleware.stores.protocols import AuthenticatorStore

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1
#: Blocked sessions: the name of the cookie, and the digest of its value.
Blocked = tuple[tuple[str, bytes], ...]

#: Answers a request with an error.
Refuse = Callable[[Unavailable], Awaitable[None]]

_SAFE_METHODS = ("GET", "HEAD")
_MOST_SESSIONS = 8  # in one request; browsers send one or two
_SECONDS_BETWEEN_LOOKS = 1.0


class SessionGate:
    """The blocks on the app's sessions, kept in the database. ``max_age``: seconds that the app's sessions can live."""

    def __init__(self, store: AuthenticatorStore, cookies: CookieNames, *, max_age: int) -> None:
        self._store = store
        self._cookies = cookies
        self._max_age = max_age

    async def admit(self, scope: Scope) -> Scope:
        """The request as the app may see it: without the cookies of blocked sessions, and without disguised ones.

        :raises Unavailable: when the database is away.
        """
        pairs = self._cookies.pairs(scope["headers"])
        if len(pairs) > _MOST_SESSIONS:
            return {**scope, "headers": self._cookies.without(scope["headers"])}
        blocked = await self._store.session_blocked([_digest(value) for _, value in pairs], time.time())
        gone = {value for _, value in pairs if _digest(value) in blocked}
        return {**scope, "headers": self._cookies.keeping(scope["headers"], lambda value: value not in gone)}

    async def is_blocked(self, scope: Scope) -> bool:
        """Whether any session of an admitted request has been blocked since."""
        digests = [_digest(value) for _, value in self._cookies.pairs(scope["headers"])]
        return bool(await self._store.session_blocked(digests, time.time()))

    async def block(self, scope: Scope) -> tuple[Scope, Blocked]:
        """Block the sessions of a request that may be a login; one that another login blocks already is taken out.

        Returns the request as the app may see it, and what is blocked for it now.

        :raises Unavailable: when the database is away.
        """
        now = time.time()
        ours: list[tuple[str, str]] = []
        for name, value in dict.fromkeys(self._cookies.pairs(scope["headers"])):
            if await self._store.block_session(_digest(value), now + self._max_age, at=now):
                ours.append((name, value))
        kept = {value for _, value in ours}
        headers = self._cookies.keeping(scope["headers"], kept.__contains__)
        return {**scope, "headers": headers}, tuple((name, _digest(value)) for name, value in ours)

    async def free(self, blocked: Blocked) -> None:
        """End blocks."""
        for _, digest in blocked:
            await self._store.free_session(digest)


def _digest(value: str) -> bytes:
    return hashlib.sha256(b"mfa-middleware session " + canonical_value(value).encode()).digest()


def blocks(method: str, declared: frozenset[str]) -> bool:
    """Whether a request to a login's path blocks its session: not for GET and HEAD, unless they are declared."""
    return method.upper() not in _SAFE_METHODS or bool(declared & {"*", method.upper()})


class GatedConnection:
    """A request or WebSocket with a session cookie, that is no login itself: cut off when its session is blocked.

    ``refuse`` answers it instead of the app.
    """

    def __init__(self, gate: SessionGate, scope: Scope, receive: Receive, send: Send, refuse: Refuse) -> None:
        self._refuse = refuse
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._cut = False
        self._started = False
        self._looked = 0.0

    async def receive(self) -> Message:
        """The client's next message; that it is gone, once the session is blocked."""
        message = await self._receive()
        if message["type"] in ("http.request", "websocket.receive") and await self._is_cut():
            socket = message["type"] == "websocket.receive"
            return (
                {"type": "websocket.disconnect", "code": _POLICY_VIOLATION} if socket else {"type": "http.disconnect"}
            )
        return message

    async def send(self, message: Message) -> None:
        """The app's next message; lost, once the session is blocked."""
        if message["type"] != "http.response.body":
            looks = message["type"] in ("http.response.start", "websocket.accept", "websocket.send")
        else:  # a stream may go on for long
            looks = time.monotonic() - self._looked >= _SECONDS_BETWEEN_LOOKS
        if looks and await self._is_cut():
            return
        if not self._cut:
            self._started = self._started or message["type"] == "http.response.start"
            await self._send(message)

    async def _is_cut(self) -> bool:
        self._looked = time.monotonic()
        if not self._cut and (error := await self._trouble()):
            self._cut = True
            if self._scope["type"] == "websocket":
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            elif self._started:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await self._refuse(error)
        return self._cut

    async def _trouble(self) -> Unavailable | None:
        """Why the connection must be cut, if so."""
        try:
            blocked = await self._gate.is_blocked(self._scope)
        except Unavailable as error:
            return error
        return Unavailable("a login has begun in this session") if blocked else None

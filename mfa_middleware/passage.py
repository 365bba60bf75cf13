"""What travels with one request through the wrapped app: where we stand, and what the app says with ``mark_login``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from mfa_middleware.errors import LoginNotHeld

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: Any ASGI app. Frameworks type the three in their own ways, which do not fit each other.
App = Callable[[Any, Any, Any], Awaitable[None]]

#: The key of the scope under which a request's passage stands.
PASSAGE = "mfa_middleware"
#: The key under which a dialect that reads requests may leave a :class:`Reading`.
READING = "mfa_middleware.reading"


class Reading(Protocol):
    """What is known of a request whose client may choose names in the answer, as in GraphQL."""

    def may_have_chosen(self, name: str) -> bool:
        """Whether the client may have given that name to something; the others are the app's."""
        ...

    @property
    def is_plain(self) -> bool:
        """Whether it asks for one thing alone, by no other names than the app's."""
        ...

    @property
    def changes(self) -> bool:
        """Whether it may do more than ask."""
        ...


def reading_of(scope: Scope) -> Reading | None:
    """What a dialect has read in that request; None where it has not looked."""
    reading: Reading | None = scope.get(READING)
    return reading


class Passage:
    """One request on its way through the app below us (``app``).

    ``scope`` is the request's where we stand: what the app did to it shows there inside of a session middleware alone.
    ``marked`` says that the app called :func:`mark_login`, with ``user`` (None: no login). ``refusal`` says why a
    login could not be held any more, if so; it is asked for only when the app marks one.
    """

    __slots__ = ("_refusal", "app", "marked", "root_path", "scope", "started", "user")

    def __init__(self, app: App, scope: Scope, refusal: Callable[[], str | None]) -> None:
        self.app = app
        self.scope = scope
        self.root_path: str = scope.get("root_path", "")  # an app's own routers write into the scope
        self.marked = False
        self.started = False
        self.user: object = None
        self._refusal = refusal

    def mark(self, user: object) -> None:
        """Take the app's word on this request."""
        if user is not None:
            reason = "the response has already started" if self.started else self._refusal()
            if reason is not None:
                raise LoginNotHeld(reason, f"mark_login: {reason}.")
        self.marked = True
        self.user = user

    def end(self) -> None:
        """The app is done. Scope and passage hold each other, which only the garbage collector would find."""
        self.scope = {}
        self._refusal = _ended


def _ended() -> str:
    return "the request has ended"


def untouched(scope: Scope) -> Scope:
    """A copy of a scope that an app's changes to the original do not reach."""
    return {**scope, "state": dict(scope["state"])} if "state" in scope else dict(scope)


def is_below(path: str, root_path: str) -> bool:
    """Whether a path begins with its ``root_path``: as it should by ASGI, and at some servers does not."""
    return path == root_path or path.startswith(root_path.rstrip("/") + "/")


def mark_login(scope: Scope, user_id: str | int | None) -> None:
    """Say that this request signs ``user_id`` in, or with None that it does not, whatever else it looks like.

    Call it before signing the user in: it raises where the login could not be held, so that nobody is signed in.

    :raises LoginNotHeld: without a middleware around, after the response has started, in a WebSocket, or, from outside
        of the session middleware in the mode ``strip``, at a path that ``MFA_LOGIN`` does not declare when the
        request came with a session cookie.
    """
    passage = scope.get(PASSAGE)
    if not isinstance(passage, Passage):
        reason = "no MFAMiddleware with the selector `mark` in MFA_LOGIN_USER stands around this app"
        raise LoginNotHeld(reason, f"mark_login: {reason}.")
    passage.mark(user_id)


def mark_nothing(scope: Scope) -> Scope:
    """Say of a response of our own that it is no login to be held: the login that it releases was.

    Returns the request's scope as it is where the middleware stands, of which this one may be a copy.
    """
    passage = scope.get(PASSAGE)
    if not isinstance(passage, Passage):
        return scope
    passage.mark(None)
    return passage.scope

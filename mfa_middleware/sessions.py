"""``scope["session"]``: what it was before a login, put back while the login is held, replaced when it is released.

Written for what Starlette, FastAPI and Litestar (a mutable mapping) and starsessions (a guard until it is loaded) put
there. Content is changed in place: Starlette's mapping tracks changes, and who saves it holds the very object.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
_ATOMS = (str, int, float, bool, bytes, type(None))
_STARSESSIONS_METADATA = "__metadata__"


def session_of(scope: Mapping[str, Any]) -> MutableMapping[str, Any] | None:
    """The request's session; None when there is none, or it is not loaded."""
    handler: Any = scope.get("session_handler")
    # starsessions loads into the scope that it was given, of which this one may be a copy.
    session = handler.connection.scope["session"] if handler is not None else scope.get("session")
    # By type, not isinstance: the guard of starsessions raises at any look at an attribute.
    return session if issubclass(type(session), MutableMapping) else None


class SessionBefore:
    """The session as it was before the app did anything to it.

    A session of starsessions that is loaded later is looked at in the moment when it is: its store is no witness, for
    it may be written before we decide. A session that is never seen counts as empty: who is in it then has logged in.
    """

    __slots__ = ("_handler", "_original", "_scope", "content")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._original = scope.get("session")
        self._handler: Any = scope.get("session_handler")
        session = session_of(scope)
        self.content: Mapping[str, Any] = {} if session is None else _deep_copy(session)
        if self._handler is not None and not self._handler.is_loaded:
            self._handler.load = self._recording(self._handler.load)

    def put_back(self) -> None:
        """Undo all that the request did to the session."""
        if issubclass(type(self._original), MutableMapping) or self._handler is None:
            self._scope["session"] = self._original
        _set_content(self._scope, self.content)

    def _recording(self, load: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def recorded_load() -> None:
            first = not self._handler.is_loaded
            await load()
            if first:
                self.content = _deep_copy(session_of(self._scope) or {})

        return recorded_load


class RecordingScope(dict[str, Any]):
    """A scope that remembers the session as a middleware further in first sets it, for who stands outside of it."""

    before: SessionBefore | None = None

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        # starsessions sets its guard first, and then the handler that loads.
        if key == "session_handler" or (key == "session" and self.before is None):
            self.before = SessionBefore(self)


def session_value(scope: Mapping[str, Any], key: str) -> object:
    """A value of the session now; None when there is none."""
    session = session_of(scope)
    return None if session is None else session.get(key)


def session_content(scope: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of the session's content now, as it is to be kept with a held login; None outside of a session."""
    session = session_of(scope)
    if session is None:
        return None
    content = _deep_copy(session)
    content.pop(_STARSESSIONS_METADATA, None)
    return content


async def replace_session(scope: Scope, content: Mapping[str, Any]) -> None:
    """Make this request's session the one of a released login; no key of the former one stays.

    With starsessions the session gets a new id: whoever knew the anonymous one must not be signed in with it.
    """
    handler = scope.get("session_handler")
    if handler is not None:
        await handler.load()
        handler.regenerate_id()
    if session_of(scope) is None:
        scope["session"] = {}
    _set_content(scope, content)


def _set_content(scope: Scope, content: Mapping[str, Any]) -> None:
    session = session_of(scope)
    if session is not None:
        session.clear()
        session.update(_deep_copy(content))


def _deep_copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if type(value) in _ATOMS else copy.deepcopy(value) for key, value in content.items()}

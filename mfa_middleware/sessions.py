"""``scope["session"]``: what it was before a login, put back while the login is held, replaced when it is released.

Written for what Starlette, FastAPI and Litestar (a mutable mapping) and starsessions (a guard until it is loaded) put
there. Content is changed in place: Starlette's mapping tracks changes, and who saves it holds the very object.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
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
    """The session as it was when a request came in."""

    __slots__ = ("_content", "_handler", "_id", "_original", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._original = scope.get("session")
        session = session_of(scope)
        self._content = None if session is None else _deep_copy(session)
        self._handler: Any = scope.get("session_handler")
        self._id = self._handler.session_id if self._handler is not None else None

    @property
    def known(self) -> bool:
        """Whether the content is at hand (False while a session is not loaded)."""
        return self._content is not None

    async def content(self) -> Mapping[str, Any]:
        """The content before the request; empty when there was none.

        A session that the app loaded later is read again from its store, which the login has not reached yet.
        """
        if self._content is None:
            self._content = await self._stored() if self._handler is not None and self._id else {}
        return self._content

    async def put_back(self) -> None:
        """Undo all that the request did to the session."""
        content = await self.content()
        if issubclass(type(self._original), MutableMapping):
            self._scope["session"] = self._original
        elif self._handler is None or not self._handler.is_loaded:
            self._scope["session"] = self._original
            return
        _set_content(self._scope, content)

    async def _stored(self) -> dict[str, Any]:
        stored = await self._handler.store.read(session_id=self._id, lifetime=self._handler.lifetime)
        content: dict[str, Any] = self._handler.serializer.deserialize(stored)
        content.pop(_STARSESSIONS_METADATA, None)
        return content


class RecordingScope(dict[str, Any]):
    """A scope that remembers the session as a middleware further in first sets it, for who stands outside of it.

    A session that is never seen before the app's own doing counts as empty: then whoever is in it has logged in.
    """

    before: SessionBefore | None = None

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401  whatever stands in a scope
        super().__setitem__(key, value)
        if key == "session_handler":
            self._record_load(value)
        elif key == "session" and self.before is None:
            self.before = SessionBefore(self)

    def _record_load(self, handler: Any) -> None:  # noqa: ANN401  of starsessions, which may not be installed
        """Look at a session of starsessions when it is loaded; its store is written before we look, and no witness."""
        load = handler.load

        async def recorded_load() -> None:
            first = not handler.is_loaded
            await load()
            if first:
                self.before = SessionBefore(self)

        handler.load = recorded_load


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

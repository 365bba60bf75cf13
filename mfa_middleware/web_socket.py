"""WebSockets pass through untouched. One that signs somebody in, inside of a session, is put back and closed."""

from __future__ import annotations

from mfa_middleware import events
from mfa_middleware.errors import LoginNotHeld
from mfa_middleware.parts import Parts
from mfa_middleware.passage import PASSAGE, App, Message, Passage, Receive, Scope, Send
from mfa_middleware.selectors import LoginExchange, Place
from mfa_middleware.sessions import SessionBefore

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class WebSocketWatch:
    """One WebSocket: no login can be held there, so none may happen there."""

    def __init__(self, parts: Parts, app: App, scope: Scope, send: Send) -> None:
        self._parts = parts
        self._scope = scope
        self._send = send
        self._closed = False
        passage = Passage(app, scope, lambda: "a login in a WebSocket cannot be held; log in by HTTP")
        scope[PASSAGE] = passage
        self._login = LoginExchange(
            scope, Place.of(scope), passage, declared=False, session_cookies=parts.session_cookies
        )

    async def run(self, receive: Receive) -> None:
        """Call the app."""
        app = self._login.passage.app
        if not (self._parts.login_user.sees_session and "session" in self._scope):
            await app(self._scope, receive, self._send)
            return
        self._login.session_before = SessionBefore(self._scope)
        try:
            await app(self._scope, receive, self._watched_send)
        finally:
            if not self._closed:
                await self._undo_login()

    async def _watched_send(self, message: Message) -> None:
        if self._closed:
            return
        if await self._undo_login():
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._send(message)

    async def _undo_login(self) -> bool:
        """Whether somebody was signed in; then nobody is any more."""
        login = self._login
        if login.session_before is None or not self._parts.login_user.notice(login):
            return False
        try:
            user = await self._parts.login_user.user(login)
        except LoginNotHeld:
            user = ""  # somebody, and nobody knows who
        if user is None:
            return False
        self._closed = True
        login.session_before.put_back()
        trace = events.trace_id(self._scope["headers"])
        reason = "a WebSocket signed somebody in; it was closed"
        await self._parts.core.events.emit(
            events.LoginNotHeld(user_id=user or None, trace_id=trace, reason=reason, path=self._scope["path"])
        )
        return True

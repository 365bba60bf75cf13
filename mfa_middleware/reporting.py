"""``MFA_REPORT``: logins at paths that ``MFA_LOGIN`` does not declare, noticed from outside and told as events.

Such a login cannot be held: it is over when it is seen. So this changes no answer and stops nobody. It tells the
operator which path to declare.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mfa_middleware import events
from mfa_middleware.errors import Misconfigured, Refusal
from mfa_middleware.parts import Parts
from mfa_middleware.passage import PASSAGE, App, Message, Passage, Receive, Scope, Send, untouched
from mfa_middleware.response_body import RawHeaders, bearer_tokens, header, json_body
from mfa_middleware.selectors import LoginExchange, Place, RequestExchange
from mfa_middleware.tokens import is_mfa_token

logger = logging.getLogger(__name__)
Way = Callable[[Parts, Scope, Receive, Send], Awaitable[None]]


class Report:
    """One response on its way out, of which a copy is kept until the app is done; then it is looked at."""

    __slots__ = ("_body", "_headers", "_login", "_parts", "_scope", "_send", "_status")

    def __init__(self, parts: Parts, app: App, scope: Scope, send: Send) -> None:
        self._parts = parts
        self._scope = scope
        self._send = send
        self._status = 0
        self._headers: RawHeaders = ()
        self._body: bytearray | None = None
        before = untouched(scope)
        self._login = LoginExchange(
            before,
            Place.OUTSIDE,
            Passage(app, before, lambda: None),
            declared=True,  # its selectors are asked as they are at a declared path
            session_cookies=parts.session_cookies,
        )

    async def send(self, message: Message) -> None:
        """Pass a message on as it is, and keep what may tell of a login."""
        await self._send(message)
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple((bytes(name), bytes(value)) for name, value in message.get("headers", ()))
            self._body = bytearray() if "json" in header(self._headers, b"content-type").lower() else None
        elif message["type"] == "http.response.body" and self._body is not None:
            self._body.extend(message.get("body", b""))
            if len(self._body) > self._parts.settings.held_response_limit:
                self._body = None

    async def look(self) -> None:
        """Whether that was a login of somebody with a second factor; then say so. Never raises."""
        try:
            user = await self._user()
            if user is not None and (await self._parts.core.authenticator_store.load(user)).gated:
                trace, path = events.trace_id(self._scope["headers"]), self._scope["path"]
                await self._parts.core.events.emit(events.LoginNotDeclared(user_id=user, trace_id=trace, path=path))
        except Refusal as error:
            logger.info("%r could not be looked at for MFA_REPORT: %s", self._scope["path"], error.reason)
        except Exception:
            logger.exception("%r could not be looked at for MFA_REPORT", self._scope["path"])

    async def _user(self) -> str | None:
        """Whom the response gives credentials that the request's own are not already."""
        login = self._login
        login.status, login.headers, login.body = self._status, self._headers, bytes(self._body or b"")
        if self._is_told_of() or not (login.gives_session or self._gives_token(login.body)):
            return None
        known = await self._known()
        user = await self._parts.login_user.user(login)
        return None if user == known else user

    def _gives_token(self, body: bytes) -> bool:
        return any(not is_mfa_token(one) for one in bearer_tokens(json_body(self._headers, body)))

    def _is_told_of(self) -> bool:
        """Whether the app said itself whom this request signs in, or that it signs nobody in."""
        passage = self._scope.get(PASSAGE)
        return isinstance(passage, Passage) and passage.marked

    async def _known(self) -> str | None:
        """Who the request's own credentials say that it comes from."""
        login, asks = self._login, self._parts.login_user.asks
        if asks is not None:
            login.before = await asks.by_all(login)
            return None if login.before is None else str(login.before)
        try:
            return await self._parts.request_user.user(RequestExchange(login.scope, login.passage))
        except Misconfigured:
            return None  # then nobody is known to have been in before


def reporting(app: App, way: Way) -> Way:
    """That way through an undeclared path, with a report of each login on it. Inside, logins are seen everywhere."""

    async def reported(parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
        if Place.of(scope) is Place.INSIDE:
            await way(parts, scope, receive, send)
            return
        report = Report(parts, app, scope, send)
        await way(parts, scope, receive, report.send)
        await report.look()

    return reported

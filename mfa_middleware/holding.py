"""The responder of one request that is, or may turn out to be, a login: it watches, holds, and answers the challenge.

Nothing of a response leaves before it is clear that it is no login, or that its user needs no second factor. On any
doubt or failure the answer is an error, never the login.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from mfa_middleware import events
from mfa_middleware.dialects import WireAnswer
from mfa_middleware.errors import LoginNotHeld, Misconfigured, Refusal
from mfa_middleware.gate import Blocked
from mfa_middleware.held_login import Capture, HeldLogin, Message
from mfa_middleware.mfa import MFA
from mfa_middleware.parts import Parts
from mfa_middleware.passage import Receive, Scope, Send
from mfa_middleware.selectors import LoginExchange, Place, RequestExchange
from mfa_middleware.selectors.whoami import WhoAmI
from mfa_middleware.sessions import RecordingScope, session_content

logger = logging.getLogger(__name__)
_REFUSED_WITHOUT_SESSION = (400, 403)


class Responder:
    """Stands between the app and the server for one request. What it lets pass, it passes on message by message."""

    __slots__ = (
        "_answered",
        "_blocked",
        "_capture",
        "_exchange",
        "_held_session",
        "_mfa",
        "_parts",
        "_passing",
        "_send",
        "_stripped",
    )

    def __init__(
        self,
        mfa: MFA,
        parts: Parts,
        exchange: LoginExchange,
        send: Send,
        *,
        blocked: Blocked = (),
        stripped: bool = False,
    ) -> None:
        self._blocked = blocked
        self._stripped = stripped
        self._mfa = mfa
        self._parts = parts
        self._exchange = exchange
        self._send = send
        self._capture: Capture | None = None
        self._held_session: dict[str, Any] | None = None
        self._passing = False
        self._answered = False

    async def run(self, receive: Receive, *, ask: WhoAmI | None = None) -> None:
        """Call the app. A response that it never finishes is no login, and never leaves.

        ``ask`` asks it first who the request comes from.
        """
        login = self._exchange
        try:
            if ask is not None:
                await ask.look_before(login)
        except Refusal as error:
            await self._refuse(error)
            return
        try:
            await login.passage.app(login.scope, receive, self.send)
        except BaseException:
            if not self._passing and self._parts.login_user.notice(login):
                self._put_back()  # whoever answers this error further out saves the session
            raise
        finally:
            login.passage.end()
        if self._capture is not None and not self._passing and not self._answered:
            await self._refuse(LoginNotHeld("the app did not finish the login's response"))

    async def send(self, message: Message) -> None:
        """Take a message from the app."""
        if self._passing or (not self._answered and not await self._kept(message)):
            await self._send(self._cleaned(message) if self._parts.login_user.fields else message)

    async def _kept(self, message: Message) -> bool:
        """Whether the message is held back, or answered otherwise."""
        try:
            if self._capture is None and not self._begins_capture(message):
                if self._passing and (self._stripped or self._blocked or "session" in self._exchange.scope):
                    await self._tell_what_passes(message.get("status", 0))
                return False
            await self._take(message)
        except Refusal as error:
            await self._refuse(error)
        except Exception:
            if self._passing or self._answered:
                raise  # the server's: what was ours to do is done
            logger.exception("a login could not be looked at")
            await self._refuse(Misconfigured("looking at the login failed unexpectedly; see the log"))
        return True

    def _begins_capture(self, message: Message) -> bool:
        """Whether the response's start calls for a look at all of it. What may come before the start tells nothing."""
        if message["type"] != "http.response.start":
            return False
        login = self._exchange
        login.passage.started = True
        login.headers = message.get("headers", ())
        if isinstance(login.scope, RecordingScope):
            login.session_before = login.scope.before
        selectors = self._parts.login_user
        if selectors.notice(login) or (login.declared and selectors.needs_body(login.place)):
            self._capture = Capture(self._parts.settings.held_response_limit)
            return True
        if login.declared:
            selectors.refuse_blindness(login)
        self._passing = True
        return False

    async def _tell_what_passes(self, status: int) -> None:
        """A response that is no login for us goes: free what was blocked for it, and say what looks like a hole."""
        login = self._exchange
        await self._free()
        if not login.declared and login.place is Place.OUTSIDE and "session" in login.scope:
            await self._tell_undeclared(login)
        elif self._stripped and status in _REFUSED_WITHOUT_SESSION:
            self._parts.hints.stripped(login.scope["path"], status)

    async def _tell_undeclared(self, login: LoginExchange) -> None:
        """From outside a login at a path that is not declared cannot be held; when one shows, say so."""
        if login.session_cookies.within(login.scope["headers"]) or not login.gives_session:
            return
        value = self._parts.login_user.session_value(login.scope)
        if value is not None:
            trace = events.trace_id(login.scope["headers"])
            user = str(value)[:255]
            path = login.scope["path"]
            await self._parts.core.events.emit(events.LoginNotDeclared(user_id=user, trace_id=trace, path=path))

    async def _take(self, message: Message) -> None:
        capture = self._capture
        if capture is None:
            return
        if message["type"] == "http.response.start":
            self._held_session = session_content(self._exchange.scope)
        capture.add(message)
        if capture.complete:
            await self._decide(capture)

    async def _decide(self, capture: Capture) -> None:
        """The response is whole: hold it, or let it go as it came."""
        login = self._exchange
        login.status, login.headers, login.body = capture.status, capture.headers, capture.body
        user = await self._parts.login_user.user(login)
        if user is None or await self._is_in_already(user):
            await self._let_go(capture)
            return
        await self._free_renewed(user)
        inside = login.place is Place.INSIDE
        held = HeldLogin(
            status=capture.status,
            headers=(*self._parts.login_user.without_fields(capture.headers), *login.extra_cookies),
            body=capture.body,
            path=_url_path(login.scope),
            session=self._held_session if inside else None,
            blocked=tuple(digest for _, digest in self._blocked),
        )
        challenge = await self._mfa.begin_login(user, held, events.trace_id(login.scope["headers"]))
        if challenge is None:
            await self._let_go(capture)
            return
        # Its token is told to nobody: a page of another origin shall not begin a login in somebody's browser.
        self._parts.origins.check(login.scope)
        await self._answer(
            self._parts.dialect.challenge(
                challenge, login.scope, mount=login.passage.root_path + self._parts.settings.mount, held=held
            )
        )

    async def _is_in_already(self, user: str) -> bool:
        """Whether the request proves by a bearer token that its user was signed in before. Not at a declared login."""
        if self._exchange.declared or self._exchange.passage.marked:
            return False
        request = RequestExchange(self._exchange.scope, None)
        return await self._parts.request_user.bearer(request) == user

    async def _let_go(self, capture: Capture) -> None:
        await self._tell_what_passes(capture.status)
        self._passing = True
        for message in capture.messages:
            await self._send(self._cleaned(message))

    def _cleaned(self, message: Message) -> Message:
        """A message to the client, without the fields that are for us."""
        if message["type"] != "http.response.start" or not self._parts.login_user.fields:
            return message
        return {**message, "headers": self._parts.login_user.without_fields(message.get("headers", ()))}

    async def _free_renewed(self, user: str) -> None:
        """Free a session whose cookie is new in the response, unless its former value signs the user in as well."""
        login, asks = self._exchange, self._parts.login_user.asks
        if not (self._blocked and login.renewed_names):
            return
        if asks is not None and str(await asks.by_cookies(login)) == user:
            return
        await self._free(login.renewed_names)

    async def _free(self, names: Collection[str] | None = None) -> None:
        """Free the sessions that were blocked for this request: of all cookies, or of those whose value is new.

        After a failure they stay blocked.
        """
        freed = tuple(one for one in self._blocked if names is None or one[0] in names)
        if freed and self._parts.gate is not None:
            await self._parts.gate.free(freed)
        self._blocked = tuple(one for one in self._blocked if one not in freed)

    async def _refuse(self, error: Refusal) -> None:
        login = self._exchange
        trace = events.trace_id(login.scope["headers"])
        event = (
            events.LoginNotHeld(user_id=None, trace_id=trace, reason=error.reason, path=login.scope["path"])
            if isinstance(error, LoginNotHeld)
            else events.Refused(user_id=None, trace_id=trace, code=error.code, reason=error.reason)
        )
        await self._parts.core.events.emit(event)
        await self._answer(self._parts.dialect.problem(error, login.scope, trace_id=trace))

    async def _answer(self, answer: WireAnswer) -> None:
        self._answered, self._passing = True, False
        self._put_back()
        login = self._exchange
        await answer.send(self._send, *self._parts.origins.fields(login.scope))

    def _put_back(self) -> None:
        if self._exchange.place is Place.INSIDE and self._exchange.session_before is not None:
            self._exchange.session_before.put_back()


def login_scope(scope: Scope, parts: Parts, *, inside: bool, strip: bool, record: bool) -> Scope:
    """The scope of a request that may be a login, as the app is to see it.

    Without the server's response extensions: what they send cannot be held. With ``strip`` without session cookies.
    """
    # Inside, the session middleware around us must see what the app does to the very scope.
    inner = scope if inside else RecordingScope(scope) if record else dict(scope)
    if "extensions" in scope:
        kept = {name: value for name, value in scope["extensions"].items() if not name.startswith("http.response.")}
        inner["extensions"] = kept
    if strip:
        inner["headers"] = parts.session_cookies.without(scope["headers"])
    return inner


def _url_path(scope: Scope) -> str:
    """The path of the request's URL as the client wrote it."""
    raw: bytes = scope.get("raw_path") or b""
    text = raw.partition(b"?")[0].decode("latin-1")
    return text if text.startswith("/") else str(scope["path"])

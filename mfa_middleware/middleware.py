"""``MFAMiddleware``: an ASGI 3 callable around any app. It sends each request its way, and decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable

from mfa_middleware.answering import Answering
from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.gate import Blocked, GatedConnection, SessionGate, blocks
from mfa_middleware.holding import Responder, login_scope
from mfa_middleware.lifespan import Lifespan
from mfa_middleware.login_request import is_excepted
from mfa_middleware.mfa import MFA, refuse
from mfa_middleware.parts import Parts
from mfa_middleware.passage import PASSAGE, App, Passage, Receive, Scope, Send, is_below, untouched
from mfa_middleware.reporting import Way, reporting
from mfa_middleware.selectors import LoginExchange, Place
from mfa_middleware.selectors.base import INSIDE, OUTSIDE
from mfa_middleware.sessions import SessionBefore
from mfa_middleware.settings import Settings
from mfa_middleware.web_socket import WebSocketWatch

logger = logging.getLogger(__name__)


class MFAMiddleware:
    """Whoever logs in to ``app`` proves a second factor before the app's own answer leaves the server.

    Settings come from ``MFA_*`` variables unless ``settings`` are given. With ``mfa``, that object is used, and its
    sub-app is mounted by you. Never raises for a bad setting: start-up does, and without lifespan every request is
    answered 503.
    """

    def __init__(
        self,
        app: App,
        *,
        settings: Settings | None = None,
        mfa: MFA | None = None,
        plugins: Iterable[object] = (),
    ) -> None:
        self.app = app
        self.mfa = mfa or MFA(settings, plugins=plugins)
        self._mounts = mfa is None
        self._parts: Parts | None = None
        self._gate: SessionGate | None = None
        self._mount = ""
        self._api: Answering | None = None
        self._way: Way = self._onward
        self._watches = False
        self._undeclared: Way = self._watched
        self._sees_session = False
        self._strips_fields = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await Lifespan(self.mfa, self.app, receive, send).run(scope)
            return
        parts = self._parts or await self._assembled()
        if parts is None:
            await self._unavailable(scope, send, "not set up")
        elif self._gate is None or kind not in ("http", "websocket"):
            await self._way(parts, scope, receive, send)
        else:
            await self._through_gate(parts, self._gate, scope, receive, send)

    def _answered(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The way in where the dialect has an API of its own. What it does not answer goes on."""
        api = self._api
        if api is None or scope["type"] != "http" or not api.claims(scope):
            return self._onward(parts, scope, receive, send)
        scope[PASSAGE] = Passage(self.app, scope, lambda: None)

        async def go_on(receive: Receive, send: Send) -> None:
            del scope[PASSAGE]
            await self._onward(parts, scope, receive, send)

        return api.answer(self.mfa, scope, receive, send, go_on)

    def _onward(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What is to be awaited for that request. No coroutine of its own: every request comes by here."""
        if scope["type"] != "http":
            return self._not_http(parts, scope, receive, send)
        path = scope["path"]
        root_path = scope.get("root_path", "")
        if self._mounts and self._is_ours(path, root_path):
            return self._sub_app(scope, receive, send)
        if self._strips_fields:
            scope = _without_fields(parts, scope)
        methods = parts.login_methods(path, root_path)
        if methods:
            return self._may_be_login(parts, methods, scope, receive, send)
        if self._watches:
            return self._undeclared(parts, scope, receive, send)
        return self.app(scope, receive, send)

    def _not_http(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            return WebSocketWatch(parts, self.app, _without_fields(parts, scope), send).run(receive)
        return self.app(scope, receive, send)

    async def _through_gate(self, parts: Parts, gate: SessionGate, scope: Scope, receive: Receive, send: Send) -> None:
        """Any request in the mode ``gate``: without the cookies of blocked sessions."""
        if Place.of(scope) is Place.INSIDE or not parts.session_cookies.within(scope["headers"]):
            await self._way(parts, scope, receive, send)
            return
        try:
            await self.mfa.open()
            scope = await gate.admit(scope)
        except Unavailable as error:
            await self._unavailable(scope, send, error.reason)
            return
        except ConfigurationError as error:
            await self._unavailable(scope, send, str(error))
            return
        if scope["type"] == "http":
            methods = parts.login_methods(scope["path"], scope.get("root_path", ""))
            if methods and blocks(scope["method"], methods):
                await self._way(parts, scope, receive, send)
                return

        def refuse(error: Unavailable) -> Awaitable[None]:
            return self._unavailable(scope, send, error.reason)

        connection = GatedConnection(gate, scope, receive, send, refuse)
        await self._way(parts, scope, connection.receive, connection.send)

    def _watched(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """A path that is not declared: a login is noticed by the start of its response."""
        place = INSIDE if "session" in scope else OUTSIDE
        seen = scope if self._mounts or place is INSIDE else untouched(scope)
        passage = Passage(self.app, seen, lambda: _refusal_of_mark(parts, scope, declared=False))
        scope[PASSAGE] = passage
        # By position: by name it would cost half as much again, on every request.
        login = LoginExchange(scope, place, passage, False, parts.session_cookies)
        if self._sees_session and "session" in scope:
            login.session_before = SessionBefore(scope)
        return Responder(self.mfa, parts, login, send).run(receive)

    async def _may_be_login(
        self, parts: Parts, methods: frozenset[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A declared path: the whole response is looked at, where a selector must see it."""
        place = Place.of(scope)
        outside = place is Place.OUTSIDE
        if parts.login_except:
            excepted, receive = await is_excepted(parts.login_except, scope, receive)
            if excepted:
                await self._watched(parts, scope, receive, send)
                return
        had = outside and parts.session_cookies.within(scope["headers"])
        expected = bool(methods & {"*", scope["method"].upper()})
        strip = had and self._gate is None and expected
        blocked: Blocked = ()
        if had and self._gate is not None and blocks(scope["method"], methods):
            try:
                scope, blocked = await self._gate.block(scope)
            except Unavailable as error:
                await self._unavailable(scope, send, error.reason)
                return
        inner = login_scope(scope, parts, inside=not outside, strip=strip, record=had and not strip)
        seen = untouched(scope) if outside else scope
        holdable = strip or bool(blocked) or not had
        passage = Passage(self.app, seen, lambda: _refusal_of_mark(parts, scope, declared=holdable))
        inner[PASSAGE] = passage
        login = LoginExchange(
            inner,
            place,
            passage,
            declared=True,
            session_cookies=parts.session_cookies,
            gated=bool(blocked),
            expected=expected,
        )
        if not outside and "session" in inner:
            login.session_before = SessionBefore(inner)
        responder = Responder(self.mfa, parts, login, send, blocked=blocked, stripped=strip)
        await responder.run(receive, ask=parts.login_user.asks if outside else None)

    async def _sub_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "")
        inner = dict(scope)
        inner["root_path"] = root_path + self._mount
        if not is_below(scope["path"], root_path):
            inner["path"] = root_path + scope["path"]
        inner[PASSAGE] = Passage(self.app, scope, lambda: None)
        await self.mfa.app(inner, receive, send)

    def _is_ours(self, path: str, root_path: str) -> bool:
        if root_path and is_below(path, root_path):
            path = path[len(root_path.rstrip("/")) :]
        return path.startswith(self._mount) and path[len(self._mount) : len(self._mount) + 1] in ("", "/")

    async def _assembled(self) -> Parts | None:
        """All parts, once the settings are found to work; without lifespan this is the first look at the engines."""
        try:
            parts = self.mfa.parts
            await self.mfa.open()
        except ConfigurationError as error:
            logger.error("mfa-middleware: %s", error)
            return None
        except Unavailable as error:
            logger.warning("mfa-middleware: an engine is away; 503 where it is needed: %s", error.reason)
        self._mount = parts.settings.mount
        self._api = parts.dialect if isinstance(parts.dialect, Answering) else None
        self._way = self._onward if self._api is None else self._answered
        self._watches = bool(parts.login_user.watchers) or not self._mounts or parts.settings.report
        self._undeclared = reporting(self.app, self._watched) if parts.settings.report else self._watched
        self._gate = parts.gate
        self._strips_fields = bool(parts.login_user.fields)
        self._sees_session = parts.login_user.sees_session
        self._parts = parts
        return parts

    async def _unavailable(self, scope: Scope, send: Send, reason: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1011})
            return
        dialect = self._parts.dialect if self._parts is not None and self._api is not None else None
        await refuse(Unavailable(reason), scope, send, parts=self._parts, dialect=dialect)


def _without_fields(parts: Parts, scope: Scope) -> Scope:
    """The request without the fields of ``header:``: anybody could have written them."""
    headers = parts.login_user.without_fields(scope["headers"])
    if len(headers) == len(scope["headers"]):
        return scope
    if Place.of(scope) is Place.INSIDE:
        scope["headers"] = headers
        return scope
    return {**scope, "headers": headers}


def _refusal_of_mark(parts: Parts, scope: Scope, *, declared: bool) -> str | None:
    """Why a login that the app marks could not be held, if so."""
    if not parts.login_user.marks:
        return "MFA_LOGIN_USER does not name the selector mark"
    if not declared and Place.of(scope) is Place.OUTSIDE and parts.session_cookies.within(scope["headers"]):
        return (
            f"{scope['path']} is not in MFA_LOGIN, and the request came with a session cookie; "
            "declare the path, or put the middleware inside of the session middleware"
        )
    return None

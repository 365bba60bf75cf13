"""``MFAMiddleware``: an ASGI 3 callable around any app. It sends each request its way, and decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mfa_middleware.dialects.native import problem
from mfa_middleware.errors import ConfigurationError, Refusal, Unavailable
from mfa_middleware.events import trace_id
from mfa_middleware.holding import Responder, login_scope
from mfa_middleware.lifespan import Lifespan
from mfa_middleware.login_request import is_excepted
from mfa_middleware.mfa import MFA, Parts
from mfa_middleware.passage import PASSAGE, App, Passage, Receive, Scope, Send
from mfa_middleware.selectors import LoginExchange, Place
from mfa_middleware.sessions import SessionBefore
from mfa_middleware.settings import Settings
from mfa_middleware.web_socket import WebSocketWatch

logger = logging.getLogger(__name__)


class MFAMiddleware:
    """Whoever logs in to ``app`` proves a second factor before the app's own answer leaves the server.

    Settings come from ``MFA_*`` variables unless ``settings`` are given. With ``mfa``, that object is used and its sub-app
    is mounted by you. Never raises for a bad setting: start-up does, and without lifespan every request is answered 503.
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
        self._mount = ""
        self._watches = False
        self._sees_session = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await Lifespan(self.mfa, self.app, receive, send).run(scope)
            return
        parts = self._parts or self._assembled()
        if parts is None:
            await self._unavailable(scope, send)
        elif kind == "http":
            await self._http(parts, scope, receive, send)
        elif kind == "websocket":
            await WebSocketWatch(parts, self.app, scope, send).run(receive)
        else:
            await self.app(scope, receive, send)

    async def _http(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        root_path = scope.get("root_path", "")
        if self._mounts and self._is_ours(path, root_path):
            await self._sub_app(scope, receive, send)
        elif methods := parts.login_methods(path, root_path):
            await self._may_be_login(parts, methods, scope, receive, send)
        elif self._watches:
            await self._watch(parts, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _watch(self, parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
        """A path that is not declared: a login is noticed by the start of its response."""
        passage = Passage(self.app, lambda: _refusal_of_mark(parts, scope, declared=False))
        scope[PASSAGE] = passage
        place = Place.of(scope)
        login = LoginExchange(scope, place, passage, declared=False, session_cookies=parts.session_cookies)
        if self._sees_session and "session" in scope:
            login.session_before = SessionBefore(scope)
        await Responder(self.mfa, parts, login, send).run(receive)

    async def _may_be_login(
        self, parts: Parts, methods: frozenset[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A declared path: the whole response is looked at, where a selector must see it."""
        place = Place.of(scope)
        outside = place is Place.OUTSIDE
        if parts.login_except:
            excepted, receive = await is_excepted(parts.login_except, scope, receive)
            if excepted:
                await self._watch(parts, scope, receive, send)
                return
        declared_method = bool(methods & {"*", scope["method"].upper()})
        had = outside and parts.session_cookies.within(scope["headers"])
        strip = had and declared_method
        inner = login_scope(scope, parts, inside=not outside, strip=strip, record=had and not strip)
        passage = Passage(self.app, lambda: _refusal_of_mark(parts, scope, declared=True))
        inner[PASSAGE] = passage
        login = LoginExchange(inner, place, passage, declared=True, session_cookies=parts.session_cookies)
        if not outside and "session" in inner:
            login.session_before = SessionBefore(inner)
        responder = Responder(self.mfa, parts, login, send)
        await responder.run(receive, ask=parts.login_user.asks if had and not strip else None)

    async def _sub_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "")
        inner = dict(scope)
        inner["root_path"] = root_path + self._mount
        if not scope["path"].startswith(root_path):
            inner["path"] = root_path + scope["path"]
        inner[PASSAGE] = Passage(self.app, lambda: None)
        await self.mfa.app(inner, receive, send)

    def _is_ours(self, path: str, root_path: str) -> bool:
        if root_path and path.startswith(root_path):
            path = path[len(root_path) :]
        return path.startswith(self._mount) and path[len(self._mount) : len(self._mount) + 1] in ("", "/")

    def _assembled(self) -> Parts | None:
        try:
            parts = self.mfa.parts
        except ConfigurationError as error:
            logger.error("mfa-middleware: %s", error)
            return None
        self._mount = parts.settings.mount
        self._watches = bool(parts.login_user.watchers) or not self._mounts
        self._sees_session = parts.login_user.sees_session
        self._parts = parts
        return parts

    async def _unavailable(self, scope: Scope, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1011})
            return
        error: Refusal = Unavailable("not set up", retry_after=60)
        await problem(error, trace_id=trace_id(scope["headers"])).send(send)


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

"""The sub-app, put together: a Starlette app over the operations and the pages."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mfa_middleware.dialects.native import problem, wants_html
from mfa_middleware.errors import InvalidRequest, Misconfigured, NotFound, Refusal
from mfa_middleware.events import Refused, trace_id
from mfa_middleware.web import admin, api, openapi
from mfa_middleware.web.calls import Call, Desk, read_call
from mfa_middleware.web.operations import Operation, RawResponse
from mfa_middleware.web.origin import Origins
from mfa_middleware.web.pages import Pages
from mfa_middleware.web.schemas import Empty

logger = logging.getLogger(__name__)
OPERATIONS = (*api.OPERATIONS, *admin.OPERATIONS)
Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(desk: Desk) -> Starlette:
    """The sub-app for that desk. It knows nothing of the app that is wrapped."""
    site = _Site(desk)
    by_path: dict[str, list[Operation]] = {}
    for one in (*OPERATIONS, *site.pages.operations):
        by_path.setdefault(one.path, []).append(one)
    routes: list[BaseRoute] = [site.route(path, operations) for path, operations in by_path.items()]
    return Starlette(
        routes=[Route("/openapi.json", site.openapi), *routes],
        exception_handlers={HTTPException: site.no_such_route},
    )


class _Site:
    """Turns operations into endpoints: cross-origin rules before, errors after."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._origins = Origins(desk.core.settings)
        self.pages = Pages(desk)

    def route(self, path: str, operations: Iterable[Operation]) -> Route:
        """One route for all methods of a path, so that 405 names them all."""
        by_method = {one.method: one for one in operations} | {}
        methods = [*by_method, "OPTIONS"]

        async def endpoint(request: Request) -> Response:
            if request.method == "OPTIONS":
                return self._preflight(request, methods)
            one = by_method["GET" if request.method == "HEAD" else request.method]
            return await self._answer(request, one)

        return Route(_routable(path), endpoint, methods=methods)

    async def openapi(self, request: Request) -> Response:
        """``GET /openapi.json``."""
        mount = request.scope.get("root_path", "") or "/"
        whole = openapi.document(OPERATIONS, mount=mount, version=version("mfa-middleware"))
        return Response(json.dumps(whole), headers={"cache-control": "no-store"}, media_type="application/json")

    async def no_such_route(self, request: Request, error: Exception) -> Response:
        """404 and 405 as problem documents."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        refusal: Refusal = NotFound("no such route") if status == 404 else InvalidRequest("method not allowed")
        trace = trace_id(request.scope["headers"])
        if wants_html(request.scope) and request.method in ("GET", "HEAD"):
            return self.pages.no_such_page(self._bodiless(request, trace), refusal, status)
        response = RawResponse.of(problem(refusal, trace_id=trace, status=status))
        allow = (getattr(error, "headers", None) or {}).get("Allow")
        response.raw_headers += [(b"allow", allow.encode("latin-1"))] if allow else []
        return response

    def _preflight(self, request: Request, methods: list[str]) -> Response:
        allow = (b"allow", ", ".join(methods).encode())
        return RawResponse(204, (allow, (b"cache-control", b"no-store"), *self._origins.preflight(request.scope)), b"")

    async def _answer(self, request: Request, one: Operation) -> Response:
        trace = trace_id(request.scope["headers"])
        handler = self.pages.handlers.get(one.handler, one.handler) if wants_html(request.scope) else one.handler
        try:
            self._origins.check(request.scope)
            response = await handler(await read_call(self._desk, request, one.body, trace))
        except Refusal as error:
            response = await self._refused(request, one, error, trace)
        except Exception:
            logger.exception("a bug in mfa-middleware; trace %s", trace)
            response = await self._refused(request, one, Misconfigured("an unexpected error; see the log"), trace)
        response.raw_headers += self._origins.fields(request.scope)
        return response

    async def _refused(self, request: Request, one: Operation, error: Refusal, trace: str) -> Response:
        await self._desk.core.events.emit(Refused(user_id=None, trace_id=trace, code=error.code, reason=error.reason))
        if wants_html(request.scope):
            return await self.pages.refused(self._bodiless(request, trace), one, error)
        status = one.invalid_code_status if error.code == "invalid_code" else None
        return RawResponse.of(problem(error, trace_id=trace, status=status))

    def _bodiless(self, request: Request, trace: str) -> Call[Empty]:
        return Call(self._desk, request, Empty(), trace)


def _routable(path: str) -> str:
    """A user's id may contain slashes, an authenticator's may not."""
    return re.sub(r"{userId}", "{user_id:path}", path)

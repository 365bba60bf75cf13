"""The sub-app, put together: a Starlette app over the operations and the pages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mfa_middleware.dialects.native import problem, wants_html
from mfa_middleware.errors import InvalidCode, InvalidRequest, Misconfigured, NotFound, Refusal
from mfa_middleware.events import Refused, trace_id
from mfa_middleware.web import admin, api, openapi
from mfa_middleware.web.calls import Call, Desk, read_call
from mfa_middleware.web.operations import Operation, RawResponse
from mfa_middleware.web.origin import Origins
from mfa_middleware.web.pages import Pages
from mfa_middleware.web.schemas import Empty

logger = logging.getLogger(__name__)
OPERATIONS = (*api.OPERATIONS, *admin.OPERATIONS)


def make_app(desk: Desk) -> Starlette:
    """The sub-app for that desk. It knows nothing of the app that is wrapped."""
    site = _Site(desk)
    by_path: dict[str, list[Operation]] = {}
    for one in (*OPERATIONS, *site.pages.operations):
        by_path.setdefault(one.path, []).append(one)
    routes: list[BaseRoute] = [site.route(path, operations) for path, operations in by_path.items()]
    app = Starlette(
        routes=[Route("/openapi.json", site.openapi), *routes],
        exception_handlers={HTTPException: site.no_such_route},
    )
    app.router.redirect_slashes = False  # its redirections are made from Host, and may be stored
    return app


class _Site:
    """Turns operations into endpoints: cross-origin rules before, errors after."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._origins = Origins(desk.core.settings)
        self.pages = Pages(desk)

    def route(self, path: str, operations: Iterable[Operation]) -> Route:
        """One route for all methods of a path, so that 405 names them all."""
        by_method = {one.method: one for one in operations}
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
        response = Response(json.dumps(whole), headers={"cache-control": "no-store"}, media_type="application/json")
        response.raw_headers += self._origins.fields(request.scope)
        return response

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
        response.raw_headers += self._origins.fields(request.scope)
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
        if not isinstance(error, InvalidCode):  # that one has its own event
            refused = Refused(user_id=None, trace_id=trace, code=error.code, reason=error.reason)
            await self._desk.core.events.emit(refused)
        if wants_html(request.scope):
            try:
                return await self.pages.refused(self._bodiless(request, trace), one, error)
            except Exception:
                logger.exception("a page could not be made (a template of MFA_TEMPLATES?); trace %s", trace)
        status = one.invalid_code_status if error.code == "invalid_code" else None
        return RawResponse.of(problem(error, trace_id=trace, status=status))

    def _bodiless(self, request: Request, trace: str) -> Call[Empty]:
        return Call(self._desk, request, Empty(), trace)


class _UserIdConvertor(PathConvertor):
    """A user's id in a path: it may contain slashes and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("mfa_user_id", _UserIdConvertor())


def _routable(path: str) -> str:
    return path.replace("{userId}", "{user_id:mfa_user_id}")

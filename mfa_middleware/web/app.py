"""The sub-app, put together: a router of Starlette's over the operations and the pages."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from mfa_middleware.dialects.native import language_in, problem, wants_html
from mfa_middleware.errors import InvalidRequest, NotFound, Refusal
from mfa_middleware.loading import load
from mfa_middleware.web import admin, api
from mfa_middleware.web.calls import Desk
from mfa_middleware.web.operations import Handler, Operation, RawResponse
from mfa_middleware.web.pages import Pages
from mfa_middleware.web.site import Site

logger = logging.getLogger(__name__)
OPERATIONS = (*api.OPERATIONS, *admin.OPERATIONS)


def make_app(desk: Desk) -> Router:
    """The sub-app for that desk. It knows nothing of the app that is wrapped."""
    site = _NativeSite(desk)
    return site.app((*OPERATIONS, *site.pages.operations), {"/openapi.json": site.openapi})


class _NativeSite(Site):
    """Problem documents, and for browsers pages."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.pages = Pages(desk)

    def handler(self, request: Request, one: Operation) -> Handler:
        return self.pages.handlers.get(one.handler, one.handler) if wants_html(request.scope) else one.handler

    async def openapi(self, request: Request) -> Response:
        """``GET /openapi.json``."""
        mount = request.scope.get("root_path", "") or "/"
        factors = tuple(self.desk.core.factors)
        document = load("mfa_middleware.web.openapi:document")  # few ask for it, and its library is large
        whole = document(OPERATIONS, mount=mount, version=version("mfa-middleware"), factors=factors)
        response = Response(json.dumps(whole), headers={"cache-control": "no-store"}, media_type="application/json")
        response.raw_headers += self.origins.fields(request.scope)
        return response

    def no_such_route(self, request: Request, status: int, trace: str) -> Response:
        """404 and 405 as problem documents."""
        refusal: Refusal = NotFound("no such route") if status == 404 else InvalidRequest("no such method")
        if wants_html(request.scope) and request.method in ("GET", "HEAD"):
            try:
                return self.pages.no_such_page(self.bodiless(request, trace), refusal, status)
            except Exception:
                logger.exception("a page could not be made (a template of MFA_TEMPLATES?); trace %s", trace)
        return self._problem(request, refusal, trace, status)

    async def refusal(self, request: Request, one: Operation, error: Refusal, trace: str) -> Response:
        if wants_html(request.scope):
            try:
                return await self.pages.refused(self.bodiless(request, trace), one, error)
            except Exception:
                logger.exception("a page could not be made (a template of MFA_TEMPLATES?); trace %s", trace)
        status = one.invalid_code_status if error.code == "invalid_code" else None
        return self._problem(request, error, trace, status)

    def _problem(self, request: Request, error: Refusal, trace: str, status: int | None) -> Response:
        language = language_in(request.scope, self.desk.core.settings.locale)
        return RawResponse.of(problem(error, trace_id=trace, status=status, language=language))

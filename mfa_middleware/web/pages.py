"""The pages, for browsers. They work without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mfa_middleware.dialects.native import problem
from mfa_middleware.errors import Refusal
from mfa_middleware.web.calls import Desk
from mfa_middleware.web.operations import Handler, RawResponse


class Pages:
    """``routes`` are pages of their own; ``handlers`` take the place of the API's for who wants a page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes: Sequence[BaseRoute] = ()
        self.handlers: Mapping[Handler, Handler] = {}

    def refused(self, request: Request, error: Refusal, trace: str) -> Response:
        """The page that says what went wrong and what to do."""
        return RawResponse.of(problem(error, trace_id=trace))

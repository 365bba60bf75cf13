"""What every API of ours does alike: cross-origin rules before an operation, errors, events and trace ids after it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mfa_middleware.errors import ConfigurationError, InvalidCode, Misconfigured, Refusal, Unavailable
from mfa_middleware.events import Refused, trace_id
from mfa_middleware.web.calls import Call, Desk, read_call
from mfa_middleware.web.operations import Handler, Operation, RawResponse
from mfa_middleware.web.origin import Origins
from mfa_middleware.web.schemas import Empty

logger = logging.getLogger(__name__)
#: What is done for a request, given its trace id.
Work = Callable[[str], Awaitable[Response]]


class Site(ABC):
    """Turns operations into a Starlette app. How a refusal looks is its subclass's.

    ``opening`` is awaited before each operation, if the engines may not be open yet (:meth:`MFA.open`).
    """

    #: Request header fields that pages of ``MFA_ORIGINS`` may send, beside the usual ones.
    allowed_fields: Sequence[str] = ()

    def __init__(self, desk: Desk, opening: Callable[[], Awaitable[object]] | None = None) -> None:
        self.desk = desk
        self._opening = opening
        self.origins = Origins(desk.core.settings)

    @abstractmethod
    async def refusal(self, request: Request, one: Operation, error: Refusal, trace: str) -> Response:
        """The answer to a request that is refused."""

    @abstractmethod
    def no_such_route(self, request: Request, error: HTTPException, trace: str) -> Response:
        """The answer to a path, or a method of a path, that there is not."""

    def handler(self, request: Request, one: Operation) -> Handler:
        """What handles an operation for that request."""
        return one.handler

    def app(self, operations: Iterable[Operation], *more: BaseRoute) -> Starlette:
        """The app of these operations."""
        by_path: dict[str, list[Operation]] = {}
        for one in operations:
            by_path.setdefault(one.path, []).append(one)
        routes: list[BaseRoute] = [self._route(path, each) for path, each in by_path.items()]
        app = Starlette(routes=[*more, *routes], exception_handlers={HTTPException: self._unrouted})
        app.router.redirect_slashes = False  # its redirections are made from Host, and may be stored
        return app

    def _route(self, path: str, operations: Iterable[Operation]) -> Route:
        """One route for all methods of a path, so that 405 names them all."""
        by_method = {one.method: one for one in operations}
        methods = [*by_method, "OPTIONS"]

        async def endpoint(request: Request) -> Response:
            if request.method == "OPTIONS":
                return self.preflight(request, methods)
            one = by_method["GET" if request.method == "HEAD" else request.method]

            async def handled(trace: str) -> Response:
                return await self.handler(request, one)(await read_call(self.desk, request, one.body, trace))

            return await self.respond(request, one, handled)

        return Route(_routable(path), endpoint, methods=methods)

    async def respond(self, request: Request, one: Operation, work: Work) -> Response:
        """What ``work`` answers, given a trace id; or a refusal, told in an event."""
        trace = trace_id(request.scope["headers"])
        try:
            await self._opened()
            self.origins.check(request.scope)
            response = await work(trace)
        except Refusal as error:
            response = await self._refused(request, one, error, trace)
        except Exception:
            logger.exception("a bug in mfa-middleware; trace %s", trace)
            response = await self._refused(request, one, Misconfigured("an unexpected error; see the log"), trace)
        response.raw_headers += self.origins.fields(request.scope)
        return response

    async def _opened(self) -> None:
        try:
            if self._opening is not None:
                await self._opening()
        except ConfigurationError as error:
            raise Unavailable(f"not set up: {error}", retry_after=60) from error

    async def _refused(self, request: Request, one: Operation, error: Refusal, trace: str) -> Response:
        await self.tell(error, trace)
        return await self.refusal(request, one, error, trace)

    async def tell(self, error: Refusal, trace: str) -> None:
        """Tell of a refusal in an event."""
        if not isinstance(error, InvalidCode):  # that one has its own event
            refused = Refused(user_id=None, trace_id=trace, code=error.code, reason=error.reason)
            await self.desk.core.events.emit(refused)

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        found = error if isinstance(error, HTTPException) else HTTPException(404)
        response = self.no_such_route(request, found, trace_id(request.scope["headers"]))
        allow = (found.headers or {}).get("Allow")
        response.raw_headers += [(b"allow", allow.encode("latin-1"))] if allow else []
        response.raw_headers += self.origins.fields(request.scope)
        return response

    def preflight(self, request: Request, methods: Iterable[str]) -> Response:
        """What a browser asks before it lets a page of another origin send something."""
        fields = self.origins.preflight(request.scope, self.allowed_fields)
        allow = (b"allow", ", ".join(methods).encode())
        return RawResponse(204, (allow, (b"cache-control", b"no-store"), *fields), b"")

    def bodiless(self, request: Request, trace: str) -> Call[Empty]:
        """A call to an operation that takes nothing."""
        return Call(self.desk, request, Empty(), trace)


class _UserIdConvertor(PathConvertor):
    """A user's id in a path: it may contain slashes and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("mfa_user_id", _UserIdConvertor())


def _routable(path: str) -> str:
    return path.replace("{userId}", "{user_id:mfa_user_id}")

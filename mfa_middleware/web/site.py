"""What every API of ours does alike: cross-origin rules before an operation, errors, events and trace ids after it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from mfa_middleware.errors import ConfigurationError, InvalidCode, Misconfigured, Refusal, Unavailable
from mfa_middleware.events import Refused, trace_id
from mfa_middleware.passage import Receive, Scope, Send
from mfa_middleware.web.calls import Call, Desk, read_call
from mfa_middleware.web.operations import Handler, Operation, RawResponse
from mfa_middleware.web.origin import Origins
from mfa_middleware.web.schemas import Empty

logger = logging.getLogger(__name__)
#: What is done for a request, given its trace id.
Work = Callable[[str], Awaitable[Response]]
#: What answers a request.
Endpoint = Callable[[Request], Awaitable[Response]]
_GET, _HEAD, _OPTIONS = "GET", "HEAD", "OPTIONS"


class Site(ABC):
    """Turns operations into an ASGI app. How a refusal looks is its subclass's.

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
    def no_such_route(self, request: Request, status: int, trace: str) -> Response:
        """The answer to a path (404), or a method of a path (405), that there is not."""

    def handler(self, request: Request, one: Operation) -> Handler:
        """What handles an operation for that request."""
        return one.handler

    def app(self, operations: Iterable[Operation], documents: Mapping[str, Endpoint] | None = None) -> Router:
        """The app of these operations, and of ``documents`` to GET."""
        by_path: dict[str, dict[str, Endpoint]] = {}
        for one in operations:
            by_path.setdefault(one.path, {})[one.method] = self._endpoint(one)
        for path, document in (documents or {}).items():
            by_path[path] = {_GET: document}
        routes = [Route(_routable(path), _Methods(self, methods)) for path, methods in by_path.items()]
        # Starlette's redirections are made from Host, and may be stored.
        return Router(routes, redirect_slashes=False, default=self._nowhere)

    def _endpoint(self, one: Operation) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            async def handled(trace: str) -> Response:
                return await self.handler(request, one)(await read_call(self.desk, request, one.body, trace))

            return await self.respond(request, one, handled)

        return endpoint

    async def _nowhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A path that there is not."""
        await self.unrouted(Request(scope, receive), 404)(scope, receive, send)

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

    def unrouted(self, request: Request, status: int, *headers: tuple[bytes, bytes]) -> Response:
        """404 and 405, as pages of other origins may read them."""
        response = self.no_such_route(request, status, trace_id(request.scope["headers"]))
        response.raw_headers += [*headers, *self.origins.fields(request.scope)]
        return response

    def preflight(self, request: Request, *headers: tuple[bytes, bytes]) -> Response:
        """What a browser asks before it lets a page of another origin send something."""
        fields = self.origins.preflight(request.scope, self.allowed_fields)
        return RawResponse(204, (*headers, (b"cache-control", b"no-store"), *fields), b"")

    def bodiless(self, request: Request, trace: str) -> Call[Empty]:
        """A call to an operation that takes nothing."""
        return Call(self.desk, request, Empty(), trace)


class _Methods:
    """All methods of a path, so that 405 names them all. No function: Starlette would wrap one for its own errors."""

    def __init__(self, site: Site, methods: Mapping[str, Endpoint]) -> None:
        self._site = site
        self._methods = methods
        allowed = (*methods, *([_HEAD] if _GET in methods else []), _OPTIONS)
        self._allow = b"allow", ", ".join(allowed).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._response(request)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        endpoint = self._methods.get(_GET if request.method == _HEAD else request.method)
        if endpoint is not None:
            return await endpoint(request)
        if request.method == _OPTIONS:
            return self._site.preflight(request, self._allow)
        return self._site.unrouted(request, 405, self._allow)


class _UserIdConvertor(PathConvertor):
    """A user's id in a path: it may contain slashes and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("mfa_user_id", _UserIdConvertor())


def _routable(path: str) -> str:
    return path.replace("{userId}", "{user_id:mfa_user_id}")

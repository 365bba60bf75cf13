"""Authing's API as a whole: REST below ``/api/v2``, and what is ours of the app's GraphQL."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from functools import cache

from graphql import ExecutionResult, GraphQLError, execute, validate
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from mfa_authing.asked import Asked
from mfa_authing.documents import MOST_FIELDS, Asking, Whose, asked_by_get, asked_by_post, is_batch, look_at, may_ask
from mfa_authing.envelope import WRONG_RECOVERY_CODE, answer, graphql_error, told
from mfa_authing.legacy import Legacy, make_schema
from mfa_authing.replay import KeptBack, read_ahead
from mfa_authing.rest import CONFIRM, RECOVERY, REST, Rest
from mfa_authing.settings import AuthingSettings
from mfa_authing.users import TOTP
from mfa_middleware import MFA, InvalidCode, InvalidRequest, Misconfigured, NotFound, Refusal
from mfa_middleware.answering import GoOn
from mfa_middleware.models import Challenge
from mfa_middleware.passage import PASSAGE, READING, Receive, Scope, Send, is_below
from mfa_middleware.web.public import Call, Operation, RawResponse, Site, Work, released

logger = logging.getLogger(__name__)
_BAD_REQUEST = 400
_FIELDS = ("app-id", "lang", "request-from", "sdk-version", "tenant-id", "userpool-id")
_GRAPHQL = "graphql"
_BATCH = "a list of one login by graphql"


class _AuthingSite(Site):
    """Refusals in envelopes; in GraphQL as errors."""

    allowed_fields = tuple(f"x-authing-{name}" for name in _FIELDS)

    async def refusal(self, request: Request, one: Operation, error: Refusal, trace: str) -> Response:
        code = status = None
        if one.path == CONFIRM and isinstance(error, InvalidCode | InvalidRequest):
            code = status = _BAD_REQUEST
        elif one.path == RECOVERY and isinstance(error, InvalidCode):
            code = WRONG_RECOVERY_CODE
        refused = told(error, request.scope, trace_id=trace, code=code, status=status)
        document: object = refused.envelope if one.access == REST else graphql_error(refused.envelope)
        listed = [document] if one.access == _BATCH else document
        return RawResponse.of(answer(listed, *refused.headers, status=refused.status))

    def no_such_route(self, request: Request, status: int, trace: str) -> Response:
        refused = told(NotFound("no such route"), request.scope, trace_id=trace, code=status)
        return RawResponse.of(answer(refused.envelope, status=status))


class Pool:
    """What answers for one ``MFA``."""

    def __init__(self, mfa: MFA, settings: AuthingSettings) -> None:
        self._mfa = mfa
        self._site = _AuthingSite(mfa.parts.desk, mfa.open)
        self._rest = self._site.app(Rest(mfa, settings).operations)
        self._legacy = Legacy(mfa, settings) if settings.legacy else None
        self._schema = make_schema()

    def rest(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """A request to one of the REST paths."""
        inner = _read_as_ours(scope)
        root_path = scope.get("root_path", "")
        if not is_below(scope["path"], root_path):
            inner["path"] = root_path + scope["path"]
        return self._rest(inner, receive, send)

    async def graphql(self, scope: Scope, receive: Receive, send: Send, go_on: GoOn) -> None:
        """A request to the app's GraphQL: what is not ours goes on to it."""
        body, again = await read_ahead(receive) if may_ask(scope) else (None, receive)
        askings = _askings(scope, body)
        whose = {one.whose for one in askings} if self._legacy else {Whose.APPS}
        if whose - {Whose.APPS}:
            batch = body is not None and is_batch(body)
            await self._answer(askings, _read_as_ours(scope), send, whose=whose, batch=batch)
            return
        asked = Asked(cache(lambda: look_at(askings)))
        code = askings[0].mfa_code if self._legacy and len(askings) == 1 else None
        scope[READING] = asked
        passage = scope[PASSAGE]
        await go_on(again, send if code is None else KeptBack(asked, send).send)
        if code is not None and asked.challenge is not None:
            access = _BATCH if body is not None and is_batch(body) else _GRAPHQL
            await self._log_in(asked.challenge, code, {**scope, PASSAGE: passage}, send, access)

    async def _answer(
        self, askings: Sequence[Asking], scope: Scope, send: Send, *, whose: set[Whose], batch: bool
    ) -> None:
        request = Request(scope)

        async def answered(trace: str) -> Response:
            if whose != {Whose.OURS}:
                raise InvalidRequest("a GraphQL request that is ours and the app's", [("query", "send it alone")])
            if len(askings) > MOST_FIELDS:
                raise InvalidRequest("a large batch", [("query", f"send at most {MOST_FIELDS} at a time")])
            if scope["method"] == "GET" and any(one.changes for one in askings):
                raise InvalidRequest("a change by GET", [("query", "send a mutation by POST")])
            call = self._site.bodiless(request, trace)
            documents = [await self._executed(one, call) for one in askings]
            return RawResponse.of(answer(documents if batch else documents[0]))

        await self._responded(request, answered, send)

    async def _executed(self, asking: Asking, call: Call[BaseModel]) -> Mapping[str, object]:
        document = asking.document()
        assert document is not None  # noqa: S101  it was found to be ours
        errors = validate(self._schema, document)
        if errors:
            return {"errors": [{"message": await self._told(one, call)} for one in errors[:1]], "data": None}
        result = execute(
            self._schema,
            document,
            context_value=(self._legacy, call),
            variable_values=dict(asking.variables),
            operation_name=asking.operation,
        )
        result = result if isinstance(result, ExecutionResult) else await result
        wrong = [{"message": await self._told(one, call), "path": one.path} for one in result.errors or ()]
        return {"errors": wrong, "data": result.data} if wrong else {"data": result.data}

    async def _told(self, error: GraphQLError, call: Call[BaseModel]) -> Mapping[str, object]:
        """An error of GraphQL's as an envelope, told in an event if it refuses something."""
        refusal = error.original_error
        if refusal is None:
            refusal = InvalidRequest("a GraphQL document that does not fit", [("query", error.message)])
        elif not isinstance(refusal, Refusal):
            logger.error("a bug in mfa-middleware; trace %s", call.trace, exc_info=refusal)
            refusal = Misconfigured("an unexpected error; see the log")
        await self._site.tell(refusal, call.trace)
        return told(refusal, call.request.scope, trace_id=call.trace).envelope

    async def _log_in(self, challenge: Challenge, code: str, scope: Scope, send: Send, access: str) -> None:
        """Finish a login that came with its code."""
        request = Request(scope)

        async def verified(trace: str) -> Response:
            proven = await self._mfa.verify(challenge.mfa_token, TOTP, code, trace=trace)
            return await released(self._site.bodiless(request, trace), proven)

        await self._responded(request, verified, send, access)

    async def _responded(self, request: Request, work: Work, send: Send, access: str = _GRAPHQL) -> None:
        one = Operation(request.method, request.scope["path"], "", _nothing, 200, BaseModel, None, access)
        response = await self._site.respond(request, one, work)
        await response(request.scope, request.receive, send)


async def _nothing(_: Call[BaseModel]) -> Response:
    raise NotImplementedError("GraphQL has one handler for all operations")


def _askings(scope: Scope, body: bytes | None) -> Sequence[Asking]:
    if scope["method"] == "GET":
        return asked_by_get(scope)
    return () if body is None else asked_by_post(scope, body)


def _read_as_ours(scope: Scope) -> Scope:
    """A request that goes no further: selectors shall read its bearer token with or without the word ``Bearer``."""
    scope["headers"] = [
        (name, _with_scheme(value) if name.lower() == b"authorization" else value) for name, value in scope["headers"]
    ]
    return {**scope}


def _with_scheme(value: bytes) -> bytes:
    words = value.split()
    return b"Bearer " + words[0] if len(words) == 1 and words[0].lower() != b"bearer" else value

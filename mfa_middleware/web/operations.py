"""What an operation of the API is: route, shapes, errors and handler, in one place for the router and for OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from mfa_middleware.dialects import WireAnswer
from mfa_middleware.errors import Refusal
from mfa_middleware.response_body import RawHeaders
from mfa_middleware.web.calls import Call

Handler = Callable[[Call[Any]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``access`` says who may: user, binder (user or mfaToken), token, admin or anyone."""

    method: str
    path: str
    summary: str
    handler: Handler
    status: int
    body: type[BaseModel]
    answer: type[BaseModel] | None
    access: str
    errors: Sequence[type[Refusal]] = ()
    invalid_code_status: int = 401


class RawResponse(Response):
    """A response with exactly these header fields, in this order, as bytes."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = list(headers)

    @classmethod
    def of(cls, answer: WireAnswer) -> RawResponse:
        """A dialect's answer as a response."""
        return cls(answer.status, answer.headers, answer.body)


class ModelResponse(Response):
    """A pydantic model as JSON in camel case. Nothing here may be stored."""

    media_type = "application/json"

    def __init__(self, model: BaseModel, status: int = 200, *, leave_out_none: bool = False) -> None:
        body = model.model_dump_json(by_alias=True, exclude_none=leave_out_none)
        super().__init__(body, status, {"cache-control": "no-store"})


def no_content() -> Response:
    """204."""
    return Response(status_code=204, headers={"cache-control": "no-store"})

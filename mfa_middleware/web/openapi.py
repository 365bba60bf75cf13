"""OpenAPI 3.1 of the JSON API, made from the operations and their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from openapi_pydantic import OpenAPI
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

from mfa_middleware.dialects.native import STATUS
from mfa_middleware.errors import InvalidCode, Refusal
from mfa_middleware.web import schemas
from mfa_middleware.web.operations import Operation

_SECURITY: Mapping[str, Sequence[Mapping[str, Sequence[str]]]] = {
    "user": [{"session": []}, {"bearer": []}],
    "binder": [{"session": []}, {"bearer": []}, {"mfaToken": []}, {"mfaTokenCookie": []}],
    "token": [{"mfaToken": []}, {"mfaTokenCookie": []}, {}],  # the last: the token stands in the body
    "admin": [{"admin": []}, {"session": []}],
}
_SCHEMES = {
    "session": {"type": "apiKey", "in": "cookie", "name": "session", "description": "The app's own session cookie."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The app's own bearer token."},
    "mfaToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The mfaToken of a challenge.",
    },
    "mfaTokenCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "mfa_token",
        "description": "The mfaToken in the browser's cookie (`__Host-mfa_token` over HTTPS).",
    },
    "admin": {"type": "http", "scheme": "bearer", "description": "One of MFA_ADMIN_TOKEN."},
}


def document(operations: Iterable[Operation], *, mount: str, version: str) -> dict[str, Any]:
    """The OpenAPI document, as plain data."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    skeleton = OpenAPI.model_validate(
        {
            "info": {"title": "mfa-middleware", "version": version, "description": "A second factor for any ASGI app."},
            "servers": [{"url": mount}],
            "paths": paths,
            "components": {"securitySchemes": _SCHEMES},
        }
    )
    whole = construct_open_api_with_schema_class(skeleton, by_alias=True)
    return whole.model_dump(by_alias=True, exclude_none=True, mode="json")


def _operation(one: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "security": _SECURITY[one.access],
        "responses": _responses(one),
    }
    names = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if one.method in ("POST", "PATCH"):
        kinds = (
            ("application/json", "application/x-www-form-urlencoded") if one.method == "POST" else ("application/json",)
        )
        described["requestBody"] = {"required": False, "content": {kind: _content(one.body) for kind in kinds}}
    return described


def _responses(one: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    by_status: dict[int, list[str]] = {}
    for error in one.errors:
        by_status.setdefault(_status(one, error), []).append(error.code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "code: " + ", ".join(f"`{code}`" for code in codes),
            "content": {"application/problem+json": _content(schemas.Problem)},
        }
    success: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    if one.answer is not None:
        success["content"] = {"application/json": _content(one.answer)}
    responses[str(one.status)] = success
    if one.access == "token" and one.path != "/challenge":
        responses["default"] = {"description": "The app's own login response, as it was held."}
    return responses


def _status(one: Operation, error: type[Refusal]) -> int:
    return one.invalid_code_status if error is InvalidCode else STATUS[error]


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": PydanticSchema.model_validate({"schema_class": model})}


def _operation_id(one: Operation) -> str:
    words = [part for part in one.path.replace("-", "/").split("/") if part and not part.startswith("{")]
    by = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    return "_".join([one.method.lower(), *words, *(["by", *by] if by else [])])

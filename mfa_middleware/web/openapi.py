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
_ID = "/{id}"
#: Where an answer has an authenticator's id, by the field that says so (OpenAPI 3.1 §4.8.20.4).
_IDS = {"id": "$response.body#/id", "authenticators": "$response.body#/authenticators/0/id"}


def document(
    operations: Sequence[Operation], *, mount: str, version: str, factors: Sequence[str] = ()
) -> dict[str, Any]:
    """The OpenAPI document, as plain data. ``factors`` are the names of those in use."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, operations)
    skeleton = OpenAPI.model_validate(
        {
            "info": {"title": "mfa-middleware", "version": version, "description": "A second factor for any ASGI app."},
            "servers": [{"url": mount}],
            "paths": paths,
            "components": {"securitySchemes": _SCHEMES},
        }
    )
    whole = construct_open_api_with_schema_class(skeleton, by_alias=True)
    plain = whole.model_dump(by_alias=True, exclude_none=True, mode="json")
    _name_factors(plain["components"]["schemas"], factors)
    return plain


def _name_factors(shapes: Mapping[str, dict[str, Any]], factors: Sequence[str]) -> None:
    """Say in each request's body which factors there are: which, is a matter of settings."""
    for shape in shapes.values():
        factor = shape.get("properties", {}).get("factor", {})
        if factors and "pattern" in factor:
            factor["enum"] = list(factors)


def _operation(one: Operation, others: Iterable[Operation]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "security": _SECURITY[one.access],
        "responses": _responses(one, others),
    }
    if names := _parameters(one):
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if one.method in ("POST", "PATCH"):
        kinds = (
            ("application/json", "application/x-www-form-urlencoded") if one.method == "POST" else ("application/json",)
        )
        described["requestBody"] = {"required": False, "content": {kind: _content(one.body) for kind in kinds}}
    return described


def _responses(one: Operation, others: Iterable[Operation]) -> dict[str, Any]:
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
        if links := _links(one, one.answer, others):
            success["links"] = links
    responses[str(one.status)] = success
    if one.access == "token" and one.path != "/challenge":
        responses["default"] = {"description": "The app's own login response, as it was held."}
    return responses


def _links(one: Operation, answer: type[BaseModel], others: Iterable[Operation]) -> dict[str, Any]:
    """From the id that an operation answers to the operations below it that take one."""
    found = next((body for name, body in _IDS.items() if name in answer.model_fields), None)
    if found is None or one.method == "PATCH":  # that one changes nothing that another needs
        return {}
    return {
        _operation_id(other): {
            "operationId": _operation_id(other),
            "parameters": {name: found if name == "id" else f"$request.path.{name}" for name in _parameters(other)},
        }
        for other in others
        if other is not one and _ID in other.path and one.path.startswith(other.path.partition(_ID)[0])
    }


def _parameters(one: Operation) -> list[str]:
    return [part[1:-1] for part in one.path.split("/") if part.startswith("{")]


def _status(one: Operation, error: type[Refusal]) -> int:
    return one.invalid_code_status if error is InvalidCode else STATUS[error]


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": PydanticSchema.model_validate({"schema_class": model})}


def _operation_id(one: Operation) -> str:
    words = [part for part in one.path.replace("-", "/").split("/") if part and not part.startswith("{")]
    by = _parameters(one)
    return "_".join([one.method.lower(), *words, *(["by", *by] if by else [])])

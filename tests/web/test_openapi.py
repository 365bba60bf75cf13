"""The document says what the API does: every operation of the contract, every status."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from openapi_pydantic import OpenAPI

from mfa_middleware import MFAMiddleware
from mfa_middleware.dialects.native import STATUS
from mfa_middleware.web import openapi
from mfa_middleware.web.app import OPERATIONS
from tests.world import LoginApp, enrol

CONTRACT = {
    "POST /verify",
    "POST /release",
    "POST /challenge",
    "GET /authenticators",
    "POST /authenticators",
    "POST /authenticators/{id}/confirm",
    "PATCH /authenticators/{id}",
    "POST /authenticators/{id}/refresh",
    "DELETE /authenticators/{id}",
    "POST /recovery-codes",
    "POST /step-up",
    "GET /status",
    "GET /users/{userId}/authenticators",
    "PATCH /users/{userId}/authenticators/{id}",
    "DELETE /users/{userId}/authenticators/{id}",
    "DELETE /users/{userId}/authenticators",
    "POST /users/{userId}/authenticators/import",
    "DELETE /users/{userId}/lockout",
}
METHODS = ("get", "post", "patch", "delete")


@pytest.fixture
async def document(app_factory):
    response = await app_factory().get("/mfa/openapi.json")
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def test_it_is_openapi_31(document):
    parsed = OpenAPI.model_validate(document)
    assert parsed.openapi.startswith("3.1")
    assert document["servers"] == [{"url": "/mfa"}]


def test_it_has_every_operation_of_the_contract_and_no_other(document):
    there = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item if method in METHODS
    }
    assert there == CONTRACT


def test_every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    names = {one.removeprefix("#/components/schemas/") for one in references(document)}
    assert names
    assert names <= set(document["components"]["schemas"])


def test_operation_ids_are_unique_and_every_part_of_a_path_is_described(document):
    operations = [
        (path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
    for path, operation in operations:
        described = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_error_of_an_operation_is_a_status_of_it(operation):
    whole = openapi.document(OPERATIONS, mount="/mfa", version="0")
    responses = whole["paths"][operation.path][operation.method.lower()]["responses"]
    for error in operation.errors:
        status = operation.invalid_code_status if error.code == "invalid_code" else STATUS[error]
        assert f"`{error.code}`" in responses[str(status)]["description"]
    assert str(operation.status) in responses


async def test_what_is_answered_is_documented(app_factory, clock):
    client = app_factory(admin_token="an-admin-token-of-some-length")
    document = (await client.get("/mfa/openapi.json")).json()
    await enrol(client.mfa)
    callers: tuple[Any, ...] = (
        {},
        {"X-User": "alice"},
        {"X-User": "bob"},
        {"authorization": "Bearer an-admin-token-of-some-length"},
    )
    origins: tuple[Any, ...] = ({}, {"origin": "null"})
    bodies: tuple[Any, ...] = (
        {},
        {"json": {}},
        {"json": {"factor": "totp"}},
        {"json": {"factor": "totp", "code": "1"}},
        {"json": {"code": "1"}},
        {"content": b" " * 70_000, "headers": {"content-type": "application/json"}},
        {"json": {"factor": "none"}},
    )
    undocumented = set()
    for one in OPERATIONS:
        responses = document["paths"][one.path][one.method.lower()]["responses"]
        for caller in callers:
            for origin in origins:
                for body in bodies if one.method in ("POST", "PATCH") else ({},):
                    url = "/mfa" + one.path.format(id="x", userId="alice")
                    headers = {**caller, **origin, **body.get("headers", {})}
                    response = await client.request(one.method, url, **{**body, "headers": headers})
                    code = "" if response.status_code < 400 else response.json()["code"]
                    described = responses.get(str(response.status_code), {}).get("description", "")
                    if not described or (code and f"`{code}`" not in described):
                        undocumented.add((one.method, one.path, response.status_code, code))
    assert undocumented == set()


@pytest.mark.slow
def test_schemathesis_finds_no_answer_that_breaks_the_document(settings):
    schemathesis = pytest.importorskip("schemathesis")
    token = "an-admin-token-of-some-length"
    middleware = MFAMiddleware(LoginApp(), settings=settings(admin_token=token, database_url="sqlite://"))
    schema = schemathesis.openapi.from_asgi("/mfa/openapi.json", middleware)
    probed = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(max_examples=10, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(
            operation.as_strategy(), st.sampled_from([{}, {"X-User": "alice", "authorization": f"Bearer {token}"}])
        )
        def probe(case, caller):
            response = case.call(headers=caller)
            assert response.status_code < 500
            assert str(response.status_code) in case.operation.definition.raw["responses"]

        probe()
        probed.add(operation.label)
    assert probed == CONTRACT

"""The document says what the API does: every operation of the contract, every status."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from openapi_pydantic import OpenAPI
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from starlette.testclient import TestClient

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.dialects.native import STATUS
from mfa_middleware.testing import VirtualAuthenticator
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


# -------------------------------------------------------------------------------------- fuzzed by its own document

TOKEN = "an-admin-token-of-some-length"
SECRET = "JBSWY3DPEHPK3PXP" * 2
#: Checks that do not hold here, and need not.
EXCLUDED = [
    positive_data_acceptance,  # a right shape is not yet a right code, a fresh proof or a live authenticator
    ignored_auth,  # who calls stands in X-User, of which the document knows nothing: it is the app's affair
]
#: What a run must have met, so that none passes by being turned away everywhere.
MET_BY_A_USER = {
    ("POST", "/authenticators", 201),
    ("GET", "/authenticators", 200),
    ("POST", "/authenticators/{id}/confirm", 200),
    ("PATCH", "/authenticators/{id}", 404),
    ("DELETE", "/authenticators/{id}", 204),
    ("DELETE", "/authenticators/{id}", 404),
}
MET_BY_AN_ADMIN = {
    ("POST", "/users/{userId}/authenticators/import", 201),
    ("GET", "/users/{userId}/authenticators", 200),
    ("PATCH", "/users/{userId}/authenticators/{id}", 200),
    ("DELETE", "/users/{userId}/authenticators/{id}", 204),
    ("DELETE", "/users/{userId}/authenticators/{id}", 404),
}


def few(examples: int, **more: Any) -> hypothesis.settings:
    """The same examples each time."""
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
        **more,
    )


@pytest.fixture(scope="module")
def middleware():
    settings = Settings(
        admin_token=TOKEN,
        database_url="sqlite://",
        login_user="json:/user_id",
        request_user="header:X-User",
        engine_timeout=30,  # a machine under load is no fault
    )
    return MFAMiddleware(LoginApp(), settings=settings)


@pytest.fixture(scope="module")
def schema(middleware):
    found = schemathesis.openapi.from_asgi("/mfa/openapi.json", middleware)
    found.config.phases.stateful.link_calibration = False  # no example may learn from those before it
    return found


def held_token(middleware: MFAMiddleware) -> str:
    """The mfaToken of a login that is held."""
    with TestClient(middleware) as client:
        imported = {"factor": "totp", "secret": SECRET}
        url = "/mfa/users/alice/authenticators/import"
        assert client.post(url, json=imported, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 201
        return str(client.post("/login").json()["mfaToken"])


@pytest.mark.slow
def test_no_answer_to_anybody_breaks_the_document(schema, middleware):
    callers = [
        {},
        {"X-User": "alice"},
        {"X-User": "bob"},
        {"X-User": "bob", "authorization": f"Bearer {TOKEN}"},
        {"authorization": f"Bearer {held_token(middleware)}"},
    ]
    probed = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @few(5)
        @hypothesis.given(operation.as_strategy(), st.sampled_from(callers))
        def probe(case, caller):
            case.call_and_validate(headers=caller, excluded_checks=EXCLUDED)

        probe()
        probed.add(operation.label)
    assert probed == CONTRACT


class Journey:
    """A user who goes from answer to answer by the document's links, each example another one."""

    numbers = count()
    seen: set[tuple[str, str, int]]
    recorder: Any

    def setup(self):
        self.cookies: dict[str, str] = {}
        self.apps: dict[str, VirtualAuthenticator] = {}
        self.name = f"user-{next(self.numbers)}"

    def before_call(self, case):
        """Turn what is well formed into what is right, where no link can tell what that is."""
        if "userId" in case.path_parameters:
            case.path_parameters["userId"] = self.name
        if case.meta.generation.mode.is_negative or not isinstance(case.body, dict):
            return
        case.body.pop("mfaToken", None)  # any text would be taken for the caller's only credential
        if "secret" in case.body:
            case.body |= {"factor": "totp", "secret": SECRET, "recoveryCodes": []}
        app = self.apps.get(case.path_parameters.get("id", ""))
        if "code" in case.body and app is not None:
            case.body["code"] = app.code()

    def get_call_kwargs(self, case):
        headers = {"X-User": self.name, "authorization": f"Bearer {TOKEN}"}
        return {"headers": headers, "cookies": self.cookies}

    def after_call(self, response, case):
        super().after_call(response, case)  # type: ignore[misc]  # it is mixed into schemathesis' machine
        for cookie in response.headers.get("set-cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if response.status_code == 201 and "uri" in (shown := response.json()):
            self.apps[shown["id"]] = VirtualAuthenticator(shown["uri"])

    def validate_response(self, response, case, additional_checks=None, **sent):
        self.seen.add((case.method, case.path, response.status_code))
        case.validate_response(response, excluded_checks=EXCLUDED, transport_kwargs=sent, recorder=self.recorder)


def machine_of(schema: Any, seen: set[tuple[str, str, int]]) -> Any:
    return type("Machine", (Journey, schema.as_state_machine()), {"seen": seen})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("under_users", "met"), [(False, MET_BY_A_USER), (True, MET_BY_AN_ADMIN)], ids=["a user", "an admin"]
)
def test_no_way_along_the_links_breaks_the_document(schema, under_users, met):
    """Among others: what was deleted is gone, whichever operation asks for it."""
    part = schema.include(path_regex="^/users/") if under_users else schema.exclude(path_regex="^/users/")
    seen: set[tuple[str, str, int]] = set()
    machine_of(part, seen).run(settings=few(20, stateful_step_count=12))
    assert met <= seen

"""Rule 1, held means held: GraphQL, where the client chooses the names of what it is answered, and may ask twice."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.rules.apps import SECRET, checked, token_for, user_of_bearer
from tests.rules.conftest import Wrapped

BY_JWT = {"login_user": "jwt:/data/login/token#sub", "request_user": "bearer:sub", "app_jwt_key": SECRET}
BY_JSON = {"login_user": "json:/data/login/user", "request_user": "bearer:sub", "app_jwt_key": SECRET}
BY_ASKING = {"login_user": "whoami:/me#/user", "request_user": "whoami:/me#/user"}
RIGHT = {"username": "alice", "password": "wonderland"}
OTHER = {"username": "bob", "password": "builder"}


def _app() -> Starlette:
    """Answers ``{"as": NAME, "token": NAME, "login": {…}}`` as GraphQL answers aliases; a list of them as a batch."""

    def one(operation: dict[str, Any]) -> dict[str, Any]:
        user = checked(operation["login"])
        if user is None:
            return {"data": {operation.get("as", "login"): None}, "errors": [{"message": "wrong"}]}
        shown = {operation.get("token", "token"): token_for(user), operation.get("user", "user"): user}
        return {"data": {operation.get("as", "login"): shown}}

    async def graphql(request: Request) -> Response:
        asked = await request.json()
        return JSONResponse([one(each) for each in asked] if isinstance(asked, list) else one(asked))

    async def me(request: Request) -> Response:
        user = user_of_bearer(request.headers)
        return JSONResponse({"user": user}, 200 if user else 401)

    return Starlette(routes=[Route("/graphql", graphql, methods=["POST"]), Route("/me", me)])


ATTACKS: dict[str, Any] = {
    "plainly": {"login": RIGHT},
    "under an alias": {"login": RIGHT, "as": "x"},
    "the token under an alias": {"login": RIGHT, "token": "x"},
    "all under aliases": {"login": RIGHT, "as": "x", "token": "y", "user": "z"},
    "a batch of one": [{"login": RIGHT}],
    "a batch after a wrong one": [{"login": {"username": "alice", "password": "wrong"}}, {"login": RIGHT}],
    "a batch under aliases": [{"login": RIGHT, "as": "x", "token": "y"}],
}


@pytest.mark.parametrize("settings", [BY_JWT, BY_JSON, BY_ASKING], ids=["jwt", "json", "whoami"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_login_by_graphql_is_held_however_it_is_asked_for(
    attack: str, settings: dict[str, Any], wrapped: Wrapped
):
    site = wrapped(_app(), login="POST /graphql", **settings)
    client = site.client()
    answer = await client.post("/graphql", json=ATTACKS[attack])
    assert answer.code in ("mfa_required", "login_not_held")
    assert b"eyJ" not in answer.body.replace(str(answer.json.get("mfaToken")).encode(), b"")


@pytest.mark.parametrize("settings", [BY_JWT, BY_JSON, BY_ASKING], ids=["jwt", "json", "whoami"])
async def test_two_logins_in_one_response_are_refused(settings: dict[str, Any], wrapped: Wrapped):
    """One that needs no factor must not carry the other one out."""
    for batch in ([{"login": OTHER}, {"login": RIGHT}], [{"login": RIGHT, "as": "x"}, {"login": OTHER}]):
        site = wrapped(_app(), login="POST /graphql", **settings)
        answer = await site.client().post("/graphql", json=batch)
        assert answer.code in ("mfa_required", "login_not_held")
        assert token_for("alice").encode()[:20] not in answer.body or answer.code == "mfa_required"


@pytest.mark.parametrize("settings", [BY_JWT, BY_JSON, BY_ASKING], ids=["jwt", "json", "whoami"])
async def test_a_wrong_password_is_answered_as_by_the_bare_app(settings: dict[str, Any], wrapped: Wrapped):
    site = wrapped(_app(), login="POST /graphql", **settings)
    wrong = {"login": {"username": "alice", "password": "wrong"}}
    answer = await site.client().post("/graphql", json=wrong)
    assert (answer.status, answer.json["data"]) == (200, {"login": None})


@pytest.mark.parametrize("site_field", [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")])
async def test_a_page_of_another_origin_cannot_begin_a_login_in_somebody_s_browser(
    site_field: tuple[str, str], wrapped: Wrapped
):
    """Whose login it would be is the attacker's choice; the browser gets no mfaToken of it."""
    site = wrapped(_app(), login="POST /graphql", **BY_JWT)
    headers = [site_field, ("accept", "text/html")]
    answer = await site.client().post("/graphql", json={"login": RIGHT}, headers=headers)
    assert answer.status == 403
    assert answer.header("set-cookie") is None

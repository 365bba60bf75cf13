"""The dialect ``authing``: ways round the second factor for who knows the password, in pools of several shapes."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from typing import Any

import httpx2
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from mfa_middleware import MFA, MFAMiddleware, Settings, Unavailable
from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.web.public import Caller
from tests.plugins.authing_pool import LOGIN, USUAL, Pool, World
from tests.plugins.conftest import MakeWorld
from tests.world import earlier_code

ALICE, MALLORY = "alice@x.test", "mallory@x.test"
ALICE_S = 'login(email: "alice@x.test")'
MALLORY_S = 'login(email: "mallory@x.test")'
MANY = " ".join(f'a{number}: echo(text: "a-decoy-that-is-long-{number}")' for number in range(40))


def given_out(world: World, text: str) -> list[str]:
    """The tokens of Alice's that stand in a text."""
    return [token for token, email in world.pool.tokens.items() if email == ALICE and token in text]


# -------------------------------------------------------------------------------- names that the client chose: whoami:


HIDING = {
    "a decoy": f"mutation {{ {ALICE_S} {{ token: email t: token }} }}",
    "a decoy of OAuth": f"mutation {{ {ALICE_S} {{ access_token: email t: token }} }}",
    "an own token": f"mutation {{ a: {MALLORY_S} {{ token }} b: {ALICE_S} {{ t: token }} }}",
    "a decoy beside": f'mutation {{ token: echo(text: "none") {ALICE_S} {{ t: token }} }}',
    "many decoys": f"mutation {{ {MANY} {ALICE_S} {{ t: token }} }}",
    "a fragment": f"mutation {{ {MANY} z: {ALICE_S} {{ ...f }} }} fragment f on User {{ t: token }}",
    "depth": "mutation { " + ALICE_S + " { " + "me { " * 40 + "token" + " }" * 42,
    "depth and a name": "mutation { " + ALICE_S + " { " + "me { " * 40 + "t: token" + " }" * 42,
}
WAYS = ("POST", "batch", "GET", "slash", "multipart", "twice", "large")


@pytest.mark.parametrize("way", WAYS)
async def test_no_token_comes_out_whatever_stands_beside_it(world: World, way: str):
    await world.bind()
    for name, document in HIDING.items():
        answer = await asked(world, document, way)
        assert given_out(world, answer.text) == [], name
        assert "1635" in answer.text or "login_not_held" in answer.text, name


async def asked(world: World, document: str, way: str) -> httpx2.Response:
    """A document, sent in one of several ways."""
    client, item = world.client, {"query": document}
    headers = {"content-type": "application/json"}
    match way:
        case "GET":
            return await client.get("/graphql", params=item)
        case "slash":
            return await client.post("/graphql/", json=item)
        case "batch":
            return await client.post("/graphql", json=[{"query": "{ hello }"}, item])
        case "multipart":
            return await client.post("/graphql", files={"operations": (None, json.dumps(item))})
        case "twice":
            text = json.dumps({"query": "{ hello }"})[:-1] + ", " + json.dumps(item)[1:]
            return await client.post("/graphql", content=text, headers=headers)
        case "large":
            return await client.post("/graphql", json={**item, "variables": {"x": "x" * 70_000}})
        case _:
            return await client.post("/graphql", json=item)


@pytest.mark.parametrize("kind", ["text/event-stream", "multipart/mixed; boundary=-"])
async def test_nor_in_an_answer_that_comes_in_parts(world: World, kind: str, monkeypatch: pytest.MonkeyPatch):
    """A client of GraphQL may ask for one, by its ``Accept``."""
    await world.bind()

    async def in_parts(request: Request) -> Response:
        part = json.dumps({"data": {"login": {"t": world.pool.user(ALICE)["token"]}}})
        lines = f"event: next\ndata: {part}\n\n" if "event" in kind else f"---\r\n\r\n{part}\r\n-----\r\n"
        return Response(lines, media_type=kind)

    app = Starlette(routes=[Route("/graphql", in_parts, methods=["POST"]), *world.pool.app.routes])
    monkeypatch.setattr(world.middleware, "app", app)
    answer = await world.post("/graphql", {"query": f"mutation {{ {ALICE_S} {{ t: token }} }}"})
    assert "1635" in answer.text
    assert given_out(world, answer.text) == []


async def test_what_an_ordinary_query_answers_passes_however_many_ids_it_has(world: World):
    alice = await world.bind()
    for document in ("{ list { id } }", "{ mine: list { id } hello }", "query { list { id _id: email } me { id } }"):
        assert len((await world.graphql(document, token=alice.token))["data"].popitem()[1]) in (1, 5, 50)
        answer = await world.client.get("/graphql", params={"query": document})
        assert "errors" not in answer.json()


@pytest.mark.parametrize("scheme", ["Bearer ", ""])
async def test_a_query_that_repeats_its_client_s_own_token_is_no_login(world: World, scheme: str):
    alice = await world.bind()

    def me(caller: str | None) -> dict[str, Any]:
        return {"id": caller, "email": caller, "token": alice.token}

    world.pool.me = me
    headers = {"authorization": scheme + alice.token}
    answer = await world.client.post("/graphql", json={"query": "{ me { id token } }"}, headers=headers)
    assert answer.json() == {"data": {"me": {"id": ALICE, "token": alice.token}}}


# ------------------------------------------------------------------------------------------------------ jwt: and json:

KEY = "k" * 32
BY_JWT = {"login_user": "jwt:/data/login/token#uid", "request_user": "whoami:/me#/id"}
BY_RAW_JWT = {**BY_JWT, "login_user": "jwt:/data/raw#uid"}
BY_JSON = {"login_user": "json:/data/login/id", "request_user": "whoami:/me#/id"}
TWO = [
    f"mutation {{ login: {MALLORY_S} {{ id token }} b: {ALICE_S} {{ id token }} }}",
    f"mutation {{ login: {MALLORY_S} {{ id token }} b: {ALICE_S} {{ i: id t: token }} }}",
    f"mutation {{ login: {ALICE_S} {{ id: nickname token }} }}",
    f"mutation {{ login: {ALICE_S} {{ id: nickname t: token }} }}",
    f"mutation {{ x: {ALICE_S} {{ t: token }} }}",
    f'mutation {{ {MALLORY_S} {{ id token }} raw(email: "{ALICE}") }}',
    f'mutation {{ raw(email: "{MALLORY}") b: raw(email: "{ALICE}") }}',
    f'mutation {{ raw: echo(text: "x") b: raw(email: "{ALICE}") }}',
    f'mutation {{ b: raw(email: "{ALICE}") }}',
]


@pytest.mark.parametrize("settings", [BY_JWT, BY_RAW_JWT, BY_JSON], ids=["jwt", "raw", "json"])
async def test_a_pointer_that_the_client_leads_astray_lets_no_login_through(
    make_world: MakeWorld, settings: dict[str, str]
):
    world = make_world(**settings)
    if settings is not BY_JSON:
        world.pool.new_token = lambda email: jwt.encode({"uid": email, "jti": secrets.token_hex(8)}, KEY)
    token = world.pool.user(ALICE)["token"]
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["data"]
    code = {"totp": VirtualAuthenticator(begun["secret"]).code()}
    assert (await world.post("/api/v2/mfa/totp/associate/confirm", code, token=token)).json()["code"] == 200
    for document, way in itertools.product(TWO, ("POST", "batch", "GET", "slash", "twice")):
        answer = await asked(world, document, way)
        assert given_out(world, answer.text) == [], (document, way)


@pytest.mark.parametrize("settings", [BY_JWT, BY_JSON], ids=["jwt", "json"])
async def test_the_sdks_own_documents_are_read_by_a_pointer(make_world: MakeWorld, settings: dict[str, str]):
    world = make_world(**settings)
    world.pool.new_token = lambda email: jwt.encode({"uid": email, "jti": secrets.token_hex(8)}, KEY)
    document = "mutation login($email: String) { login(email: $email) { id email token } }"
    token = (await world.graphql(document, email=ALICE))["data"]["login"]["token"]
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["data"]
    phone = VirtualAuthenticator(begun["secret"])
    code = {"totp": earlier_code(phone)}
    assert (await world.post("/api/v2/mfa/totp/associate/confirm", code, token=token)).json()["code"] == 200
    told = (await world.graphql(document, email=ALICE))["errors"][0]["message"]
    assert (told["code"], told["data"]["email"]) == (1635, ALICE)
    body = {"totp": phone.code()}
    released = (await world.post("/api/v2/mfa/totp/verify", body, token=told["data"]["mfaToken"])).json()
    assert world.pool.tokens[released["data"]["token"]] == ALICE


# ------------------------------------------------------------------------------------------ what a client is answered


async def test_a_batched_login_with_a_wrong_code_is_answered_as_a_list(make_world: MakeWorld):
    world = make_world(authing_legacy=True)
    await world.bind()
    body = [{"query": LOGIN, "variables": {"email": ALICE, "MFACode": "000000"}}]
    [told] = (await world.post("/graphql", body)).json()
    assert (told["errors"][0]["message"]["code"], told["data"]) == (6001, None)


async def test_many_codes_at_once_have_the_one_budget(make_world: MakeWorld):
    world = make_world(authing_legacy=True, user_failures=3, pending_logins=30)
    alice = await world.bind()
    guesses = [world.graphql(LOGIN, email=ALICE, MFACode=f"{number:06}") for number in range(12)]
    codes = [one["errors"][0]["message"]["code"] for one in await asyncio.gather(*guesses)]
    assert sorted(codes) == [2057] * 9 + [6001] * 3
    assert world.told.names.count("failed") == 3
    right = await world.graphql(LOGIN, email=ALICE, MFACode=alice.phone.code())
    assert right["errors"][0]["message"]["code"] == 2057


async def test_a_code_of_a_one_step_login_verifies_nothing_more(make_world: MakeWorld):
    world = make_world(authing_legacy=True)
    alice = await world.bind()
    token = await world.mfa_token_of(ALICE)
    code = alice.phone.code()
    assert (await world.graphql(LOGIN, email=ALICE, MFACode=code))["data"]["login"]["email"] == ALICE
    assert (await world.post("/api/v2/mfa/totp/verify", {"totp": code}, token=token)).json()["code"] == 6001


async def test_ten_codes_are_not_voided_by_the_use_of_one(make_world: MakeWorld):
    """In the style ``list`` the answer has room for one code alone: the others stay what they are."""
    world = make_world(recovery_code_style="list")
    await world.bind()
    codes = (await world.middleware.mfa.regenerate_codes(Caller(ALICE, admin=True))) or ()
    for code in codes[:2]:
        token = await world.mfa_token_of(ALICE)
        answer = (await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": code}, token=token)).json()
        assert (answer["code"], answer["recoveryCode"]) == (200, None)
    assert (await world.middleware.mfa.overview(ALICE)).recovery_codes_left == len(codes) - 2 == 8


async def test_who_enables_while_redis_goes_away_is_told_the_secret_that_is_in_force(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
):
    world = make_world(authing_legacy=True)
    token = await world.token_of(ALICE)

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("Redis is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.middleware.mfa.parts.core.token_store), "prove", away)
        made = await world.graphql("mutation { changeMFA(enable: true) { shareKey } }", token=token)
    code = VirtualAuthenticator(made["data"]["changeMFA"]["shareKey"]).code()
    assert (await world.graphql(LOGIN, email=ALICE, MFACode=code))["data"]["login"]["email"] == ALICE
    again = await world.graphql("mutation { changeMFA(refreshKey: true) { shareKey } }", token=token)
    assert again["errors"][0]["message"]["data"]["error"] == "step_up_required"


async def test_in_the_mode_gate_a_lost_database_is_503_in_an_envelope(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
):
    world = make_world(session_mode="gate", session_cookie="session")
    await world.bind()

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the database is away")

    store = type(world.middleware.mfa.parts.core.authenticator_store)
    for verb in ("load", "block_session", "session_blocked", "sessions_blocked"):
        if hasattr(store, verb):
            monkeypatch.setattr(store, verb, away)
    cookie = {"cookie": "session=0123456789abcdef"}
    for method, path in (("POST", "/cookies"), ("GET", "/api/v2/mfa/authenticator"), ("GET", "/me")):
        answer = await world.call(method, path, {"email": ALICE} if method == "POST" else None, headers=cookie)
        assert (answer.status_code, answer.json()["code"]) == (503, 503)
        assert answer.headers["retry-after"]
        assert given_out(world, answer.text + str(answer.headers)) == []
    told = (await world.post("/graphql", {"query": LOGIN, "variables": {"email": ALICE}}, headers=cookie)).json()
    assert told["errors"][0]["message"]["code"] == 503


async def test_in_the_mode_gate_a_session_that_is_held_is_nobody_here_until_the_code(make_world: MakeWorld):
    world = make_world(session_mode="gate", session_cookie="session")
    alice = await world.bind()
    known = {"cookie": "session=an-id-of-the-attackers-choosing"}
    world.pool.new_token = lambda email: "an-id-of-the-attackers-choosing"
    challenge = (await world.post("/cookies", {"email": ALICE}, headers=known)).json()
    assert challenge["code"] == 1635
    for method, path in (
        ("GET", "/api/v2/mfa/authenticator"),
        ("POST", "/api/v2/mfa/totp/associate"),
        ("DELETE", "/api/v2/mfa/totp/associate"),
    ):
        assert (await world.call(method, path, {}, headers=known)).json()["code"] == 2020
    body, token = {"totp": alice.phone.code()}, challenge["data"]["mfaToken"]
    assert (await world.post("/api/v2/mfa/totp/verify", body, token=token)).json()["code"] == 200
    [one] = (await world.call("GET", "/api/v2/mfa/authenticator", headers=known)).json()["data"]
    assert one["userId"] == ALICE


# ------------------------------------------------------------------------------------------------- an enrolment's token


async def test_an_enrolment_s_token_does_nothing_but_bind_and_nothing_once_somebody_bound(
    make_world: MakeWorld, clock: Any
):
    """Who knows the password alone got it before the user bound a factor."""
    world = make_world(enrolment="required", authing_legacy=True, authing_reveal_secrets=True)
    token = (await world.post("/api/v2/login", {"email": ALICE})).json()["data"]["mfaToken"]
    pending = (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["data"]
    for method, path in (("DELETE", "mfa/totp/associate"), ("GET", f"users/{ALICE}/mfa-bound")):
        assert (await world.call(method, f"/api/v2/{path}", token=token)).json()["code"] == 2020
    code = {"totp": VirtualAuthenticator(pending["secret"]).code()}
    assert (await world.post("/api/v2/mfa/totp/verify", code, token=token)).json()["code"] in (2021, 6001)
    told = await world.graphql("mutation { changeMFA(enable: true) { shareKey } }", token=token)
    assert told["errors"][0]["message"]["code"] == 2020

    clock.shift(1)
    own = world.pool.user(ALICE)["token"]
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=own)).json()["data"]
    right = {"totp": VirtualAuthenticator(begun["secret"]).code()}
    assert (await world.post("/api/v2/mfa/totp/associate/confirm", right, token=own)).json()["code"] == 200
    for path, body in (("associate", {}), ("associate/confirm", code), ("associate/confirm", right)):
        answer = (await world.post(f"/api/v2/mfa/totp/{path}", body, token=token)).json()
        assert answer["code"] in (403, 404, 2021)
        assert given_out(world, json.dumps(answer)) == []
    seen = await world.call("GET", "/api/v2/mfa/authenticator", token=token)
    assert begun["secret"] not in seen.text
    assert begun["recovery_code"] not in seen.text


async def test_a_session_from_before_takes_no_second_factor_over(world: World, clock: Any):
    """It was signed in by the password alone, before its user bound a factor."""
    old = await world.token_of(ALICE)
    mine = (await world.post("/api/v2/mfa/totp/associate", {}, token=old)).json()["data"]
    clock.shift(1)
    alice = await world.bind()
    code = {"totp": VirtualAuthenticator(mine["secret"]).code()}
    for method, path, body in (
        ("POST", "associate/confirm", code),
        ("POST", "associate", {}),
        ("DELETE", "associate", None),
    ):
        answer = (await world.call(method, f"/api/v2/mfa/totp/{path}", body, token=old)).json()
        assert answer["code"] in (403, 404), path
    token, right = await world.mfa_token_of(ALICE), {"totp": alice.phone.code()}
    assert (await world.post("/api/v2/mfa/totp/verify", right, token=token)).json()["code"] == 200


# ------------------------------------------------------------------------------------------------ other ways to wrap it


async def test_the_sub_app_mounted_by_hand_and_the_dialect_go_together():
    pool = Pool()
    mfa = MFA(Settings(**USUAL))
    pool.app.routes.append(Mount("/second", app=mfa.app))
    app = MFAMiddleware(pool.app, mfa=mfa)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://pool.test") as client:
        token = (await client.post("/api/v2/login", json={"email": ALICE})).json()["data"]["token"]
        headers = {"authorization": token}
        begun = (await client.post("/api/v2/mfa/totp/associate", json={}, headers=headers)).json()["data"]
        body = {"totp": VirtualAuthenticator(begun["secret"]).code()}
        bound = await client.post("/api/v2/mfa/totp/associate/confirm", json=body, headers=headers)
        assert bound.json()["code"] == 200
        challenge = await client.post("/api/v2/login", json={"email": ALICE})
        assert challenge.json()["code"] == 1635
    await mfa.close()


@pytest.mark.parametrize(
    ("method", "kind", "query"),
    [
        ("POST", "application/json; charset=utf-7", "#+AFw-n nickname: token"),
        ("POST", 'application/json; charset="utf-16"', ""),
        ("GET", "application/json", ""),
    ],
)
async def test_a_profile_is_told_only_where_the_app_can_have_read_no_other_document(
    world: World, method: str, kind: str, query: str
):
    await world.bind()
    document = f"mutation {{ {ALICE_S} {{ email token {query}\n }} }}"
    headers = {"content-type": kind}
    if method == "GET":
        answer = await world.client.get("/graphql", params={"query": document}, headers=headers)
    else:
        answer = await world.client.post("/graphql", content=json.dumps({"query": document}), headers=headers)
    data = answer.json()["errors"][0]["message"]["data"]
    assert (data["email"], data["nickname"]) == (None, None)
    plain = await world.client.post("/graphql", json={"query": document}, headers={"content-type": "application/json"})
    assert plain.json()["errors"][0]["message"]["data"]["email"] == ALICE

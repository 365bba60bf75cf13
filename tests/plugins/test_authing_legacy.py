"""The dialect ``authing``: ``queryMFA``, ``changeMFA`` and the login with its code, as in the days before SDK 4."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.plugins.authing_pool import LOGIN, OWNER, World
from tests.plugins.conftest import MakeWorld

ALICE = "alice@x.test"
FIELDS = "{ _id userId userPoolId shareKey enable }"
QUERY = f"query queryMFA($_id: String, $userId: String) {{ queryMFA(_id: $_id, userId: $userId) {FIELDS} }}"
CHANGE = (
    "mutation changeMFA($_id: String, $userId: String, $enable: Boolean, $refreshKey: Boolean) "
    f"{{ changeMFA(_id: $_id, userId: $userId, enable: $enable, refreshKey: $refreshKey) {FIELDS} }}"
)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(authing_legacy=True, authing_user_pool_id="the-pool")


def refusal(answer: Any) -> tuple[int, str]:
    message = answer["errors"][0]["message"]
    assert answer["data"] is None or not any(answer["data"].values())
    return message["code"], message["data"]["error"]


async def changed(world: World, token: str, **variables: Any) -> Any:
    answer = await world.graphql(CHANGE, token=token, **variables)
    assert "errors" not in answer, answer
    return answer["data"]["changeMFA"]


async def asked(world: World, token: str, **variables: Any) -> Any:
    answer = await world.graphql(QUERY, token=token, **variables)
    assert "errors" not in answer, answer
    return answer["data"]["queryMFA"]


async def one_step(world: World, code: str) -> Any:
    return await world.graphql(LOGIN, email=ALICE, MFACode=code)


async def test_enabling_is_in_force_at_once_and_shows_the_secret_once(world: World):
    token = await world.token_of(ALICE)
    assert await asked(world, token, userId=ALICE) is None
    made = await changed(world, token, userId=ALICE, enable=True)
    assert (made["userId"], made["userPoolId"], made["enable"]) == (ALICE, "the-pool", True)
    assert len(made["shareKey"]) == 32
    assert await asked(world, token, userId=ALICE) == made | {"shareKey": None}
    assert await asked(world, token, _id=made["_id"]) == made | {"shareKey": None}
    await world.mfa_token_of(ALICE)


async def test_the_owner_may_ask_and_change_nothing(world: World):
    token = await world.token_of(ALICE)
    made = await changed(world, token, enable=True)
    for named in ({"userId": ALICE}, {"_id": made["_id"]}):
        assert (await asked(world, OWNER, **named))["_id"] == made["_id"]
        assert refusal(await world.graphql(CHANGE, token=OWNER, enable=False, **named)) == (403, "forbidden")
    assert await asked(world, OWNER, userId="bob@x.test") is None


@pytest.mark.parametrize("document", [QUERY, CHANGE])
async def test_a_stranger_may_nothing(world: World, document: str):
    alice, bob = await world.token_of(ALICE), await world.token_of("bob@x.test")
    made = await changed(world, alice, enable=True)
    for named in ({"userId": ALICE}, {"_id": made["_id"]}, {"userId": "nobody at all"}):
        assert refusal(await world.graphql(document, token=bob, **named)) == (403, "forbidden")
        assert refusal(await world.graphql(document, **named)) == (2020, "not_signed_in")
        mfa_token = await world.mfa_token_of(ALICE)
        assert refusal(await world.graphql(document, token=mfa_token, **named)) == (2020, "not_signed_in")


async def test_a_new_secret_takes_a_fresh_proof_and_keeps_the_id(world: World, clock: Any):
    token = await world.token_of(ALICE)
    made = await changed(world, token, enable=True)
    clock.shift(601)
    changes: list[dict[str, Any]] = [{"refreshKey": True}, {"enable": False}, {"enable": True, "refreshKey": True}]
    for change in changes:
        assert refusal(await world.graphql(CHANGE, token=token, **change)) == (403, "step_up_required")
    code = VirtualAuthenticator(made["shareKey"]).code()
    proven = (await one_step(world, code))["data"]["login"]["token"]
    anew = await changed(world, proven, _id=made["_id"], refreshKey=True)
    assert anew["_id"] == made["_id"]
    assert anew["shareKey"] not in (None, made["shareKey"])
    clock.shift(30)
    code = VirtualAuthenticator(made["shareKey"]).code()
    assert (await one_step(world, code))["errors"][0]["message"]["code"] == 6001
    code = VirtualAuthenticator(anew["shareKey"]).code()
    assert (await one_step(world, code))["data"]["login"]["email"] == ALICE


async def test_disabling_and_enabling_keep_the_secret(world: World):
    token = await world.token_of(ALICE)
    made = await changed(world, token, enable=True)
    assert await changed(world, token, enable=False) == made | {"enable": False, "shareKey": None}
    assert await world.token_of(ALICE)
    assert await changed(world, token, enable=True) == made | {"shareKey": None}
    code = VirtualAuthenticator(made["shareKey"]).code()
    assert (await one_step(world, code))["data"]["login"]["email"] == ALICE


async def test_the_names_of_sdk_4_do_the_same(world: World):
    token = await world.token_of(ALICE)
    document = "mutation changeMfa($enable: Boolean) { changeMfa(enable: $enable) { id userId enable secret } }"
    made = (await world.graphql(document, path="/graphql/v2", token=token, enable=True))["data"]["changeMfa"]
    assert len(made["secret"]) == 32
    document = "query queryMfa($id: String) { queryMfa(id: $id) { id userId userPoolId enable secret } }"
    found = (await world.graphql(document, path="/graphql/v2", token=token, id=made["id"]))["data"]["queryMfa"]
    assert (found["id"], found["enable"], found["secret"]) == (made["id"], True, None)


async def test_the_bearer_needs_no_word_before_it(world: World):
    token = await world.token_of(ALICE)
    answer = await world.post("/graphql", {"query": "{ queryMFA { _id } }"}, headers={"authorization": token})
    assert answer.json() == {"data": {"queryMFA": None}}


async def test_literals_aliases_fragments_and_batches_are_read(world: World):
    token = await world.token_of(ALICE)
    document = """
        query app { hello }
        query ours { ...root }
        fragment root on Query { mine: queryMFA(userId: "alice@x.test") { ...all } ... on Query { ...more } }
        fragment more on Query { again: queryMfa { id } }
        fragment all on MFA { enable }
    """
    item = {"query": document, "operationName": "ours"}
    answer = (await world.post("/graphql", item, token=token)).json()
    assert answer["errors"][0]["message"]["code"] == 400  # the app's operation in the document is none of ours
    item["query"] = document.replace("query app { hello }", "")
    assert (await world.post("/graphql", item, token=token)).json() == {"data": {"mine": None, "again": None}}
    batch = (await world.post("/graphql", [item, {"query": "{ queryMFA { _id } }"}], token=token)).json()
    assert batch == [{"data": {"mine": None, "again": None}}, {"data": {"queryMFA": None}}]


async def test_a_query_may_come_by_get_and_a_change_may_not(world: World):
    token = await world.token_of(ALICE)
    answer = await world.call("GET", "/graphql", token=token, params={"query": "{ queryMFA { _id } }"})
    assert answer.json() == {"data": {"queryMFA": None}}
    params = {"query": "mutation { changeMFA(enable: true) { _id } }"}
    assert refusal((await world.call("GET", "/graphql", token=token, params=params)).json())[0] == 400
    assert await world.token_of(ALICE)


@pytest.mark.parametrize(
    "query",
    [
        "{ queryMFA { _id } hello }",
        "{ hello ...more } fragment more on Query { queryMFA { _id } }",
        'mutation { changeMFA(enable: true) { _id } login(email: "bob") { token } }',
        "query a { queryMFA { _id } } query b { hello }",
        "{" + " ".join(f"a{number}: queryMFA {{ _id }}" for number in range(11)) + "}",
    ],
)
async def test_what_is_ours_and_the_app_s_is_refused(world: World, query: str):
    token = await world.token_of(ALICE)
    assert refusal(await world.graphql(query, token=token)) == (400, "invalid_request")
    assert world.pool.seen == []


async def test_a_mixed_or_large_batch_is_refused(world: World):
    token = await world.token_of(ALICE)
    ours, apps = {"query": "{ queryMFA { _id } }"}, {"query": "{ hello }"}
    for batch in ([ours, apps], [apps, ours], [ours] * 11):
        assert refusal((await world.post("/graphql", batch, token=token)).json())[0] == 400
    assert world.pool.seen == []


@pytest.mark.parametrize(
    "query",
    [
        "{ hello }",
        "{ queryMFA: hello }",
        "{ hello } # queryMFA { _id }",
        "{ queryMFA {",
        "{ me { id } queryMfaX: hello }",
    ],
)
async def test_what_is_the_app_s_reaches_it_as_it_came(world: World, query: str):
    body = json.dumps({"query": query, "variables": {"x": "changeMFA"}}).encode()
    headers = {"content-type": "application/json"}
    await world.client.post("/graphql", content=body, headers=headers)
    assert world.pool.seen == [body]


async def test_a_large_body_is_the_app_s(world: World):
    body = {"query": "{ queryMFA { _id } }", "variables": {"x": "x" * 70_000}}
    answer = (await world.post("/graphql", body)).json()
    assert len(world.pool.seen) == 1
    assert "queryMFA" in answer["errors"][0]["message"]


async def test_without_the_switch_all_of_it_is_the_app_s(make_world: MakeWorld):
    world = make_world()
    alice = await world.bind()
    answer = await world.graphql(CHANGE, token=alice.token, enable=False)
    assert "Cannot query field" in answer["errors"][0]["message"]
    told = (await world.graphql(LOGIN, email=ALICE, MFACode=alice.phone.code()))["errors"][0]["message"]
    assert told["code"] == 1635


# -------------------------------------------------------------------------------------------- the login with its code


@pytest.mark.parametrize(
    "document",
    [LOGIN, 'mutation { login(email: "alice@x.test", MFACode: "CODE") { token email } }'],
    ids=["variable", "literal"],
)
async def test_a_right_code_lets_the_login_through_in_one_step(world: World, document: str):
    alice = await world.bind()
    code = alice.phone.code()
    variables = {"email": ALICE, "MFACode": code} if document == LOGIN else {}
    answer = await world.graphql(document.replace("CODE", code) if document != LOGIN else LOGIN, **variables)
    assert answer["data"]["login"]["token"] in world.pool.tokens
    assert "errors" not in answer
    again = await one_step(world, code)  # a code works once
    assert again["errors"][0]["message"]["code"] == 6001


async def test_a_wrong_code_is_refused_and_counted_with_all_others(make_world: MakeWorld):
    world = make_world(authing_legacy=True, user_failures=4)
    alice = await world.bind()
    body = {"totp": "000000"}
    for _ in range(2):
        answer = await one_step(world, "000000")
        assert answer["errors"][0]["message"]["code"] == 6001
        assert "mfaToken" not in json.dumps(answer)
        wrong = await world.post("/api/v2/mfa/totp/verify", body, token=await world.mfa_token_of(ALICE))
        assert wrong.json()["code"] == 6001
    assert (await one_step(world, alice.phone.code()))["errors"][0]["message"]["code"] == 2057
    right = {"totp": alice.phone.code()}
    locked = await world.post("/api/v2/mfa/totp/verify", right, token=await world.mfa_token_of(ALICE))
    assert locked.json()["code"] == 2057
    assert "locked" in world.told.names


async def test_a_login_without_a_factor_goes_through_with_or_without_a_code(world: World):
    for code in ("123456", ""):
        assert (await one_step(world, code))["data"]["login"]["email"] == ALICE

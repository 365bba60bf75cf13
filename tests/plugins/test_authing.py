"""The dialect ``authing``: the life of a binding by REST, and what logins look like meanwhile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.plugins.authing_pool import LOGIN, OWNER, World
from tests.plugins.conftest import MakeWorld

ALICE = "alice@x.test"
CODE = re.compile("([0-9a-f]{4}-){5}[0-9a-f]{4}")


async def listed(world: World, token: str, **more: Any) -> Any:
    answer = await world.call("GET", "/api/v2/mfa/authenticator", token=token, params={"type": "totp"}, **more)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return answer.json()["data"]


async def test_an_association_gives_all_that_an_app_shows(world: World):
    token = await world.token_of(ALICE)
    answer = (await world.post("/api/v2/mfa/totp/associate", {"authenticatorType": "totp"}, token=token)).json()
    shown = answer["data"]
    assert (answer["code"], shown["authenticator_type"]) == (200, "totp")
    assert shown["qrcode_data_url"].startswith("data:image/png;base64,")
    assert shown["secret"] in shown["qrcode_uri"]
    assert CODE.fullmatch(shown["recovery_code"])


async def test_what_is_pending_gates_nothing_is_not_listed_and_can_be_deleted(world: World):
    token = await world.token_of(ALICE)
    await world.post("/api/v2/mfa/totp/associate", {}, token=token)
    assert await listed(world, token) == []
    deleted = await world.call("DELETE", "/api/v2/mfa/totp/associate", token=token)
    assert deleted.json()["code"] == 200
    again = await world.post("/api/v2/mfa/totp/associate/confirm", {"totp": "123456"}, token=token)
    assert (again.status_code, again.json()["code"]) == (200, 404)


@pytest.mark.parametrize("body", [{"totp": "000000"}, {"totp": ""}, {}, {"totp": ["000000"]}])
async def test_a_wrong_confirmation_is_400_twice_over(world: World, body: dict[str, object]):
    token = await world.token_of(ALICE)
    await world.post("/api/v2/mfa/totp/associate", {}, token=token)
    answer = await world.post("/api/v2/mfa/totp/associate/confirm", body, token=token)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert (await world.post("/api/v2/login", {"email": ALICE})).json()["code"] == 200


async def test_bodies_may_be_forms(world: World):
    token = await world.token_of(ALICE)
    headers = {"authorization": token}
    begun = await world.client.post("/api/v2/mfa/totp/associate", data={"authenticator_type": "totp"}, headers=headers)
    code = VirtualAuthenticator(begun.json()["data"]["qrcode_uri"]).code()
    answer = await world.client.post("/api/v2/mfa/totp/associate/confirm", data={"totp": code}, headers=headers)
    assert answer.json()["code"] == 200


@pytest.mark.parametrize("path", ["/api/v2/mfa/totp/verify", "/api/v2/applications/mfa/totp/verify"])
async def test_a_login_is_challenged_and_released(world: World, path: str):
    alice = await world.bind()
    challenged = await world.post("/api/v2/login", {"email": ALICE}, token=alice.token)  # signed in already, and yet
    challenge = challenged.json()
    assert (challenged.status_code, challenge["code"], challenge["message"]) == (200, 1635, "请输入二次认证安全码")
    known = {key: value for key, value in challenge["data"].items() if key != "mfaToken"}
    assert known == {
        "nickname": "Al",
        "email": ALICE,
        "username": None,
        "avatar": "https://x/al.png",
        "phone": None,
        "totpMfaEnabled": True,
        "faceMfaEnabled": False,
        "applicationMfa": [{"mfaPolicy": "OTP", "status": 1, "sort": 0}],
    }
    answer = await world.post(path, {"totp": alice.phone.code()}, token=challenge["data"]["mfaToken"])
    released = answer.json()
    assert (answer.status_code, released["code"]) == (200, 200)
    assert world.pool.tokens[released["data"]["token"]] == ALICE == released["data"]["id"]
    assert {"theme", "mfa_assurance"} <= {one.partition("=")[0] for one in answer.headers.get_list("set-cookie")}
    again = await world.post(path, {"totp": alice.phone.code(offset_steps=1)}, token=challenge["data"]["mfaToken"])
    assert again.json()["code"] == 2021


async def test_messages_are_english_for_who_asks_for_it(world: World):
    alice = await world.bind()
    answer = await world.post("/api/v2/login", {"email": alice.email}, headers={"x-authing-lang": "en-US"})
    assert answer.json()["message"] == "Enter the code of your second factor."


@pytest.mark.parametrize(("path", "id_of"), [("/plain", "id"), ("/graphql", "_id")])
async def test_the_released_user_is_found_in_every_kind_of_answer(world: World, path: str, id_of: str):
    alice = await world.bind()
    body = {"query": LOGIN, "variables": {"email": ALICE}} if path == "/graphql" else {"email": ALICE}
    challenge = (await world.post(path, body)).json()
    told = challenge["errors"][0]["message"] if path == "/graphql" else challenge
    assert told["code"] == 1635
    assert path != "/graphql" or challenge["data"] == {"login": None}
    token = told["data"]["mfaToken"]
    released = (await world.post("/api/v2/mfa/totp/verify", {"totp": alice.phone.code()}, token=token)).json()["data"]
    assert (released[id_of], world.pool.tokens[released["token"]]) == (ALICE, ALICE)


async def test_a_login_by_cookie_is_released_with_its_cookies(world: World):
    alice = await world.bind()
    challenge = (await world.post("/cookies", {"email": ALICE})).json()
    token = challenge["data"]["mfaToken"]
    answer = await world.post("/api/v2/mfa/totp/verify", {"totp": alice.phone.code()}, token=token)
    assert answer.json()["data"] == {}
    given = dict(one.split(";")[0].split("=", 1) for one in answer.headers.get_list("set-cookie"))
    assert world.pool.tokens[given["session"]] == ALICE


async def test_a_browser_gets_the_pages(world: World):
    await world.bind()
    answer = await world.post("/api/v2/login", {"email": ALICE}, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/mfa/challenge")


async def test_the_native_api_is_there_as_well(world: World):
    alice = await world.bind()
    body = {"factor": "totp", "code": alice.phone.code(), "mfaToken": await world.mfa_token_of(ALICE)}
    answer = await world.post("/mfa/verify", body)
    assert answer.json()["data"]["id"] == ALICE


# ------------------------------------------------------------------------------------------------------ recovery codes


async def test_a_recovery_code_releases_a_login_and_is_replaced(world: World):
    alice = await world.bind()
    spellings = [alice.recovery_code, alice.recovery_code.upper().replace("-", "")]
    first, second = [await world.mfa_token_of(ALICE) for _ in range(2)]
    answer = (await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": spellings[1]}, token=first)).json()
    assert (answer["code"], answer["data"]["id"]) == (200, ALICE)
    new = answer["recoveryCode"]
    assert CODE.fullmatch(new)
    assert new != alice.recovery_code
    for spelling in spellings:  # the old one is dead for logins from before, and for new ones
        for token in (second, await world.mfa_token_of(ALICE)):
            again = await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": spelling}, token=token)
            assert again.json()["code"] == 6002
    token = await world.mfa_token_of(ALICE)
    assert (await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": new}, token=token)).json()["code"] == 200


async def test_a_recovery_code_is_in_force_from_the_confirmation_alone(world: World):
    """A new association shows a new one; until it is confirmed the former works, and then no more."""
    alice = await world.bind()
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=alice.token)).json()["data"]
    wrong = await world.post(
        "/api/v2/mfa/totp/recovery", {"recoveryCode": begun["recovery_code"]}, token=await world.mfa_token_of(ALICE)
    )
    assert wrong.json()["code"] == 6002
    code = VirtualAuthenticator(begun["qrcode_uri"]).code()
    await world.post("/api/v2/mfa/totp/associate/confirm", {"totp": code}, token=alice.token)
    [one] = await listed(world, alice.token)
    assert one["enable"]
    for code, expected in ((alice.recovery_code, 6002), (begun["recovery_code"], 200)):
        token = await world.mfa_token_of(ALICE)
        answer = await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": code}, token=token)
        assert answer.json()["code"] == expected


async def test_a_code_that_a_page_used_is_used_here_too(world: World):
    alice = await world.bind()
    code = alice.recovery_code
    body = {"factor": "recovery_code", "code": code, "mfaToken": await world.mfa_token_of(ALICE)}
    assert (await world.post("/mfa/verify", body)).status_code == 200
    token = await world.mfa_token_of(ALICE)
    assert (await world.post("/api/v2/mfa/totp/recovery", {"recoveryCode": code}, token=token)).json()["code"] == 6002


async def test_a_page_shows_the_one_code_at_the_confirmation(world: World):
    token = await world.token_of(ALICE)
    begun = (await world.post("/mfa/authenticators", {"factor": "totp"}, token=token)).json()
    code = VirtualAuthenticator(begun["uri"]).code()
    confirmed = await world.post(f"/mfa/authenticators/{begun['id']}/confirm", {"code": code}, token=token)
    [shown] = confirmed.json()["recoveryCodes"]
    assert CODE.fullmatch(shown)
    answer = await world.post(
        "/api/v2/mfa/totp/recovery", {"recoveryCode": shown}, token=await world.mfa_token_of(ALICE)
    )
    assert answer.json()["code"] == 200


# ------------------------------------------------------------------------------------------------------------ unbinding


async def test_a_live_one_is_deleted_with_a_fresh_proof_alone(world: World, clock: Any):
    alice = await world.bind()
    clock.shift(601)
    refused = (await world.call("DELETE", "/api/v2/mfa/totp/associate", token=alice.token)).json()
    assert (refused["code"], refused["data"]["error"]) == (403, "step_up_required")
    token = await world.mfa_token_of(ALICE)
    released = (await world.post("/api/v2/mfa/totp/verify", {"totp": alice.phone.code()}, token=token)).json()
    deleted = await world.call("DELETE", "/api/v2/mfa/totp/associate", token=released["data"]["token"])
    assert deleted.json()["code"] == 200
    assert (await world.post("/api/v2/login", {"email": ALICE})).json()["code"] == 200


# ------------------------------------------------------------------------------------------------------------ enrolment


async def test_a_login_that_demands_a_binding_is_released_by_its_confirmation(make_world: MakeWorld):
    world = make_world(enrolment="required")
    challenge = (await world.post("/api/v2/login", {"email": ALICE})).json()
    assert (challenge["code"], challenge["data"]["totpMfaEnabled"]) == (1635, False)
    token = challenge["data"]["mfaToken"]
    assert await listed(world, token) == []
    begun = (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["data"]
    phone = VirtualAuthenticator(begun["qrcode_uri"])
    answer = await world.post("/api/v2/mfa/totp/associate/confirm", {"totp": phone.code()}, token=token)
    assert answer.json()["data"]["id"] == ALICE
    assert answer.json()["data"]["token"] in world.pool.tokens
    assert (await world.post("/api/v2/mfa/totp/associate", {}, token=token)).json()["code"] == 2021


# ------------------------------------------------------------------------------------------------------------ the admin


async def test_an_owner_sees_imports_and_unbinds(world: World):
    bound = "/api/v2/users/alice@x.test/mfa-bound"
    body = {"userId": ALICE, "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "recoveryCode": "aaaa-bbbb-cccc"}
    assert (await world.call("GET", bound, token=OWNER)).json()["data"] == {"OTP": False, "FACE": False}
    imported = (await world.post("/api/v2/mfa/totp/import", body, token=OWNER)).json()["data"]
    assert (imported["userId"], imported["recoveryCode"], imported["enable"]) == (ALICE, "aaaa-bbbb-cccc", True)
    assert (await world.call("GET", bound, token=OWNER)).json()["data"]["OTP"]
    code = VirtualAuthenticator(body["secret"]).code()
    answer = await world.post("/api/v2/mfa/totp/verify", {"totp": code}, token=await world.mfa_token_of(ALICE))
    assert answer.json()["code"] == 200
    again = (await world.post("/api/v2/mfa/totp/import", {**body, "recoveryCode": None}, token=OWNER)).json()["data"]
    assert CODE.fullmatch(again["recoveryCode"])
    assert (await world.call("DELETE", bound, token=OWNER, params={"type": "FACE"})).json()["code"] == 200
    assert (await world.call("GET", bound, token=OWNER)).json()["data"]["OTP"]
    assert (await world.call("DELETE", bound, token=OWNER, params={"type": "OTP"})).json()["data"] is True
    assert await world.token_of(ALICE)


async def test_nobody_else_does(world: World):
    alice = await world.bind()
    for token, code in ((alice.token, 403), ("", 2020), (await world.mfa_token_of(ALICE), 2020)):
        for method, path in (
            ("GET", "users/bob/mfa-bound"),
            ("DELETE", "users/bob/mfa-bound"),
            ("POST", "mfa/totp/import"),
        ):
            body = {"userId": "bob", "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"} if method == "POST" else None
            assert (await world.call(method, f"/api/v2/{path}", body, token=token)).json()["code"] == code

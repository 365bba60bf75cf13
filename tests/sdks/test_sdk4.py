"""authing-js-sdk 4.23.55, unmodified, against a user pool that is wrapped by environment variables alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from unittest.mock import ANY

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.conftest import SECRET, Clients, Wrapped
from tests.sdks.people import PASSWORD, Alice, challenge_of, new_email, wrong

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(wrapped: Wrapped) -> Iterator[str]:
    with wrapped() as url:
        yield url


def test_a_binding_begins_with_a_secret_a_picture_and_a_recovery_code_and_is_not_yet_in_force(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    assert alice.authenticators() == []
    given = client.call("mfa.assosicateMfaAuthenticator", {"authenticatorType": "totp", "source": "SELF"})
    assert given["authenticator_type"] == "totp"
    assert len(base64.b32decode(given["secret"])) == 20
    assert f"secret={given['secret']}" in given["qrcode_uri"]
    png = given["qrcode_data_url"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(png, validate=True).startswith(b"\x89PNG\r\n")
    assert re.fullmatch("[0-9a-f]{4}(-[0-9a-f]{4}){5}", given["recovery_code"])

    answer = {"authenticatorType": "totp", "totp": wrong(VirtualAuthenticator(given["secret"]).code())}
    refused = client.refusal("mfa.confirmAssosicateMfaAuthenticator", answer).what
    assert (refused["status"], refused["body"]["code"]) == (400, 400)
    assert client.call("loginByEmail", alice.email, PASSWORD)["id"] == alice.id
    assert client.call("mfa.deleteMfaAuthenticator")["code"] == 200  # a pending one needs no proof
    assert alice.authenticators() == []


def test_once_it_is_confirmed_a_login_is_challenged_and_a_code_releases_it(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    alice.bind()
    (shown,) = alice.authenticators()
    assert (shown["userId"], shown["enable"], shown["authenticatorType"]) == (alice.id, True, "totp")
    assert (shown["secret"], shown["recoveryCode"]) == ("", "")

    token = alice.challenged()  # although the client still carries a valid token of its user
    totp = alice.phone.code(offset_steps=1)
    assert client.refusal("mfa.verifyTotpMfa", {"totp": wrong(totp), "mfaToken": token}).code == 6001
    released = client.call("mfa.verifyTotpMfa", {"totp": totp, "mfaToken": token})
    assert released["email"] == alice.email
    alice.keep(released)
    assert client.call("mfa.getMfaAuthenticators", {"type": "totp"}) == [shown | {"updatedAt": ANY}]

    assert client.refusal("mfa.verifyTotpMfa", {"totp": totp, "mfaToken": token}).code == 2021
    again = alice.challenged()
    assert client.refusal("mfa.verifyTotpMfa", {"totp": totp, "mfaToken": again}).code == 6001  # a code works once


def test_asking_who_one_is_signs_nobody_in_and_nobody_out(clients: Clients):
    """The answer repeats the client's own token, at a path that takes logins, too."""
    client = clients.sdk4()
    alice = Alice(client)
    alice.bind()
    for _ in range(2):  # the second time with the token that the first answer gave
        assert client.call("getCurrentUser")["id"] == alice.id


def test_the_recovery_code_logs_in_once_and_is_replaced(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    alice.bind()
    token = alice.challenged()
    answer = {"recoveryCode": "0000-0000-0000-0000-0000-0000", "mfaToken": token}
    assert client.refusal("mfa.verifyTotpRecoveryCode", answer).code == 6002
    answer["recoveryCode"] = alice.recovery_code
    alice.keep(client.call("mfa.verifyTotpRecoveryCode", answer))
    answer["mfaToken"] = alice.challenged()
    assert client.refusal("mfa.verifyTotpRecoveryCode", answer).code == 6002


def test_only_who_proved_a_factor_unbinds_and_then_the_login_is_free_again(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    elsewhere = clients.sdk4()
    elsewhere.call("loginByEmail", alice.email, PASSWORD)  # before the binding
    alice.bind()
    assert elsewhere.refusal("mfa.deleteMfaAuthenticator").reason == "step_up_required"
    anew = elsewhere.refusal("mfa.assosicateMfaAuthenticator", {"authenticatorType": "totp"})
    assert anew.reason == "step_up_required"
    (shown,) = alice.authenticators()
    assert shown["enable"] is True

    alice.keep(
        client.call("mfa.verifyTotpMfa", {"totp": alice.phone.code(offset_steps=1), "mfaToken": alice.challenged()})
    )
    assert client.call("mfa.deleteMfaAuthenticator")["code"] == 200
    assert alice.authenticators() == []
    assert client.call("loginByEmail", alice.email, PASSWORD)["id"] == alice.id


def test_an_mfa_token_dies_of_wrong_answers_and_the_user_is_locked_in_the_end(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    alice.bind()
    totp = alice.phone.code(offset_steps=1)
    for _ in range(2):
        token = {"mfaToken": alice.challenged()}
        for _ in range(5):
            assert client.refusal("mfa.verifyTotpMfa", token | {"totp": wrong(totp)}).code == 6001
        assert client.refusal("mfa.verifyTotpMfa", token | {"totp": totp}).code == 2021
    another = {"mfaToken": alice.challenged(), "totp": totp}
    assert client.refusal("mfa.verifyTotpMfa", another).code == 2057


def test_a_login_by_rest_is_challenged_and_released_like_one_by_graphql(clients: Clients):
    client = clients.sdk4(secret=SECRET)
    name = new_email().partition("@")[0]
    client.call("registerByUsername", name, PASSWORD)
    client.call("loginByLdap", name, PASSWORD)
    given = client.call("mfa.assosicateMfaAuthenticator", {"authenticatorType": "totp"})
    phone = VirtualAuthenticator(given["secret"])
    answer = {"authenticatorType": "totp", "totp": phone.code()}
    client.call("mfa.confirmAssosicateMfaAuthenticator", answer)

    challenge = challenge_of(client.refusal("loginByLdap", name, PASSWORD))
    assert challenge["username"] == name
    released = client.call("mfa.verifyTotpMfa", {"totp": phone.code(offset_steps=1), "mfaToken": challenge["mfaToken"]})
    assert released["username"] == name
    assert released["token"]
    assert client.refusal("loginByLdap", name, "no").code == 2333  # the pool's own answer


def test_the_language_is_the_client_s(clients: Clients):
    chinese = clients.sdk4()
    alice = Alice(chinese)
    alice.bind()
    assert chinese.refusal("loginByEmail", alice.email, PASSWORD).message == "请输入二次认证安全码"
    english = clients.sdk4(lang="en-US").refusal("loginByEmail", alice.email, PASSWORD)
    assert str(english.message).isascii()


def test_the_pool_s_owner_imports_looks_and_unbinds(clients: Clients):
    client = clients.sdk4(secret=SECRET)
    alice = Alice(client)
    unbound = {"OTP": False, "FACE": False}
    assert client.call("management.mfa.getStatus", alice.id) == unbound
    secret, recovery_code = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "0123-4567-89ab-cdef-0123-4567"
    imported = client.call("management.mfa.importTotp", alice.id, secret, recovery_code)
    assert imported.items() >= {"userId": alice.id, "secret": secret, "recoveryCode": recovery_code}.items()
    assert client.call("management.mfa.getStatus", alice.id) == {"OTP": True, "FACE": False}

    totp = VirtualAuthenticator(secret).code()
    released = client.call("mfa.verifyTotpMfa", {"totp": totp, "mfaToken": alice.challenged()})
    assert released["id"] == alice.id
    answer = {"recoveryCode": recovery_code, "mfaToken": alice.challenged()}
    assert client.call("mfa.verifyTotpRecoveryCode", answer)["id"] == alice.id

    assert client.call("management.mfa.unAssociateMfa", alice.id, "OTP") is True
    assert client.call("management.mfa.getStatus", alice.id) == unbound
    assert client.call("loginByEmail", alice.email, PASSWORD)["id"] == alice.id

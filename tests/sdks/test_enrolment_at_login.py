"""``MFA_ENROLMENT=required``: who has no factor binds one with the mfaToken of the login that is held for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.conftest import SECRET, Clients, Wrapped
from tests.sdks.people import PASSWORD, challenge_of, new_email

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(wrapped: Wrapped) -> Iterator[str]:
    with wrapped(MFA_ENROLMENT="required") as url:
        yield url


def test_version_4_binds_with_the_token_of_the_challenge(clients: Clients):
    """Its ``confirmAssosicateMfaAuthenticator`` sends the client's own token, and not the mfaToken that it is given."""
    client = clients.sdk4()
    email = new_email()
    client.call("registerByEmail", email, PASSWORD)
    challenge = challenge_of(client.refusal("loginByEmail", email, PASSWORD))
    assert challenge["totpMfaEnabled"] is False
    token = challenge["mfaToken"]
    assert client.call("mfa.getMfaAuthenticators", {"type": "totp", "mfaToken": token}) == []
    given = client.call("mfa.assosicateMfaAuthenticator", {"authenticatorType": "totp", "mfaToken": token})
    phone = VirtualAuthenticator(given["qrcode_uri"])

    answer = {"authenticatorType": "totp", "totp": phone.code(), "mfaToken": token}
    assert client.refusal("mfa.confirmAssosicateMfaAuthenticator", answer).code == 2020
    client.call("setToken", token)
    assert client.call("mfa.confirmAssosicateMfaAuthenticator", answer)["code"] == 200
    challenge = challenge_of(client.refusal("loginByEmail", email, PASSWORD))
    assert challenge["totpMfaEnabled"] is True
    answer = {"totp": phone.code(offset_steps=1), "mfaToken": challenge["mfaToken"]}
    released = client.call("mfa.verifyTotpMfa", answer)
    assert released["email"] == email


def test_the_python_sdk_is_given_the_user_at_the_confirmation(clients: Clients):
    client = clients.python()
    name = new_email().partition("@")[0]
    registered = client.call("register_by_username", name, PASSWORD)
    login = ("restClient.request", "POST", f"{clients.url}/api/v2/ldap/verify-user")
    held = client.call(*login, {"json": {"username": name, "password": PASSWORD}})
    assert held["code"] == 1635
    token = {"mfa_token": held["data"]["mfaToken"]}
    phone = VirtualAuthenticator(client.call("assosicate_mfa_authenticator", token)["data"]["secret"])
    released = client.call("confirm_assosicate_mfa_authenticator", phone.code(), token)
    assert (released["code"], released["data"]["id"]) == (200, registered["id"])
    assert client.call("get_current_user", released["data"]["token"])["id"] == registered["id"]


def test_the_owner_who_is_no_user_works_on(clients: Clients):
    client = clients.sdk4(secret=SECRET)
    user = client.call("management.users.create", {"username": new_email(), "password": PASSWORD})
    assert client.call("management.mfa.getStatus", user["id"]) == {"OTP": False, "FACE": False}

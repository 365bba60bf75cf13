"""PyPI's ``authing`` 4.5.18, unmodified, run by the interpreter of its own environment.

Its methods give the whole envelope as it came. What its GraphQL client raises lacks the challenge's data, so a program
that needs the mfaToken logs in by REST.
"""

from __future__ import annotations

from typing import Any

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.clients import Client
from tests.sdks.conftest import POOL_ID, Clients
from tests.sdks.people import PASSWORD, new_email, wrong

pytestmark = pytest.mark.slow


@pytest.fixture
def pool(legacy_pool: str) -> str:
    return legacy_pool


class Dave:
    """A user of this SDK, who has registered and logged in."""

    def __init__(self, client: Client, url: str) -> None:
        self.client = client
        self.name = new_email().partition("@")[0]
        self.id: str = client.call("register_by_username", self.name, PASSWORD)["id"]
        assert client.call("login_by_username", self.name, PASSWORD)["id"] == self.id
        self._login = ("restClient.request", "POST", f"{url}/api/v2/ldap/verify-user")

    def challenged(self) -> str:
        """Log in; gives the mfaToken of the challenge."""
        answer = self.client.call(*self._login, {"json": {"username": self.name, "password": PASSWORD}})
        assert answer["code"] == 1635
        return str(answer["data"]["mfaToken"])


def test_the_life_of_a_binding(clients: Clients):
    client = clients.python()
    dave = Dave(client, clients.url)
    assert client.call("get_mfa_authenticators")["data"] == []
    given = client.call("assosicate_mfa_authenticator")["data"]
    phone = VirtualAuthenticator(given["qrcode_uri"])
    refused = client.call("confirm_assosicate_mfa_authenticator", wrong(phone.code()))
    assert refused["code"] == 400
    assert client.call("confirm_assosicate_mfa_authenticator", phone.code())["code"] == 200
    (shown,) = client.call("get_mfa_authenticators")["data"]
    assert (shown["userId"], shown["enable"]) == (dave.id, True)

    assert client.refusal("login_by_username", dave.name, PASSWORD).code == 1635
    token, totp = dave.challenged(), phone.code(offset_steps=1)
    assert client.call("verify_totp_mfa", wrong(totp), token)["code"] == 6001
    released = client.call("verify_totp_mfa", totp, token)
    assert (released["code"], released["data"]["id"]) == (200, dave.id)
    assert client.call("get_current_user", released["data"]["token"])["id"] == dave.id

    renewed = client.call("verify_totp_recovery_code", given["recovery_code"], dave.challenged())
    assert (renewed["code"], renewed["data"]["id"]) == (200, dave.id)
    void = client.call("verify_totp_recovery_code", given["recovery_code"], dave.challenged())
    assert void["code"] == 6002
    again = client.call("verify_totp_recovery_code", renewed["recoveryCode"], dave.challenged())
    assert again["code"] == 200

    client.call("_set_token", again["data"]["token"])
    assert client.call("delete_mfa_authenticator")["code"] == 200
    assert client.call("get_mfa_authenticators")["data"] == []
    assert client.call("login_by_username", dave.name, PASSWORD)["id"] == dave.id


def test_the_graphql_documents_that_it_ships(clients: Clients):
    client = clients.python()
    dave = Dave(client, clients.url)
    who = {"userId": dave.id, "userPoolId": POOL_ID}
    assert client.call("document", "queryMfa", who)["queryMfa"] is None
    made: dict[str, Any] = client.call("document", "changeMfa", who | {"enable": True})["changeMfa"]
    assert (made["userId"], made["userPoolId"], made["enable"]) == (dave.id, POOL_ID, True)
    assert client.call("document", "queryMfa", {"id": made["id"], "userPoolId": POOL_ID})["queryMfa"] == made
    phone = VirtualAuthenticator(made["secret"])
    assert client.call("verify_totp_mfa", phone.code(), dave.challenged())["code"] == 200

"""authing-js-sdk 4.23.55 where the pool is as near to the original as it gets."""

from __future__ import annotations

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.conftest import POOL_ID, Clients
from tests.sdks.people import Alice

pytestmark = pytest.mark.slow


@pytest.fixture
def pool(legacy_pool: str) -> str:
    return legacy_pool


def test_secrets_are_shown_again(clients: Clients):
    alice = Alice(clients.sdk4())
    alice.bind()
    (shown,) = alice.authenticators()
    assert VirtualAuthenticator(shown["secret"]).code(at=0) == alice.phone.code(at=0)
    assert shown["recoveryCode"] == alice.recovery_code


def test_the_documents_that_it_ships_without_a_method_for_them(clients: Clients):
    client = clients.sdk4()
    alice = Alice(client)
    who = {"userId": alice.id, "userPoolId": POOL_ID}
    assert client.call("document", "QueryMfaDocument", who)["queryMfa"] is None
    made = client.call("document", "ChangeMfaDocument", who | {"enable": True})["changeMfa"]
    assert made.keys() == {"id", "userId", "userPoolId", "enable", "secret"}
    assert (made["userId"], made["userPoolId"], made["enable"]) == (alice.id, POOL_ID, True)
    assert client.call("document", "QueryMfaDocument", {"id": made["id"], "userPoolId": POOL_ID})["queryMfa"] == made
    totp = VirtualAuthenticator(made["secret"]).code()
    alice.keep(client.call("mfa.verifyTotpMfa", {"totp": totp, "mfaToken": alice.challenged()}))
    renewed = client.call("document", "ChangeMfaDocument", {"id": made["id"], "enable": True, "refresh": True})
    assert renewed["changeMfa"]["id"] == made["id"]
    assert renewed["changeMfa"]["secret"] != made["secret"]

"""authing-js-sdk 3.22.3, unmodified: ``queryMFA`` and ``changeMFA``, an API without confirmation, and ``MFACode``.

Its methods send ``userId`` alone. ``_id`` and ``refreshKey`` are in the documents that they send, which are sent here
with those, too.
"""

from __future__ import annotations

from typing import Any

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.clients import Client, Thrown
from tests.sdks.conftest import POOL_ID, Clients
from tests.sdks.people import PASSWORD, challenge_of, new_email, wrong

pytestmark = pytest.mark.slow

QUERY = """
query queryMFA($_id: String,$userId: String,$userPoolId: String) {
  queryMFA(_id: $_id, userId: $userId, userPoolId: $userPoolId) { _id userId userPoolId enable shareKey }
}"""
CHANGE = """
mutation changeMFA($_id: String,$userId: String,$userPoolId: String,$enable: Boolean!, $refreshKey: Boolean) {
  changeMFA(_id: $_id, userId: $userId, userPoolId: $userPoolId, enable: $enable, refreshKey: $refreshKey) {
    _id userId userPoolId shareKey enable
  }
}"""


@pytest.fixture
def pool(legacy_pool: str) -> str:
    return legacy_pool


class Carol:
    """A user of this SDK, who has registered and logged in."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.email = new_email()
        self.id: str = client.call("register", {"email": self.email, "password": PASSWORD})["_id"]
        assert self.login()["_id"] == self.id

    def login(self, **more: object) -> dict[str, Any]:
        user: dict[str, Any] = self.client.call("login", self.credentials(**more))
        return user

    def credentials(self, **more: object) -> dict[str, object]:
        return {"email": self.email, "password": PASSWORD, **more}

    def enabled(self) -> dict[str, Any]:
        """Enable the second factor."""
        mfa: dict[str, Any] = self.client.call("changeMFA", {"userId": self.id, "enable": True})
        return mfa


def by_id(client: Client, document: str, **variables: object) -> Any:
    """Send the SDK's document with more than its method sends."""
    name = "queryMFA" if document is QUERY else "changeMFA"
    asked = {"operationName": name, "query": document, "variables": {"userPoolId": POOL_ID, **variables}}
    return client.call("UserServiceGql.request", asked)


def refused(client: Client, document: str, **variables: object) -> object:
    """Why it is refused to send that."""
    with pytest.raises(Thrown) as thrown:
        by_id(client, document, **variables)
    return thrown.value.reason


def test_the_user_enables_it_at_once_and_sees_what_was_made(clients: Clients):
    carol = Carol(clients.sdk3())
    assert carol.client.call("queryMFA", {"userId": carol.id}) is None
    made = carol.enabled()
    assert made.keys() == {"_id", "userId", "userPoolId", "shareKey", "enable"}
    assert (made["userId"], made["userPoolId"], made["enable"]) == (carol.id, POOL_ID, True)
    assert carol.client.call("queryMFA", {"userId": carol.id}) == made
    assert by_id(carol.client, QUERY, _id=made["_id"]) == made


def test_a_login_wants_the_code_and_takes_it_beside_the_password(clients: Clients):
    carol = Carol(clients.sdk3())
    phone = VirtualAuthenticator(carol.enabled()["shareKey"])
    assert challenge_of(carol.client.refusal("login", carol.credentials()))["email"] == carol.email
    totp = phone.code()
    assert carol.client.refusal("login", carol.credentials(MFACode=wrong(totp))).code == 6001
    assert carol.login(MFACode=totp)["_id"] == carol.id
    assert carol.client.refusal("login", carol.credentials(MFACode=totp)).code == 6001  # a code works once


def test_a_new_key_comes_under_the_same_id_and_the_old_one_is_void(clients: Clients):
    carol = Carol(clients.sdk3())
    made = carol.enabled()
    renewed = by_id(carol.client, CHANGE, _id=made["_id"], enable=True, refreshKey=True)
    assert renewed["shareKey"] != made["shareKey"]
    assert renewed | {"shareKey": made["shareKey"]} == made
    old, new = VirtualAuthenticator(made["shareKey"]), VirtualAuthenticator(renewed["shareKey"])
    assert carol.client.refusal("login", carol.credentials(MFACode=old.code())).code == 6001
    assert carol.login(MFACode=new.code())["_id"] == carol.id


def test_who_proved_a_factor_disables_it_and_nobody_with_an_older_token(clients: Clients):
    carol = Carol(clients.sdk3())
    elsewhere = clients.sdk3()
    elsewhere.call("login", carol.credentials())
    made = carol.enabled()
    off = {"userId": carol.id, "enable": False}
    assert elsewhere.refusal("changeMFA", off).reason == "step_up_required"
    assert refused(elsewhere, CHANGE, _id=made["_id"], enable=True, refreshKey=True) == "step_up_required"

    carol.login(MFACode=VirtualAuthenticator(made["shareKey"]).code())
    assert carol.client.call("changeMFA", off)["enable"] is False
    assert carol.login()["_id"] == carol.id
    assert carol.client.call("queryMFA", {"userId": carol.id})["enable"] is False


def test_the_owner_may_look_and_not_change(clients: Clients):
    """A client in whose process nobody has logged in is the owner's; ``changeMFA`` insists on a user's token there."""
    carol = Carol(clients.sdk3())
    made = carol.enabled()
    owner = clients.sdk3()
    assert owner.call("queryMFA", {"userId": carol.id}) == made
    assert by_id(owner, QUERY, _id=made["_id"]) == made
    assert owner.refusal("changeMFA", {"userId": carol.id, "enable": False}).reason == "not_signed_in"
    for name in ({"userId": carol.id}, {"_id": made["_id"]}):
        for change in ({"enable": False}, {"enable": True, "refreshKey": True}):
            assert refused(owner, CHANGE, **name, **change) == "forbidden"
    assert carol.client.call("queryMFA", {"userId": carol.id}) == made


def test_a_stranger_may_neither_look_nor_change(clients: Clients):
    carol = Carol(clients.sdk3())
    made = carol.enabled()
    stranger = Carol(clients.sdk3()).client
    assert stranger.refusal("queryMFA", {"userId": carol.id}).reason == "forbidden"
    assert stranger.refusal("changeMFA", {"userId": carol.id, "enable": False}).reason == "forbidden"
    for name in ({"userId": carol.id}, {"_id": made["_id"]}):
        assert refused(stranger, QUERY, **name) == "forbidden"
        for change in ({"enable": False}, {"enable": True, "refreshKey": True}):
            assert refused(stranger, CHANGE, **name, **change) == "forbidden"
    assert carol.client.call("queryMFA", {"userId": carol.id}) == made

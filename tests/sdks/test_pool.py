"""The example user pool itself: what it answers, and that a client's own names for things hide no login."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.testclient import TestClient

from examples.authing_user_pool import VARIABLES, app
from examples.authing_user_pool.app import pool
from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.people import PASSWORD, new_email

LOGIN = "mutation ($input: X!) { a: loginByEmail(input: $input) { b: id c: token } }"
REGISTER = "mutation ($input: X!) { registerByEmail(input: $input) { id token } }"
ME = "query { user { email } }"

#: The settings of the example; its dialect is not needed here.
SETTINGS = {
    name.removeprefix("MFA_").lower(): value
    for name, value in VARIABLES.items()
    if name not in ("MFA_APP", "MFA_DIALECT")
}


@pytest.fixture
def bare() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def sealed(client: TestClient, password: str) -> str:
    """The password as the SDKs send it."""
    key = load_pem_public_key(client.get("/api/v2/.well-known").json()["data"]["publicKey"].encode())
    assert isinstance(key, rsa.RSAPublicKey)
    return base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()


def asked(client: TestClient, document: str, email: str = "", password: str = PASSWORD, token: str = ""):
    variables = {"input": {"email": email, "password": sealed(client, password)}}
    headers = {"Authorization": token}
    return client.post("/graphql/v2", json={"query": document, "variables": variables}, headers=headers).json()


def test_a_user_registers_and_logs_in(bare):
    email = new_email()
    registered = asked(bare, REGISTER, email)["data"]["registerByEmail"]
    assert registered["token"] is None
    assert asked(bare, REGISTER, email)["errors"][0]["message"]["code"] == 2026
    assert asked(bare, LOGIN, email, "no")["errors"][0]["message"]["code"] == 2333
    signed_in = asked(bare, LOGIN, email)["data"]["a"]
    assert signed_in["b"] == registered["id"]
    for spelt in (signed_in["c"], f"Bearer {signed_in['c']}"):
        assert asked(bare, ME, token=spelt) == {"data": {"user": {"email": email}}}
    assert asked(bare, ME)["errors"][0]["message"]["code"] == 2020
    assert asked(bare, "query { nothing }")["errors"][0]["message"]["code"] == 400
    assert "data" not in asked(bare, "query {")


def test_a_password_is_read_whose_encryption_came_without_its_leading_zeros():
    key = load_pem_public_key(pool.public_key.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    encrypted = next(one for _ in count() if not (one := key.encrypt(b"wonderland", padding.PKCS1v15()))[0])
    assert pool.opened(base64.b64encode(encrypted.lstrip(b"\0")).decode()) == PASSWORD


@pytest.fixture
def wrapped() -> Iterator[TestClient]:
    settings = Settings(database_url="sqlite://", **SETTINGS)
    with TestClient(MFAMiddleware(app, settings=settings)) as client:
        yield client


def test_names_that_the_client_chose_hide_no_login(wrapped):
    email = new_email()
    asked(wrapped, REGISTER, email)
    bearer = {"Authorization": f"Bearer {asked(wrapped, LOGIN, email)['data']['a']['c']}"}
    pending = wrapped.post("/mfa/authenticators", json={"factor": "totp"}, headers=bearer).json()
    phone = VirtualAuthenticator(pending["uri"])
    assert phone.name == email
    confirm = f"/mfa/authenticators/{pending['id']}/confirm"
    assert wrapped.post(confirm, json={"code": phone.code()}, headers=bearer).status_code == 200
    held = asked(wrapped, LOGIN, email)
    assert held["code"] == "mfa_required"
    answer = {"mfaToken": held["mfaToken"], "factor": "totp", "code": phone.code(offset_steps=1)}
    assert wrapped.post("/mfa/verify", json=answer).json()["data"]["a"]["c"]
    assert asked(wrapped, ME, token=bearer["Authorization"])["data"]["user"]["email"] == email
    assert "errors" in asked(wrapped, LOGIN, email, "no")

"""Who sends a request: bearer tokens under attack, sessions, users, headers."""

from __future__ import annotations

import hashlib
import hmac
import time
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from starlette.authentication import BaseUser

from mfa_middleware import Misconfigured
from mfa_middleware.keyring import Keyring, new_key, parse_keys
from mfa_middleware.models import Purpose
from mfa_middleware.tokens import Tokens
from tests.selectors.exchanges import request_user, scope_of
from tests.test_tokens import part

KEY = "the-app-s-own-secret-of-some-length"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = (
    RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)


def bearer(token: str) -> dict:
    return scope_of({"authorization": f"Bearer {token}"})


async def by_secret(token: str, **given: object) -> str | None:
    return await request_user("bearer:sub", bearer(token), app_jwt_key=KEY, **given)


async def test_a_bearer_token_is_verified():
    assert await by_secret(jwt.encode({"sub": "alice"}, KEY)) == "alice"
    assert await by_secret(jwt.encode({"sub": "alice", "exp": time.time() + 60}, KEY)) == "alice"


FORGED = {
    "another key": lambda: jwt.encode({"sub": "alice"}, "x" * 32),
    "algorithm none": lambda: jwt.encode({"sub": "alice"}, "", "none"),
    "another algorithm": lambda: jwt.encode({"sub": "alice"}, KEY * 2, "HS512"),
    "expired": lambda: jwt.encode({"sub": "alice", "exp": 1}, KEY),
    "not yet": lambda: jwt.encode({"sub": "alice", "nbf": time.time() + 60}, KEY),
    "no claim": lambda: jwt.encode({"name": "alice"}, KEY),
    "an mfaToken": lambda: Tokens(Keyring(parse_keys(new_key())), ttl=60, assurance_ttl=60).issue(
        "alice", Purpose.LOGIN
    )[0],
    "typ mfa+jwt under the app's key": lambda: jwt.encode({"sub": "alice"}, KEY, headers={"typ": "mfa+jwt"}),
    "junk": lambda: "junk",
    "huge": lambda: "a" * 100_000,
    "deep claims": lambda: f"{part({'alg': 'HS256'}).decode()}.{part(b'[' * 50_000).decode()}.x",
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_bearer_is_nobody(forged):
    assert await by_secret(FORGED[forged]()) is None


async def test_a_bearer_whose_header_is_nested_deeply_is_nobody():
    assert await by_secret(f"{part(b'[' * 50_000 + b']' * 50_000).decode()}.e30.x") is None


async def test_a_public_key_is_no_shared_secret():
    by_pem = {"app_jwt_key": PEM}
    assert await request_user("bearer:sub", bearer(jwt.encode({"sub": "alice"}, RSA, "RS256")), **by_pem) == "alice"
    header = {"alg": "HS256", "typ": "JWT"}
    message = part(header) + b"." + part({"sub": "alice"})
    confused = (message + b"." + part(hmac.digest(PEM.encode(), message, hashlib.sha256))).decode()
    assert await request_user("bearer:sub", bearer(confused), **by_pem) is None


async def test_audience_and_issuer_are_demanded_where_they_are_set():
    both = {"app_jwt_audience": "api", "app_jwt_issuer": "app"}
    assert await by_secret(jwt.encode({"sub": "alice", "aud": "api", "iss": "app"}, KEY), **both) == "alice"
    for claims in ({}, {"aud": "other", "iss": "app"}, {"aud": "api", "iss": "other"}, {"aud": "api"}, {"iss": "app"}):
        assert await by_secret(jwt.encode({"sub": "alice", **claims}, KEY), **both) is None


@given(st.text(st.characters(max_codepoint=255)))
async def test_any_authorization_is_nobody(text):
    assert await request_user("bearer:sub", scope_of({"authorization": text}), app_jwt_key=KEY) is None
    assert await by_secret(text) is None


async def test_session_reads_the_session():
    assert await request_user("session:u", scope_of(session={"u": 7})) == "7"
    assert await request_user("session:u", scope_of(session={})) is None


async def test_a_session_that_nobody_has_loaded_yet_is_loaded():
    async def load() -> None:
        scope["session"]["u"] = "alice"

    scope = scope_of(session={})
    scope["session_handler"] = SimpleNamespace(load=load, connection=SimpleNamespace(scope=scope))
    assert await request_user("session:u", scope) == "alice"


@pytest.mark.parametrize(
    ("user", "found"),
    [
        (SimpleNamespace(identity="alice", is_authenticated=True), "alice"),
        (SimpleNamespace(identity="alice", is_authenticated=False), None),
        (SimpleNamespace(identity="alice"), "alice"),
        (SimpleNamespace(identity=lambda: "alice"), None),
        (SimpleNamespace(), None),
        (None, None),
    ],
    ids=["authenticated", "not authenticated", "silent on it", "a method", "no such attribute", "nobody"],
)
async def test_user_reads_an_attribute_of_who_is_authenticated(user, found):
    assert await request_user("user", scope_of(user=user)) == found


async def test_a_user_without_an_identity_is_misconfigured():
    class Nameless(BaseUser):
        is_authenticated = True

    with pytest.raises(Misconfigured):
        await request_user("user", scope_of(user=Nameless()))


async def test_header_is_for_a_trusted_proxy():
    assert await request_user("header:X-User", scope_of({"X-User": " alice "})) == "alice"
    assert await request_user("header:X-User", scope_of({"X-User": " "})) is None


async def test_two_users_in_one_request_are_misconfigured():
    with pytest.raises(Misconfigured):
        await request_user("session:u, header:X-User", scope_of({"X-User": "bob"}, session={"u": "alice"}))


@pytest.mark.parametrize(
    ("text", "scope"), [("session:u", scope_of()), ("user", scope_of()), ("whoami:/me#/id", scope_of(session={}))]
)
async def test_a_selector_that_can_never_answer_here_is_misconfigured(text, scope):
    with pytest.raises(Misconfigured, match="not set up"):
        await request_user(text, scope)


@pytest.mark.parametrize("value", [True, 1.5, ["alice"], "a\0b"])
async def test_a_user_that_is_none_is_misconfigured(value):
    with pytest.raises(Misconfigured):
        await request_user("session:u", scope_of(session={"u": value}))

"""MFA_APP_JWT_KEY in all its kinds: which algorithms it verifies, and which it must not."""

from __future__ import annotations

import base64
import datetime as dt
import json
from types import SimpleNamespace

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mfa_middleware import ConfigurationError, Settings, Unavailable
from mfa_middleware.selectors import parse_selectors
from mfa_middleware.selectors.bearer import Bearer, bearer_of
from tests.selectors.exchanges import request_user, scope_of

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
SECRET = "the-app-s-own-secret-of-some-length"


def pem_of(key) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "ascii")


def certificate_of(key) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start.replace(year=2036))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


async def verified(key: str, token: str, **given: object) -> str | None:
    return await request_user("bearer:sub", scope_of({"authorization": f"Bearer {token}"}), app_jwt_key=key, **given)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_an_rsa_key_verifies_all_of_its_algorithms(algorithm):
    assert await verified(pem_of(RSA), jwt.encode({"sub": "alice"}, RSA, algorithm)) == "alice"


@pytest.mark.parametrize("algorithm", CURVES)
async def test_an_elliptic_key_verifies_that_of_its_curve(algorithm):
    key = ec.generate_private_key(CURVES[algorithm])
    assert await verified(pem_of(key), jwt.encode({"sub": "alice"}, key, algorithm)) == "alice"


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()], ids=["25519", "448"]
)
async def test_an_edwards_key_verifies_eddsa(key):
    assert await verified(pem_of(key), jwt.encode({"sub": "alice"}, key, "EdDSA")) == "alice"


def test_a_certificate_is_read_as_the_key_in_it():
    (selector,) = selectors(app_jwt_key=certificate_of(RSA))
    assert selector._algorithms[0] == "RS256"


async def test_a_key_from_an_environment_variable_may_have_escaped_line_breaks():
    escaped = "  " + pem_of(RSA).replace("\n", "\\n")
    assert await verified(escaped, jwt.encode({"sub": "alice"}, RSA, "RS256")) == "alice"


async def test_a_shared_secret_is_taken_as_it_is():
    secret = SECRET + "\\n"
    assert await verified(secret, jwt.encode({"sub": "alice"}, secret)) == "alice"


async def test_where_no_audience_is_set_any_will_do():
    assert await verified(SECRET, jwt.encode({"sub": "alice", "aud": "api"}, SECRET)) == "alice"


def selectors(**given: object) -> tuple[Bearer, ...]:
    found = parse_selectors("MFA_REQUEST_USER", "bearer:sub", Settings(**given))
    assert all(isinstance(one, Bearer) for one in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    "given",
    [
        {"app_jwt_key": "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----"},
        {"app_jwt_key": pem_of(dsa.generate_private_key(1024))},
        {"app_jwt_key": SECRET, "app_jwt_algorithms": "RS256"},
        {"app_jwt_key": SECRET, "app_jwt_algorithms": "HS256, none"},
        {"app_jwt_key": SECRET, "app_jwt_algorithms": "None"},
        {"app_jwt_key": pem_of(RSA), "app_jwt_algorithms": "HS256"},
        {"app_jwt_key": pem_of(RSA), "app_jwt_algorithms": "RS256, none"},
        {"app_jwt_key": pem_of(RSA), "app_jwt_algorithms": "None"},
        {"app_jwt_key": "https://app.example/jwks", "app_jwt_algorithms": "RS256, HS512"},
        {"app_jwt_key": "http://app.example/jwks", "app_jwt_algorithms": "HS256"},
    ],
    ids=[
        "junk",
        "DSA",
        "secret, asymmetric",
        "none",
        "None",
        "PEM, HMAC",
        "PEM, none",
        "PEM, None",
        "URL, HMAC",
        "plain URL, HMAC",
    ],
)
def test_a_key_and_algorithms_that_do_not_fit_stop_start_up(given):
    with pytest.raises(ConfigurationError, match="MFA_APP_JWT"):
        selectors(**given)


@pytest.mark.parametrize(
    ("given", "algorithms"),
    [
        ({"app_jwt_key": SECRET}, ["HS256"]),
        ({"app_jwt_key": SECRET, "app_jwt_algorithms": "HS384, HS512"}, ["HS384", "HS512"]),
        ({"app_jwt_key": pem_of(RSA), "app_jwt_algorithms": "PS256"}, ["PS256"]),
        ({"app_jwt_key": "https://app.example/jwks"}, ["RS256", "PS256", "ES256", "ES384", "EdDSA"]),
        ({"app_jwt_key": "http://app.example/jwks"}, ["RS256", "PS256", "ES256", "ES384", "EdDSA"]),
    ],
    ids=["secret", "secret, chosen", "PEM, chosen", "URL", "plain URL"],
)
def test_the_algorithms_are_those_set_or_those_of_the_key(given, algorithms):
    assert selectors(**given)[0]._algorithms == algorithms


async def test_an_algorithm_that_is_not_chosen_is_refused():
    token = jwt.encode({"sub": "alice"}, RSA, "RS256")
    assert await verified(pem_of(RSA), token, app_jwt_algorithms="PS256") is None


def junk(algorithm: str, **fields: str) -> str:
    """What says that it is a token of that algorithm; anybody can write it."""
    header = {"alg": algorithm, "typ": "JWT", **fields}
    parts = (json.dumps(header).encode(), b'{"sub": "alice"}', b"x" * 64)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ["ES384", "ES512"])
async def test_a_token_for_another_curve_than_the_key_s_is_nobody_s(app_factory, algorithm):
    client = app_factory(request_user="bearer:sub", app_jwt_key=pem_of(ec.generate_private_key(CURVES["ES256"])))
    answer = await client.get("/mfa/status", headers={"Authorization": f"Bearer {junk(algorithm)}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


# ------------------------------------------------------------------------------------------------------- a JWKS URL


def by_url(answer: object, **given: object) -> Bearer:
    """``bearer:`` with a JWKS URL that answers so."""
    (selector,) = selectors(app_jwt_key="https://app.example/jwks", **given)
    assert selector._jwks is not None

    def fetch() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    selector._jwks.fetch_data = fetch  # type: ignore[method-assign]
    return selector


def jwks_of(key, kid: str = "one") -> dict:
    return {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}]}


def request(token: str):
    return SimpleNamespace(scope=scope_of({"authorization": f"Bearer {token}"}), passage=None)


async def test_a_key_of_the_jwks_verifies():
    token = jwt.encode({"sub": "alice"}, RSA, "RS256", {"kid": "one"})
    assert await by_url(jwks_of(RSA)).of_request(request(token)) == "alice"


async def test_a_key_that_is_not_in_the_jwks_is_nobody_s():
    token = jwt.encode({"sub": "alice"}, RSA, "RS256", {"kid": "two"})
    assert await by_url(jwks_of(RSA)).of_request(request(token)) is None


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_token_for_another_kind_of_key_than_that_of_the_jwks_is_nobody_s(algorithm):
    assert await by_url(jwks_of(RSA)).of_request(request(junk(algorithm, kid="one"))) is None


async def test_a_jwks_url_that_does_not_answer_is_unavailable():
    token = jwt.encode({"sub": "alice"}, RSA, "RS256", {"kid": "one"})
    with pytest.raises(Unavailable):
        await by_url(jwt.PyJWKClientConnectionError("away")).of_request(request(token))


def test_a_jwks_url_is_asked_for_no_longer_than_an_engine():
    (selector,) = selectors(app_jwt_key="https://app.example/jwks", engine_timeout=1.5)
    assert selector._jwks is not None
    assert (selector._jwks.uri, selector._jwks.timeout) == ("https://app.example/jwks", 1.5)


# ---------------------------------------------------------------------------------------------- the Authorization field


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer x", "x"),
        ("bearer  x ", "x"),
        (" BEARER x", "x"),
        ("Bearer x y", "x y"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic x", None),
        ("Bearerx", None),
        ("", None),
    ],
    ids=repr,
)
def test_the_bearer_token_of_a_request(field, token):
    assert bearer_of(scope_of({"authorization": field})) == token

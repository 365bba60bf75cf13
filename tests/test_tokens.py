"""The mfaToken and the assurance cookie: what this keyring did not sign as such is refused before a store is asked."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import MFA, Settings, TokenInvalid, verification
from mfa_middleware import login as login_use_case
from mfa_middleware.core import Core
from mfa_middleware.keyring import Keyring, new_key, parse_keys, token_digest, user_tag
from mfa_middleware.models import Assurance, Purpose
from mfa_middleware.tokens import Tokens, is_mfa_token
from tests.world import NOON

KEY = new_key()
KEYRING = Keyring(parse_keys(KEY))
SIGNING = KEYRING.signing_keys[KEYRING.newest]
TOKENS = Tokens(KEYRING, ttl=300, assurance_ttl=600)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def part(document: object) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def signed(header: object, claims: object, key: bytes = SIGNING, how: str = "sha256") -> str:
    """A JWT of any content, signed by HMAC, with our own key if no other is given."""
    message = part(header) + b"." + part(claims)
    return (message + b"." + part(hmac.digest(key, message, how))).decode()


def good(purpose: Purpose = Purpose.LOGIN) -> tuple[dict, dict, str]:
    text, _ = TOKENS.issue("alice", purpose)
    return jwt.get_unverified_header(text), jwt.decode(text, options={"verify_signature": False}), text


HEADER: dict[str, object] = {}
CLAIMS: dict[str, object] = {}
GOOD = ""


@pytest.fixture(autouse=True)
def _fresh(clock):
    global HEADER, CLAIMS, GOOD
    HEADER, CLAIMS, GOOD = good()


def claims(**changed: object) -> dict:
    return {name: value for name, value in {**CLAIMS, **changed}.items() if value is not ...}


def header(**changed: object) -> dict:
    return {name: value for name, value in {**HEADER, **changed}.items() if value is not ...}


def without(name: str) -> str:
    return signed(header(), claims(**{name: ...}))


MUTATIONS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "junk": lambda: "junk",
    "two dots": lambda: "..",
    "four parts": lambda: GOOD + ".x",
    "not ASCII": lambda: "é" * 40,
    "a NUL": lambda: GOOD + "\0",
    "half a surrogate pair": lambda: "\ud800.\ud800.\ud800",
    "huge": lambda: GOOD + "a" * 1_000_000,
    "deep JSON for a header": lambda: f"{part(b'[' * 700).decode()}.e30.e30",
    "a header that is a list": lambda: signed([], claims()),
    "a header that is no UTF-8": lambda: signed(b"\xff\xfe", claims()),
    "claims that are a list": lambda: signed(header(), []),
    "deep JSON for claims": lambda: signed(header(), b"[" * 300 + b"]" * 300),
    "algorithm none, unsigned": lambda: f"{part(header(alg='none')).decode()}.{part(claims()).decode()}.",
    "algorithm None, signed": lambda: signed(header(alg="None"), claims()),
    "no algorithm": lambda: signed(header(alg=...), claims()),
    "algorithm HS512 with our key": lambda: signed(header(alg="HS512"), claims(), how="sha512"),
    "algorithm RS256 of another's key": lambda: jwt.encode(claims(), RSA, "RS256", header(alg=...)),
    "algorithm RS256 named, signed by HMAC": lambda: signed(header(alg="RS256"), claims()),
    "another key": lambda: signed(header(), claims(), b"k" * 32),
    "the master key itself": lambda: signed(header(), claims(), parse_keys(KEY)[0]),
    "the empty key": lambda: signed(header(), claims(), b""),
    "the key's text": lambda: signed(header(), claims(), KEY.encode()),
    "no kid": lambda: signed(header(kid=...), claims()),
    "another kid": lambda: signed(header(kid="00" * 6), claims()),
    "a kid that is a path": lambda: signed(header(kid="../../etc/passwd"), claims()),
    "a kid that is a list": lambda: signed(header(kid=[HEADER["kid"]]), claims()),
    "no typ": lambda: signed(header(typ=...), claims()),
    "typ JWT": lambda: signed(header(typ="JWT"), claims()),
    "the cookie's typ": lambda: signed(header(typ="mfa-assurance+jwt"), claims()),
    "a critical extension": lambda: signed(header(crit=["b64"], b64=False), claims()),
    "another signature": lambda: GOOD[:-4] + ("AAAA" if not GOOD.endswith("AAAA") else "BBBB"),
    "no signature": lambda: GOOD.rpartition(".")[0] + ".",
    **{f"no {name}": partial(without, name) for name in ("iss", "aud", "sub", "iat", "exp", "jti", "purpose")},
    "another issuer": lambda: signed(header(), claims(iss="app")),
    "an issuer list": lambda: signed(header(), claims(iss=["mfa-middleware"])),
    "another audience": lambda: signed(header(), claims(aud="app")),
    "an audience list": lambda: signed(header(), claims(aud=[CLAIMS["aud"]])),
    "expired": lambda: signed(header(), claims(exp=NOON)),
    "an exp of text": lambda: signed(header(), claims(exp="later")),
    "an exp without end": lambda: signed(header(), b'{"exp": 1e999}'),
    "a subject that is a number": lambda: signed(header(), claims(sub=1)),
    "a jti that is a number": lambda: signed(header(), claims(jti=1)),
    "a jti that is no base64": lambda: signed(header(), claims(jti="!!")),
    "an unknown purpose": lambda: signed(header(), claims(purpose="admin")),
    "a purpose that is a list": lambda: signed(header(), claims(purpose=["login"])),
    "the assurance cookie": lambda: TOKENS.sign_assurance(Assurance("alice", time.time(), "otp")),
    "a token of the app under the same secret": lambda: jwt.encode({"sub": "alice", "exp": NOON + 300}, KEY, "HS256"),
}


@pytest.fixture(scope="module")
def core() -> Core:
    """What the use-cases work with, under our own keyring."""
    return replace(MFA(Settings(database_url="sqlite://")).parts.core, tokens=TOKENS, keyring=KEYRING)


class UntouchedStore:
    """A store that nobody may ask."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, verb: str) -> object:
        self.asked.append(verb)
        raise AssertionError(f"the store was asked: {verb}")


DOORS = {
    "verify": lambda core, text: verification.verify(core, text, verification.Attempted("totp", "000000"), ""),
    "release": lambda core, text: verification.release(core, text, ""),
    "challenge": lambda core, text: verification.prepare(core, text, "totp", ""),
    "binding": login_use_case.look_at,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_mutation_is_refused_before_any_store_is_asked(core, mutation, door):
    store = UntouchedStore()
    core = replace(core, token_store=store, authenticator_store=store)
    with pytest.raises(TokenInvalid):
        await DOORS[door](core, MUTATIONS[mutation]())
    assert store.asked == []


@pytest.mark.parametrize("purpose", [Purpose.ENROLMENT, Purpose.CONFIRM])
async def test_a_token_that_demands_a_binding_is_no_answer_to_a_challenge(core, purpose):
    store = UntouchedStore()
    core = replace(core, token_store=store, authenticator_store=store)
    with pytest.raises(TokenInvalid):
        await DOORS["verify"](core, TOKENS.issue("alice", purpose)[0])
    assert store.asked == []


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_token_reads_as_it_was_issued(purpose):
    text, issued = TOKENS.issue("alice", purpose)
    assert TOKENS.read(text) == issued
    assert issued.purpose is purpose


def test_a_token_names_no_user_in_plain():
    text, _ = TOKENS.issue("alice@example.com", Purpose.LOGIN)
    assert "alice" not in json.dumps(jwt.decode(text, options={"verify_signature": False}))


def test_a_token_says_what_rfc_8725_asks_for_and_nothing_else():
    text, token = TOKENS.issue("alice", Purpose.STEP_UP)
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "typ": "mfa+jwt", "kid": KEYRING.newest}
    assert jwt.decode(text, options={"verify_signature": False}) == {
        "iss": "mfa-middleware",
        "aud": "mfa+jwt",
        "sub": user_tag("alice"),
        "iat": NOON,
        "exp": NOON + 300,
        "jti": base64.urlsafe_b64encode(token.secret).decode(),
        "purpose": "step_up",
    }
    assert len(token.secret) == 32
    assert token.digest == token_digest(token.secret)
    assert token.place == f"token {token.user} step_up {token.digest}"


def test_the_cookie_says_when_and_how_its_user_proved_a_factor():
    assurance = Assurance("alice", NOON + 0.9, "otp")
    text = TOKENS.sign_assurance(assurance)
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "typ": "mfa-assurance+jwt", "kid": KEYRING.newest}
    assert jwt.decode(text, options={"verify_signature": False}) == {
        "iss": "mfa-middleware",
        "aud": "mfa-assurance+jwt",
        "sub": user_tag("alice"),
        "iat": NOON,
        "exp": NOON + 600,
        "auth_time": NOON,
        "amr": ["otp"],
        "jti": assurance.id,
    }
    assert TOKENS.assurance_id(text, "alice") == assurance.id


@pytest.mark.parametrize(("length", "read"), [(1024, True), (1025, False)])
def test_what_is_longer_than_any_of_ours_is_not_looked_at(length, read):
    def padded(letters: int) -> str:
        return signed(header(), claims(sub="a" * letters))

    text = next(text for letters in range(700) if len(text := padded(letters)) == length)
    assert is_mfa_token(text) is read
    if read:
        TOKENS.read(text)
    else:
        with pytest.raises(TokenInvalid):
            TOKENS.read(text)


def test_each_token_lives_as_long_as_it_is_told():
    tokens = Tokens(KEYRING, ttl=7, assurance_ttl=11)
    texts = tokens.issue("alice", Purpose.LOGIN)[0], tokens.sign_assurance(Assurance("alice", NOON, "otp"))
    assert [jwt.decode(text, options={"verify_signature": False})["exp"] - NOON for text in texts] == [7, 11]


@pytest.mark.parametrize("name", ["auth_time", "jti", "iss", "aud", "sub", "iat", "exp"])
def test_a_cookie_that_lacks_a_claim_assures_nobody(name):
    text = cookie()
    whole = jwt.decode(text, options={"verify_signature": False})
    assert TOKENS.assurance_id(signed(jwt.get_unverified_header(text), whole), "alice") is not None
    del whole[name]
    assert TOKENS.assurance_id(signed(jwt.get_unverified_header(text), whole), "alice") is None


def test_a_token_dies_with_its_time(clock):
    text, _ = TOKENS.issue("alice", Purpose.LOGIN)
    clock.shift(299)
    TOKENS.read(text)
    clock.shift(1)
    with pytest.raises(TokenInvalid):
        TOKENS.read(text)


def test_a_token_of_a_node_whose_clock_is_ahead_is_read_by_the_others(clock):
    text, _ = TOKENS.issue("alice", Purpose.LOGIN)
    clock.shift(-40)
    assert TOKENS.read(text).purpose is Purpose.LOGIN


def test_two_tokens_are_never_alike():
    assert len({TOKENS.issue("alice", Purpose.LOGIN)[0] for _ in range(100)}) == 100


def test_after_a_rotation_an_older_key_reads_and_the_newest_signs():
    older, newer = new_key(), new_key()
    before = Tokens(Keyring(parse_keys(older)), ttl=300, assurance_ttl=600)
    after = Tokens(Keyring(parse_keys(f"{newer}, {older}")), ttl=300, assurance_ttl=600)
    done = Tokens(Keyring(parse_keys(newer)), ttl=300, assurance_ttl=600)
    after.read(before.issue("alice", Purpose.LOGIN)[0])
    done.read(after.issue("alice", Purpose.LOGIN)[0])
    with pytest.raises(TokenInvalid):
        done.read(before.issue("alice", Purpose.LOGIN)[0])


def test_a_token_of_ours_is_told_from_the_app_s_own():
    assert is_mfa_token(GOOD)
    assert not is_mfa_token(jwt.encode({"sub": "alice"}, "k" * 32))
    assert not is_mfa_token("opaque")


# -------------------------------------------------------------------------------------------------------- the cookie


def cookie(user_id: str = "alice") -> str:
    return TOKENS.sign_assurance(Assurance(user_id, time.time(), "otp"))


def test_the_cookie_assures_its_user_alone():
    assert TOKENS.assurance_id(cookie(), "alice") is not None
    assert TOKENS.assurance_id(cookie(), "bob") is None
    assert TOKENS.assurance_id(cookie(), "") is None


def test_the_cookie_ends_with_its_time(clock):
    value = cookie()
    clock.shift(599)
    assert TOKENS.assurance_id(value, "alice") is not None
    clock.shift(1)
    assert TOKENS.assurance_id(value, "alice") is None


@pytest.mark.parametrize("mutation", [name for name in MUTATIONS if name != "the assurance cookie"])
def test_no_mutation_assures_anybody(mutation):
    assert TOKENS.assurance_id(MUTATIONS[mutation](), "alice") is None


def test_an_mfa_token_assures_nobody():
    assert TOKENS.assurance_id(GOOD, "alice") is None


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_a_cookie_with_one_letter_changed_assures_nobody(position):
    value = cookie()
    position %= len(value) - 1  # the last letter of base64 has bits that say nothing
    other = "A" if value[position] != "A" else "B"
    assert TOKENS.assurance_id(value[:position] + other + value[position + 1 :], "alice") is None


# ------------------------------------------------------------------------------------------------------- whatever comes


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_refused_and_nothing_else_is_raised(text):
    with pytest.raises(TokenInvalid):
        TOKENS.read(text)
    assert TOKENS.assurance_id(text, "alice") is None
    assert is_mfa_token(text) is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jku", "zip"]), JSON), JSON)
def test_any_header_and_claims_are_refused_and_nothing_else_is_raised(header, claims):
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(header, claims))


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "purpose"]), JSON, min_size=1))
def test_any_claims_under_our_own_key_are_read_or_refused(changed):
    header, claims, _ = good()
    try:
        TOKENS.read(signed(header, {**claims, **changed}))
    except TokenInvalid:
        pass

"""Keys: what is sealed opens in its place alone, under any key on the ring; weak ones stop start-up."""

from __future__ import annotations

import base64
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import ConfigurationError, Misconfigured, Settings
from mfa_middleware.keyring import Keyring, fingerprint, new_key, parse_keys, token_digest, user_tag
from mfa_middleware.keys import find_keys

OLD, NEW = new_key(), new_key()
RING = Keyring(parse_keys(OLD))
SECRET = b"s" * 32


@given(st.binary(), st.text())
def test_what_is_sealed_opens_in_its_place(plain, place):
    assert RING.open(RING.seal(plain, bound_to=place), bound_to=place) == plain
    assert (
        RING.open_for_token(RING.seal_for_token(plain, secret=SECRET, bound_to=place), secret=SECRET, bound_to=place)
        == plain
    )


@given(st.binary(min_size=8), st.data())
def test_one_bit_changed_and_it_does_not_open(plain, data):
    sealed = bytearray(RING.seal(plain, bound_to="row"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Misconfigured):
        RING.open(bytes(sealed), bound_to="row")


@given(st.binary())
def test_junk_does_not_open_and_nothing_else_is_raised(junk):
    with pytest.raises(Misconfigured):
        RING.open(junk, bound_to="row")
    with pytest.raises(Misconfigured):
        RING.open(bytes.fromhex(RING.newest) + junk, bound_to="row")
    with pytest.raises(Misconfigured):
        RING.open_for_token(bytes.fromhex(RING.newest) + junk, secret=SECRET, bound_to="row")


def test_moved_elsewhere_it_does_not_open():
    sealed = RING.seal(b"secret", bound_to="alice")
    with pytest.raises(Misconfigured):
        RING.open(sealed, bound_to="bob")


def test_what_a_token_sealed_opens_neither_without_it_nor_as_what_is_at_rest():
    sealed = RING.seal_for_token(b"login", secret=SECRET, bound_to="place")
    for secret in (b"t" * 32, b"", SECRET + b"x"):
        with pytest.raises(Misconfigured):
            RING.open_for_token(sealed, secret=secret, bound_to="place")
    with pytest.raises(Misconfigured):
        RING.open(sealed, bound_to="place")


def test_the_same_plaintext_is_never_sealed_alike():
    assert len({RING.seal(b"same", bound_to="row") for _ in range(100)}) == 100


def test_after_a_rotation_the_old_opens_the_newest_seals_and_an_unknown_one_is_refused():
    sealed = RING.seal(b"secret", bound_to="row")
    both = Keyring(parse_keys(f"{NEW},{OLD}"))
    assert both.open(sealed, bound_to="row") == b"secret"
    assert not both.sealed_with_newest(sealed)
    again = both.seal(b"secret", bound_to="row")
    assert both.sealed_with_newest(again)
    assert Keyring(parse_keys(NEW)).open(again, bound_to="row") == b"secret"
    with pytest.raises(Misconfigured, match="not set up"):
        Keyring(parse_keys(NEW)).open(sealed, bound_to="row")


def test_one_purpose_one_derived_key():
    master = parse_keys(OLD)[0]
    signing = RING.signing_keys[RING.newest]
    assert signing != master
    assert len(signing) == 32


@pytest.fixture
def first() -> Keyring:
    return Keyring(parse_keys(base64.urlsafe_b64encode(bytes(range(32))).decode()))


def test_what_earlier_releases_sealed_signed_and_named_stays_what_it_was(first):
    """What lies in a database outlives its release. A nonce of zeros: these values were made once, for this test."""
    assert first.newest == "d288c23426c5"
    signing = first.signing_keys["d288c23426c5"]
    assert signing.hex() == "c62b4a3be2c7cb77668fa7a7b65bc89a8ffd9a6c94077f93935e00ca29fc14f6"
    at_rest = "d288c23426c5" + "00" * 12 + "175cfa2c4edb726f01cfc71e70ba73db7c80f9f137a1"
    assert first.open(bytes.fromhex(at_rest), bound_to="row") == b"secret"
    per_token = "d288c23426c5" + "00" * 12 + "18567f7e21a6c0868de5c69d4405d5e1aa1a11b2f1"
    assert first.open_for_token(bytes.fromhex(per_token), secret=b"s" * 32, bound_to="place") == b"login"
    assert user_tag("alice") == "_91lTAcRH76HWpeIsK1rTUwZ"
    assert fingerprint("alice") == "CXNe4JJclTVQWQaDhoj6oV3v"
    assert token_digest(b"alice") == "zhL50hQ9t1TEfKhYI5Fl-rJg"


def test_sealed_bytes_are_the_key_s_id_a_nonce_and_the_ciphertext_with_its_tag(first):
    for sealed in (
        first.seal(b"12345", bound_to="row"),
        first.seal_for_token(b"12345", secret=SECRET, bound_to="row"),
    ):
        assert sealed[:6].hex() == first.newest
        assert len(sealed) == 6 + 12 + 5 + 16


def test_what_a_token_sealed_does_not_open_elsewhere():
    sealed = RING.seal_for_token(b"login", secret=SECRET, bound_to="place")
    with pytest.raises(Misconfigured):
        RING.open_for_token(sealed, secret=SECRET, bound_to="another")


def test_what_is_missing_of_a_sealed_value_is_a_change():
    sealed = RING.seal(b"", bound_to="row")
    for end in range(len(sealed)):
        with pytest.raises(Misconfigured):
            RING.open(sealed[:end], bound_to="row")


@pytest.mark.parametrize(("distinct", "good"), [(11, False), (12, True)])
def test_a_key_of_few_distinct_bytes_is_not_random(distinct, good):
    text = base64.urlsafe_b64encode(bytes(number % distinct for number in range(32))).decode()
    if good:
        assert len(parse_keys(text)) == 1
    else:
        with pytest.raises(ConfigurationError):
            parse_keys(text)


def test_a_longer_key_is_taken_whole():
    long = bytes(range(64))
    assert parse_keys(base64.urlsafe_b64encode(long).decode()) == (long,)


def test_a_ring_says_what_is_missing_and_how_to_mend_it():
    with pytest.raises(ConfigurationError, match=r"^MFA_SECRET_KEY is missing; make a key with `mfa keygen`\.$"):
        Keyring(())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("short", id="short"),
        pytest.param("!" * 43, id="no base64"),
        pytest.param("A" * 43, id="one byte again and again"),
        pytest.param(base64.urlsafe_b64encode(b"ab" * 16).decode(), id="two bytes"),
        pytest.param(base64.urlsafe_b64encode(bytes(range(31))).decode(), id="31 bytes"),
        pytest.param("passwordpasswordpasswordpasswordpasswordpas", id="a word"),
        pytest.param(f"{NEW},short", id="a good one and a short one"),
        pytest.param(f"{NEW} {OLD}", id="no comma"),
        pytest.param("ключ" * 11, id="not ASCII"),
    ],
)
def test_a_weak_key_is_refused_and_not_told(text):
    with pytest.raises(ConfigurationError) as refused:
        parse_keys(text)
    assert "mfa keygen" in str(refused.value)
    assert text not in str(refused.value)
    assert refused.value.__cause__ is None


def test_keys_are_read_with_and_without_padding_and_blanks():
    padded = NEW + "=" * (-len(NEW) % 4)
    assert parse_keys(f" {NEW} , {padded}, ") == parse_keys(NEW) * 2


def test_a_ring_without_keys_is_refused():
    with pytest.raises(ConfigurationError):
        Keyring(())


def test_new_keys_are_good_and_never_alike():
    keys = [new_key() for _ in range(50)]
    assert {len(key) for key in keys} == {43}
    assert not any("=" in key for key in keys)
    assert len(set(keys)) == 50
    assert all(len(key) == 32 for key in parse_keys(",".join(keys)))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_tags_are_safe_in_any_syntax_and_never_the_same_for_two_kinds(text):
    tags = {user_tag(text), fingerprint(text), token_digest(text.encode())}
    assert len(tags) == 3
    assert all(tag.isascii() and tag.replace("-", "").replace("_", "").isalnum() for tag in tags)


def test_half_a_surrogate_pair_which_json_may_hold_has_a_fingerprint_as_well():
    assert len({fingerprint(text) for text in ("\ud800", "\udfff", "\ufffd", "?", "")}) == 5


# ------------------------------------------------------------------------------------------------- where keys come from


def kept(tmp_path):
    return Settings(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3")


def test_with_embedded_stores_a_key_is_made_once_and_kept_private_with_a_warning(tmp_path, caplog):
    first = find_keys(kept(tmp_path))
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "MFA_SECRET_KEY" in caplog.text
    assert file.read_text() not in caplog.text
    assert find_keys(kept(tmp_path)) == first
    assert parse_keys(file.read_text()) == first


def test_a_key_of_the_setting_comes_before_a_kept_one(tmp_path):
    find_keys(kept(tmp_path))
    settings = Settings(database_url=f"sqlite:///{tmp_path}/mfa.sqlite3", secret_key=NEW)
    assert find_keys(settings) == parse_keys(NEW)


@pytest.mark.parametrize("text", ["", "junk", "A" * 43])
def test_a_kept_key_that_is_broken_stops_start_up_and_is_not_replaced(tmp_path, text):
    file = tmp_path / "mfa.sqlite3.key"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        Keyring(find_keys(kept(tmp_path)))
    assert file.read_text() == text


@pytest.mark.parametrize("url", [{"redis_url": "redis://127.0.0.1/0"}, {"database_url": "postgresql://127.0.0.1/mfa"}])
def test_a_server_s_store_is_not_sealed_with_a_key_of_our_own_making(url):
    with pytest.raises(ConfigurationError, match="mfa keygen"):
        find_keys(Settings(**url))


def test_a_folder_that_is_not_there_is_told():
    with pytest.raises(ConfigurationError, match="MFA_SECRET_KEY"):
        find_keys(Settings(database_url="sqlite:////nonexistent/folder/mfa.sqlite3"))


def test_a_key_with_letters_that_are_not_of_base64url_is_refused():
    with pytest.raises(ConfigurationError, match="not in base64url"):
        parse_keys(new_key() + "!!!!")

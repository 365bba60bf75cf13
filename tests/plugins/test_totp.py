"""The factor ``totp``: RFC 4226, RFC 6238, and what people type."""

import asyncio
import base64
import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, Enrolment
from mfa_middleware.models import Counter, Purpose
from mfa_middleware.testing.factor_contract import FactorContract
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from mfa_totp.settings import TOTPSettings
from mfa_totp.totp import TOTP

NOON = 1_800_000_000  # the start of a step of 30 and of 60 seconds
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # the RFCs' "12345678901234567890"
TWINS = 62_075_368  # SECRET has the same code at this step and at the next
ALICE = Enrolling("7", "alice@example.com", "Example")


class TestContract(FactorContract):
    def factor(self):
        return TOTP(TOTPSettings())

    def right_answer(self, enrolment: Enrolment, at: float) -> str:
        return VirtualAuthenticator(enrolment.shown["uri"]).code(at)


class TestContractOfEightDigits(TestContract):
    def factor(self):
        return TOTP(TOTPSettings(algorithm="SHA256", digits=8, period=60, window=0))


def check(code: str, at: float = NOON, *, purpose: Purpose = Purpose.LOGIN, secret: str = SECRET, **settings):
    factor = TOTP(TOTPSettings(**settings))
    return asyncio.run(factor.check(factor.adopt(secret), Answer(code, at, purpose)))


def enrol(enrolling: Enrolling = ALICE, **settings) -> Enrolment:
    return asyncio.run(TOTP(TOTPSettings(**settings)).enrol(enrolling))


def code_at(step: int) -> str:
    return VirtualAuthenticator(SECRET).code(step * 30)


# ---------------------------------------------------------------------------------------------------------------- RFCs


@pytest.mark.parametrize(
    ("counter", "code"),
    [
        (0, "755224"),
        (1, "287082"),
        (2, "359152"),
        (3, "969429"),
        (4, "338314"),
        (5, "254676"),
        (6, "287922"),
        (7, "162583"),
        (8, "399871"),
        (9, "520489"),
    ],
)
def test_rfc_4226_appendix_d(counter: int, code: str):
    assert check(code, at=counter * 30, window=0) == Counter(counter)


@pytest.mark.parametrize(
    ("at", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_rfc_6238_appendix_b(at: int, sha1: str, sha256: str, sha512: str):
    for algorithm, length, code in (("SHA1", 20, sha1), ("SHA256", 32, sha256), ("SHA512", 64, sha512)):
        secret = base64.b32encode((b"1234567890" * 7)[:length]).decode()
        assert check(code, at, secret=secret, algorithm=algorithm, digits=8, window=0) == Counter(at // 30)


# -------------------------------------------------------------------------------------------------------------- window


@pytest.mark.parametrize("window", [0, 1, 10])
@pytest.mark.parametrize("second", [0, 29, 29.999])
def test_the_window_reaches_so_many_steps_either_side_and_no_further(window: int, second: float):
    now = NOON // 30
    for offset in range(-window, window + 1):
        assert check(code_at(now + offset), NOON + second, window=window) == Counter(now + offset)
    for offset in (-window - 1, window + 1):
        with pytest.raises(InvalidCode):
            check(code_at(now + offset), NOON + second, window=window)


def test_the_first_steps_of_all_have_no_step_before_them():
    assert check("755224", at=0, window=10) == Counter(0)
    with pytest.raises(InvalidCode):
        check("000000", at=0, window=10)


def test_a_code_that_belongs_to_two_steps_spends_the_later_one():
    """With the earlier one the very same code would be right once more."""
    step = TWINS
    assert code_at(step) == code_at(step + 1)
    assert check(code_at(step), at=step * 30) == Counter(step + 1)
    assert check(code_at(step), at=(step + 1) * 30) == Counter(step + 1)


def test_a_code_that_confirmed_is_spent_unless_a_setting_says_otherwise():
    code = code_at(NOON // 30)
    assert check(code, purpose=Purpose.CONFIRM) == Counter(NOON // 30)
    assert check(code, purpose=Purpose.CONFIRM, spend_on_confirm=False) is None
    assert check(code, purpose=Purpose.LOGIN, spend_on_confirm=False) == Counter(NOON // 30)
    with pytest.raises(InvalidCode):
        check("000000", purpose=Purpose.CONFIRM, spend_on_confirm=False)


# --------------------------------------------------------------------------------------------------- what people type


@pytest.mark.parametrize("typed", ["{0}{1}", "{0} {1}", " {0} {1} ", "{0}-{1}", "{0}\u00a0{1}", "{0}  -  {1}"])
def test_blanks_and_hyphens_between_digits_do_not_count(typed: str):
    code = code_at(NOON // 30)
    assert check(typed.format(code[:3], code[3:])) == Counter(NOON // 30)


SPELLINGS = {
    "full-width digits": lambda code: "".join(chr(0xFF10 + int(digit)) for digit in code),
    "Arabic digits": lambda code: "".join(chr(0x0660 + int(digit)) for digit in code),
    "one full-width digit": lambda code: code[:-1] + chr(0xFF10 + int(code[-1])),
    "a sign": lambda code: "+" + code,
    "a leading zero": lambda code: "0" + code,
    "too short": lambda code: code[:-1],
    "too long": lambda code: code + "0",
    "a fraction": lambda code: code + ".0",
    "an end of line": lambda code: code + "\n",
    "a zero-width blank": lambda code: code[:3] + "\u200b" + code[3:],
    "an underscore": lambda code: code[:3] + "_" + code[3:],
    "quotes": lambda code: f'"{code}"',
    "hexadecimal": lambda code: hex(int(code)),
}


@pytest.mark.parametrize("spell", list(SPELLINGS.values()), ids=list(SPELLINGS))
def test_any_other_spelling_of_the_right_code_is_refused(spell):
    with pytest.raises(InvalidCode, match="not right") as caught:
        check(spell(code_at(NOON // 30)))
    assert caught.value.reason == "not a code of 6 digits"


def test_a_code_of_another_length_is_refused():
    with pytest.raises(InvalidCode):
        check(code_at(NOON // 30), digits=8)


# ----------------------------------------------------------------------------------------------------------- enrolment


def test_a_new_secret_has_160_bits():
    shown = enrol().shown
    assert len(base64.b32decode(shown["secret"])) == 20


def test_the_uri_is_what_authenticator_apps_read():
    shown = enrol().shown
    assert shown["uri"] == f"otpauth://totp/Example:alice%40example.com?secret={shown['secret']}&issuer=Example"
    app = VirtualAuthenticator(shown["uri"])
    assert (app.name, app.issuer) == ("alice@example.com", "Example")


def test_the_uri_says_what_is_not_usual():
    query = parse_qs(urlsplit(enrol(algorithm="SHA256", digits=8, period=60).shown["uri"]).query)
    assert (query["algorithm"], query["digits"], query["period"]) == (["SHA256"], ["8"], ["60"])


@pytest.mark.parametrize(
    ("name", "issuer", "path"),
    [
        ("alice", "localhost:8000", "/localhost 8000:alice"),
        ("urn:user:7", "Example", "/Example:urn user 7"),
        ("Алиса & Боб?", "名 前", "/名 前:Алиса & Боб?"),
        ("alice", "", "/alice"),
    ],
)
def test_a_colon_stands_between_issuer_and_name_alone(name: str, issuer: str, path: str):
    uri = enrol(Enrolling("7", name, issuer)).shown["uri"]
    assert unquote(urlsplit(uri).path) == path
    assert VirtualAuthenticator(uri).code(NOON).isdigit()


def test_names_of_any_length_fit_into_a_qr_code():
    shown = enrol(Enrolling("7", "名" * 5000, "前" * 5000)).shown
    assert VirtualAuthenticator(shown["uri"]).name == "名" * 64


def test_the_qr_code_is_an_image_to_be_shown_as_it_is():
    kind, _, data = enrol().shown["qrCode"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG\r\n")


def test_an_authenticator_stays_as_it_was_made_when_settings_change():
    shown, state = (made := enrol(algorithm="SHA512", digits=8, period=60)).shown, made.state
    code = VirtualAuthenticator(shown["uri"]).code(NOON)
    kept = json.loads(json.dumps(state))
    later = TOTP(TOTPSettings())
    assert asyncio.run(later.check(kept, Answer(code, NOON, Purpose.LOGIN))) == Counter(NOON // 60)


# -------------------------------------------------------------------------------------------------------------- import


@pytest.mark.parametrize(
    "secret",
    [
        SECRET.lower(),
        "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
        "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ",
        SECRET + "======",
    ],
)
def test_a_secret_is_imported_however_it_is_written(secret: str):
    assert check(code_at(NOON // 30), secret=secret) == Counter(NOON // 30)


def test_a_secret_without_its_padding_is_imported():
    unpadded = base64.b32encode(b"a secret of 21 bytes!").decode().rstrip("=")
    assert check(VirtualAuthenticator(unpadded).code(NOON), secret=unpadded) == Counter(NOON // 30)


def test_a_secret_of_80_bits_is_imported_where_a_setting_allows_it():
    short = base64.b32encode(b"ten bytes!").decode()
    with pytest.raises(ValueError, match=r"^The secret has 80 bits, but MFA_TOTP_IMPORT_BITS is 112\.$"):
        TOTP(TOTPSettings()).adopt(short)
    assert check(VirtualAuthenticator(short).code(NOON), secret=short, import_bits=80) == Counter(NOON // 30)


@pytest.mark.parametrize(
    "secret", ["", "A", "0189" * 8, SECRET + "!", SECRET[:-1] + "\u0131", "otpauth://totp/x?secret=A"]
)
def test_what_is_no_secret_is_refused_without_being_told(secret: str):
    with pytest.raises(ValueError, match=r"^The secret ") as caught:
        TOTP(TOTPSettings()).adopt(secret)
    assert not secret or len(secret) == 1 or secret not in str(caught.value)

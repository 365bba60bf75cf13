"""The factor ``recovery_code``: long codes on paper, of which only digests are kept."""

import asyncio
import re

import pytest

from mfa_middleware import Settings
from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, IssuedAtBinding
from mfa_middleware.models import Once, Purpose
from mfa_middleware.testing.factor_contract import FactorContract
from mfa_recovery_code import mfa_register_factors
from mfa_recovery_code.recovery_code import RecoveryCode
from mfa_recovery_code.settings import RecoveryCodeSettings
from mfa_recovery_code.single import SingleRecoveryCode

FACTOR = RecoveryCode(RecoveryCodeSettings())


class TestContract(FactorContract):
    def factor(self):
        return RecoveryCode(RecoveryCodeSettings())


class TestContractOfASingleOne(FactorContract):
    def factor(self):
        return SingleRecoveryCode(RecoveryCodeSettings())


def check(state, code: str) -> Once:
    return asyncio.run(FACTOR.check(state, Answer(code, 0, Purpose.LOGIN)))


def test_codes_are_written_in_groups_that_people_can_read():
    _, codes = FACTOR.issue()
    assert [code for code in codes if not re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", code)] == []


@pytest.mark.parametrize("count", [1, 10, 50])
def test_a_setting_says_how_many(count: int):
    factor = RecoveryCode(RecoveryCodeSettings(count=count))
    state, codes = factor.issue()
    assert len(codes) == count == factor.left(state, 0)


@pytest.mark.parametrize(
    "typed",
    [
        "abcd-10jk-mnpq-rst2",
        "ABCD10JKMNPQRST2",
        " abcd 10jk mnpq rst2 ",
        "abcd\u00a010jk\u00a0mnpq\u00a0rst2",
        "ABCD-lojk-MNPQ-RST2",
        "ABCD-IOJK-MNPQ-RST2",
        "ABCD-LoJK-MNPQ-RST2",
    ],
)
def test_a_code_is_read_as_it_is_meant_and_has_one_digest(typed: str):
    state = FACTOR.adopt_codes(["ABCD-10JK-MNPQ-RST2"])
    assert check(state, typed) == check(state, "ABCD-10JK-MNPQ-RST2")


@pytest.mark.parametrize(
    "typed",
    [
        "ABCD-10JK-MNPQ-RST",
        "ABCD-10JK-MNPQ-RST22",
        "ABCD-10JK-MNPQ-RST2\n",
        "\uff21BCD-10JK-MNPQ-RST2",
        "ABCD-\u01310JK-MNPQ-RST2",
    ],
)
def test_any_other_spelling_is_refused(typed: str):
    state = FACTOR.adopt_codes(["ABCD-10JK-MNPQ-RST2"])
    with pytest.raises(InvalidCode):
        check(state, typed)


def test_codes_of_another_issue_are_refused():
    state, _ = FACTOR.issue()
    _, others = FACTOR.issue()
    for code in others:
        with pytest.raises(InvalidCode):
            check(state, code)


def test_the_same_code_has_another_digest_for_every_user():
    """So that two dumps do not tell who has the same codes, and no table of digests fits."""
    one, other = (FACTOR.adopt_codes(["123456"]) for _ in range(2))
    assert check(one, "123456") != check(other, "123456")


@pytest.mark.parametrize("code", ["123456", "a1b2c3d4e5", "7f3a-99c2", "Pa5s+W0rd/x=", "oil-OIL-OIL", "x" * 64])
def test_imported_codes_may_have_any_look(code: str):
    state = FACTOR.adopt_codes(["another-code", code])
    assert check(state, code) == check(state, code.upper())


@pytest.mark.parametrize("code", ["12345", "1-2-3-4-5", "x" * 65, "пароль", "123456\t", ""])
def test_an_imported_code_of_no_use_is_refused_without_being_told(code: str):
    with pytest.raises(ValueError, match="6 to 64") as caught:
        FACTOR.adopt_codes(["123456", code])
    assert not code or code not in str(caught.value)


@pytest.mark.parametrize("codes", [[], ["ABCDEF", "abc-def"], ["OIL-OIL", "011011"]])
def test_no_codes_and_equal_codes_are_refused(codes: list[str]):
    with pytest.raises(ValueError, match="two of them are the same"):
        FACTOR.adopt_codes(codes)


def test_recovery_codes_cannot_be_bound_on_their_own():
    with pytest.raises(NotImplementedError):
        asyncio.run(FACTOR.enrol(Enrolling("7", "alice", "Example")))


# ---------------------------------------------------------------------------------------------------- one code alone


@pytest.mark.parametrize(
    ("given", "single"),
    [
        ({}, False),
        ({"dialect": "authing"}, True),
        ({"dialect": "authing", "recovery_code_style": "list"}, False),
        ({"recovery_code_style": "single"}, True),
    ],
)
def test_the_dialect_authing_has_one_code_unless_it_is_said_otherwise(given: dict[str, str], single: bool):
    [factor] = mfa_register_factors(Settings(**given))
    assert isinstance(factor, IssuedAtBinding) == single
    assert isinstance(factor, RecoveryCode)
    _, codes = factor.issue()
    assert len(codes) == (1 if single else 10)


def test_one_code_has_96_bits_in_six_groups_and_is_kept_as_a_digest():
    state, [code] = SingleRecoveryCode(RecoveryCodeSettings()).issue()
    assert re.fullmatch("([0-9a-f]{4}-){5}[0-9a-f]{4}", code)
    assert code not in str(state)
    assert check(state, code.upper().replace("-", " ")) == check(state, code)


def test_where_secrets_may_be_shown_again_the_code_is_kept_and_only_there():
    for reveal, kept in (("true", True), ("false", False)):
        [factor] = mfa_register_factors(Settings(dialect="authing", authing_reveal_secrets=reveal))
        assert isinstance(factor, RecoveryCode)
        state, [code] = factor.issue()
        assert (code in str(state)) == kept

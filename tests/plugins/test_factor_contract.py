"""The contract suite finds what a plugin's author may get wrong. Each factor here breaks one rule."""

import hashlib
import json
import secrets
from dataclasses import replace
from typing import ClassVar

import pytest

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Enrolment, Prepared
from mfa_middleware.models import Counter, Once, Purpose
from mfa_middleware.testing import FactorContract


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


class Password:
    """A factor that is right, if not wise: a secret to be typed as it is."""

    name, title, amr = "password", "A second password", "pwd"

    async def enrol(self, enrolling):
        secret = secrets.token_hex(16)
        return Enrolment({"secret": secret}, {"secret": secret})

    async def check(self, state, answer):
        if answer.code != state["secret"]:
            raise InvalidCode("wrong")
        return Once(digest(answer.code))

    def adopt(self, secret):
        if not secret.isalnum():
            raise ValueError("not a secret")
        return {"secret": secret}


class Paper(Password):
    """Backup codes, likewise."""

    size, count = 10, 3

    def issue(self):
        codes = [secrets.token_hex(self.size) for _ in range(self.count)]
        return self.adopt_codes(codes), codes

    def adopt_codes(self, codes):
        if not all(code.isalnum() for code in codes):
            raise ValueError("not a code")
        return {"digests": [digest(code).hex() for code in codes]}

    async def check(self, state, answer):
        if digest(answer.code).hex() not in state["digests"]:
            raise InvalidCode("wrong")
        return Once(digest(answer.code))

    def left(self, state, spent):
        return max(len(state["digests"]) - spent, 0)


class Pager(Password):
    """Sends a code, likewise."""

    sent: ClassVar = [""]

    async def enrol(self, enrolling):
        return Enrolment({"secret": digest(self.send()).hex()}, {})

    async def challenge(self, state):
        return Prepared({}, {"secret": digest(self.send()).hex()})

    def send(self):
        self.sent[0] = secrets.token_hex(16)
        return self.sent[0]

    async def check(self, state, answer):
        kept = state if answer.purpose is Purpose.CONFIRM else answer.kept
        if not kept or digest(answer.code).hex() != kept["secret"]:
            raise InvalidCode("wrong")
        return Once(digest(answer.code))


class Key:
    """Its secret is complete only with what confirms it; what was asked for at the binding proves nothing."""

    name, title, amr = "key", "A key", "hwk"

    async def enrol(self, enrolling):
        asked = secrets.token_hex(16)
        return Enrolment({"asked": asked}, {"asked": asked})

    async def complete(self, state, answer):
        if answer.code != "key for " + state["asked"]:
            raise InvalidCode("no key")
        return {"key": digest(answer.code).hex()}, None

    async def check(self, state, answer):
        if digest(answer.code.removeprefix("signed by ")).hex() != state["key"]:
            raise InvalidCode("wrong")
        return Once(digest(answer.code))


class Forgetful(Password):
    """Keeps the secret in the instance."""

    secret = ""

    async def enrol(self, enrolling):
        self.secret = secrets.token_hex(16)
        return Enrolment({"salt": secrets.token_hex()}, {"secret": self.secret})

    async def check(self, state, answer):
        return await super().check({"secret": self.secret}, answer)


class Talkative(Password):
    """Shows what it made in its repr."""

    async def enrol(self, enrolling):
        self.made = await super().enrol(enrolling)
        return self.made

    def __repr__(self):
        return f"Talkative({self.made.shown})"


class Stateful(Password):
    """Counts in the state."""

    async def check(self, state, answer):
        state["times"] = state.get("times", 0) + 1
        return await super().check(state, answer)


def broken(kind: type, **members: object) -> type:
    return type("Broken", (kind,), members)


def checks(check):
    return broken(Password, check=check)


async def accepts_all(self, state, answer):
    return Counter(1)


async def spends_nothing(self, state, answer):
    await Password.check(self, state, answer)


async def spends_another_each_time(self, state, answer):
    await Password.check(self, state, answer)
    return Once(secrets.token_bytes())


async def spends_too_much(self, state, answer):
    await Password.check(self, state, answer)
    return Once(b"x" * 65)


async def spends_the_answer(self, state, answer):
    await Password.check(self, state, answer)
    return Once(answer.code.encode())


async def reads_json(self, state, answer):
    if json.loads(answer.code) != state["secret"]:
        raise InvalidCode("wrong")
    return Once(digest(answer.code))


async def encodes(self, state, answer):
    answer.code.encode()
    return await Password.check(self, state, answer)


async def tells(self, state, answer):
    if answer.code != state["secret"]:
        raise InvalidCode(f"wrong: {answer.code}")
    return Once(digest(answer.code))


async def tells_its_cause(self, state, answer):
    try:
        {}[answer.code]
    except KeyError as error:
        raise InvalidCode("wrong") from error


async def looks_at_the_beginning(self, state, answer):
    if not answer.code.startswith(state["secret"]):
        raise InvalidCode("wrong")
    return Once(digest(answer.code))


async def keeps_the_code(self, state):
    return Prepared({}, {"code": self.send()})


async def takes_what_confirmed(self, state, answer):
    return await Pager.check(self, answer.kept or state, replace(answer, purpose=Purpose.CONFIRM))


async def is_still_asked(self, state, answer):
    if answer.code != f"signed by key for {state['asked']}":
        raise InvalidCode("wrong")
    return Once(digest(answer.code))


async def completes_nothing(self, state, answer):
    return state, (await Key.complete(self, state, answer))[1]


async def completes_with_all(self, state, answer):
    return {"key": digest(answer.code).hex()}, None


class Answers(FactorContract):
    """The suite with the right answers of all of them."""

    def right_answer(self, enrolment, at):
        if "asked" in enrolment.shown:
            return f"signed by {self.confirming_answer(enrolment, at)}"
        return enrolment.shown.get("secret") or enrolment.shown.get("code") or Pager.sent[0]

    def confirming_answer(self, enrolment, at):
        if "asked" in enrolment.shown:
            return f"key for {enrolment.shown['asked']}"
        return super().confirming_answer(enrolment, at)


class TestAFactorThatCompletes(Answers):
    def factor(self):
        return Key()


class Contract(Answers):
    """The suite for one class of factors; not collected by pytest."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def factor(self):
        return self.kind()


def run(kind: type, test: str, *arguments: object) -> None:
    getattr(Contract(kind), f"test_{test}")(*arguments)


ODD = "an_odd_answer_is_an_invalid_code"
IMPORT = "a_secret_that_cannot_be_imported_is_a_value_error_without_it"
BACKUP = "a_backup_code_that_cannot_be_imported_is_a_value_error_without_it"
BROKEN = [
    (broken(Password, name="A Password"), "says_its_name_its_title_and_its_amr"),
    (broken(Password, title=""), "says_its_name_its_title_and_its_amr"),
    (checks(lambda self, state, answer: None), "checks_asynchronously"),
    (Talkative, "a_repr_tells_no_secret"),
    (checks(spends_nothing), "the_right_answer_gives_a_proof", Purpose.LOGIN),
    (checks(spends_too_much), "the_right_answer_gives_a_proof", Purpose.STEP_UP),
    (checks(spends_too_much), "the_right_answer_confirms"),
    (Forgetful, "the_right_answer_confirms"),
    (checks(spends_another_each_time), "the_same_answer_gives_the_same_proof"),
    (checks(spends_the_answer), "a_proof_does_not_tell_the_answer"),
    (Stateful, "checking_changes_no_state"),
    (checks(reads_json), ODD, "", Purpose.LOGIN),
    (checks(reads_json), ODD, "[" * 100_000, Purpose.LOGIN),
    (checks(encodes), ODD, "\ud800", Purpose.CONFIRM),
    (checks(tells), ODD, "a canary that is told", Purpose.LOGIN),
    (checks(tells_its_cause), ODD, "a canary that is told", Purpose.LOGIN),
    (checks(accepts_all), "a_wrong_answer_is_an_invalid_code"),
    (checks(looks_at_the_beginning), "more_than_the_right_answer_is_an_invalid_code", "\x00"),
    (checks(accepts_all), "the_right_answers_of_others_are_invalid_codes"),
    (broken(Pager, challenge=keeps_the_code), "a_challenge_is_kept_without_its_answer"),
    (broken(Pager, check=takes_what_confirmed), "an_answer_to_no_challenge_is_an_invalid_code"),
    (broken(Pager, check=accepts_all), "an_answer_to_an_earlier_challenge_is_an_invalid_code"),
    (broken(Key, check=is_still_asked), "the_right_answer_gives_a_proof", Purpose.LOGIN),
    (broken(Key, complete=completes_nothing), "the_right_answer_gives_a_proof", Purpose.STEP_UP),
    (broken(Key, complete=completes_with_all), ODD, "", Purpose.CONFIRM),
    (broken(Password, adopt=lambda self, secret: {"secret": "x"}), "an_imported_secret_proves_like_its_own"),
    (broken(Password, adopt=lambda self, secret: {}), IMPORT),
    (broken(Password, adopt=lambda self, secret: int(secret)), IMPORT),
    (broken(Paper, size=9), "backup_codes_are_all_different_and_long"),
    (broken(Paper, issue=lambda self: ({}, ["7" * 40] * 2)), "backup_codes_are_all_different_and_long"),
    (broken(Paper, issue=lambda self: ({"codes": ["AB-CD"]}, ["AB-CD"])), "backup_codes_are_not_kept"),
    (broken(Paper, check=accepts_all), "every_backup_code_proves_and_no_two_the_same"),
    (broken(Paper, left=lambda self, state, spent: 3 - spent), "backup_codes_are_counted_down_to_none"),
    (broken(Paper, adopt_codes=lambda self, codes: {"digests": []}), "backup_codes_of_another_system_prove"),
    (broken(Paper, adopt_codes=lambda self, codes: {}), BACKUP),
]


@pytest.mark.parametrize(("kind", "test", "arguments"), [(kind, test, rest) for kind, test, *rest in BROKEN])
def test_a_factor_that_breaks_a_rule_is_found(kind: type, test: str, arguments: list[object]):
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        run(kind, test, *arguments)
    assert not isinstance(caught.value, pytest.skip.Exception | NotImplementedError | AttributeError)


@pytest.mark.parametrize(("kind", "test", "arguments"), [(kind, test, rest) for kind, test, *rest in BROKEN])
def test_the_same_rule_finds_nothing_in_a_right_factor(kind: type, test: str, arguments: list[object]):
    right = next(one for one in (Pager, Paper, Password, Key) if issubclass(kind, one))
    run(right, test, *arguments)

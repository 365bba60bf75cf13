"""The contract of factors, as tests to inherit.

::

    class TestMyFactor(FactorContract):
        def factor(self):
            return MyFactor()

        def right_answer(self, enrolment, at):
            return my_app(enrolment.shown["uri"]).code(at)

They are plain pytest tests and need no plugin of pytest. Those about a capability that the factor does not declare
are skipped.
"""

# ruff: noqa: S101 - these are tests, and pytest explains their asserts

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn, cast

import pytest

from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import (
    Answer,
    BackupCodes,
    Challenging,
    Completing,
    Enrolling,
    Enrolment,
    Factor,
    Importing,
    Prepared,
    State,
)
from mfa_middleware.models import Counter, Once, Proof, Purpose

CANARY = "canary-7Q3W-not-to-be-told"

#: What forms and JSON bodies bring, and what no factor may fall over.
ODD_ANSWERS = {
    "nothing": "",
    "blanks": "      ",
    "4096 letters": "A" * 4096,
    "4096 digits": "7" * 4096,
    "Arabic digits": "\u0661\u0662\u0663\u0664\u0665\u0666",
    "full-width digits": "\uff11\uff12\uff13\uff14\uff15\uff16",
    "superscript digits": "\u00b2\u00b2\u00b2\u00b2\u00b2\u00b2",
    "a NUL": "\x00",
    "control characters": "\x1b[2J\r\n\x07",
    "a lone surrogate": "\ud800",
    "an exponent": "1e5",
    "a sign": "-1",
    "a plus": "+12345",
    "null": "null",
    "a list": "[]",
    "nested JSON": "[" * 2000,
    "a format": "%s%n{0.__class__}",
    "a canary": CANARY,
}


class FactorContract:
    """Inherit it in a class whose name begins with ``Test``, and give :meth:`factor` and :meth:`right_answer`.

    What is kept goes through JSON between any two steps, and every step is done by another instance, as in a server
    of many processes.
    """

    #: Secrets that ``adopt`` must refuse, and that may not stand in what it says about them.
    unusable_secrets: tuple[str, ...] = ("", f"\x00{CANARY}\x00")
    #: Whose factor is bound.
    enrolling = Enrolling(user_id="7", name="alice@example.com", issuer="Example")

    def factor(self) -> Factor:
        """A new instance of the factor, with the settings of all others."""
        raise NotImplementedError("give the contract your factor: def factor(self) -> Factor")

    def right_answer(self, enrolment: Enrolment, at: float) -> str:
        """What the user of that enrolment types at that time.

        A factor that sends codes returns the one that it sent last. For backup codes ``enrolment.shown["code"]``, the
        first one issued, is right, and need not be said.
        """
        if "code" in enrolment.shown:
            return enrolment.shown["code"]
        raise NotImplementedError("give the contract right answers: def right_answer(self, enrolment, at) -> str")

    def confirming_answer(self, enrolment: Enrolment, at: float) -> str:
        """What confirms that enrolment. A factor with ``complete`` may want another answer here than at a login."""
        return self.right_answer(enrolment, at)

    def wrong_answer(self, enrolment: Enrolment, at: float) -> str:
        """What looks like the right answer, and is not; by default its last character is another one."""
        right = self.right_answer(enrolment, at)
        return right[:-1] + ("2" if right.endswith("1") else "1")

    # ------------------------------------------------------------------------------------------ what every factor is

    def test_says_its_name_its_title_and_its_amr(self) -> None:
        factor = self.factor()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", factor.name)
        assert factor.title.strip()
        assert factor.amr.strip()

    def test_checks_asynchronously(self) -> None:
        factor = self.factor()
        assert inspect.iscoroutinefunction(factor.check)
        assert isinstance(factor, BackupCodes) or inspect.iscoroutinefunction(factor.enrol)

    def test_every_enrolment_is_another_one(self) -> None:
        """Else who knows one user's answer knows everybody's."""
        one, other = self._enrolled(), self._enrolled()
        assert dict(one.state) != dict(other.state), "two enrolments have the same state: give each a secret of its own"

    def test_what_is_shown_is_text(self) -> None:
        _assert_texts(self._enrolled().shown)

    def test_a_repr_tells_no_secret(self) -> None:
        factor = self.factor()
        enrolment = self._enrol(factor)
        told = repr(enrolment) + repr(factor)
        assert [text for text in _texts([enrolment.state, enrolment.shown]) if len(text) > 7 and text in told] == []

    # --------------------------------------------------------------------------------------------- the right answer

    @pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.STEP_UP])
    def test_the_right_answer_gives_a_proof(self, purpose: Purpose) -> None:
        enrolment, at = self._enrolled(), time.time()
        _assert_proof(self._check(enrolment.state, self._right(enrolment, at, purpose)))

    def test_the_right_answer_confirms(self) -> None:
        if isinstance(self.factor(), BackupCodes):
            pytest.skip("backup codes are never confirmed")
        enrolment, at = self._enrol(self.factor()), time.time()
        proof = self._ask(enrolment.state, self._right(enrolment, at, Purpose.CONFIRM))
        if proof is not None:  # there may be nothing to spend
            _assert_proof(proof)

    def test_the_same_answer_gives_the_same_proof(self) -> None:
        """Only then can the engine refuse it when it comes again."""
        enrolment = self._enrolled()
        answer = self._right(enrolment, time.time())
        assert self._check(enrolment.state, answer) == self._check(enrolment.state, answer)

    def test_a_proof_does_not_tell_the_answer(self) -> None:
        """It is kept in clear, so that the database can compare it."""
        enrolment = self._enrolled()
        answer = self._right(enrolment, time.time())
        proof = self._check(enrolment.state, answer)
        assert isinstance(proof, Counter) or answer.code.encode() not in proof.digest

    def test_checking_changes_no_state(self) -> None:
        enrolment = self._enrolled()
        before = copy.deepcopy(enrolment.state)
        self._check(enrolment.state, self._right(enrolment, time.time()))
        assert enrolment.state == before

    # --------------------------------------------------------------------------------------------------- wrong answers

    @pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.CONFIRM])
    @pytest.mark.parametrize("code", list(ODD_ANSWERS.values()), ids=list(ODD_ANSWERS))
    def test_an_odd_answer_is_an_invalid_code(self, code: str, purpose: Purpose) -> None:
        enrolment = self._enrol(self.factor()) if purpose is Purpose.CONFIRM else self._enrolled()
        at = time.time()
        right = self._right(enrolment, at, purpose)
        self._refused(enrolment.state, Answer(code, at, purpose, right.kept))

    def test_a_wrong_answer_is_an_invalid_code(self) -> None:
        enrolment, at = self._enrolled(), time.time()
        right = self._right(enrolment, at)
        self._refused(enrolment.state, Answer(self.wrong_answer(enrolment, at), at, right.purpose, right.kept))

    @pytest.mark.parametrize("tail", ["\x00", "\ud800", "7" * 4000], ids=["NUL", "surrogate", "more digits"])
    def test_more_than_the_right_answer_is_an_invalid_code(self, tail: str) -> None:
        enrolment, at = self._enrolled(), time.time()
        right = self._right(enrolment, at)
        self._refused(enrolment.state, Answer(right.code + tail, at, right.purpose, right.kept))

    def test_the_right_answers_of_others_are_invalid_codes(self) -> None:
        """Short codes may coincide, so one of two strangers suffices."""
        at = time.time()
        strangers = [self._right(self._enrolled(), at).code for _ in range(2)]
        enrolment = self._enrolled()
        right = self._right(enrolment, at)
        refused = 0
        for code in strangers:
            try:
                self._check(enrolment.state, Answer(code, at, right.purpose, right.kept))
            except InvalidCode:
                refused += 1
        assert refused

    # ---------------------------------------------------------------------------------------------------- capabilities

    def test_a_challenge_is_kept_without_its_answer(self) -> None:
        self._challenging()
        enrolment, at = self._enrolled(), time.time()
        prepared = self._challenge(enrolment.state)
        _assert_texts(prepared.shown)
        code = self.right_answer(enrolment, at)
        assert code not in json.dumps([prepared.shown, prepared.kept], ensure_ascii=False)

    def test_an_answer_to_no_challenge_is_an_invalid_code(self) -> None:
        """Neither what answered another challenge, nor what confirmed the binding."""
        self._challenging()
        enrolment, at = self._enrolled(), time.time()
        self._refused(enrolment.state, Answer(self.right_answer(enrolment, at), at, Purpose.LOGIN))
        self._refused(enrolment.state, Answer(self._right(enrolment, at).code, at, Purpose.LOGIN))

    def test_an_answer_to_an_earlier_challenge_is_an_invalid_code(self) -> None:
        self._challenging()
        enrolment, at = self._enrolled(), time.time()
        earlier = self._right(enrolment, at)
        later = self._right(enrolment, at)
        self._refused(enrolment.state, Answer(earlier.code, at, Purpose.LOGIN, later.kept))

    def test_an_imported_secret_proves_like_its_own(self) -> None:
        factor = self._importing()
        enrolment, at = self._enrolled(), time.time()
        imported = _through_json(factor.adopt(enrolment.shown["secret"]))
        answer = self._right(enrolment, at)
        assert self._check(imported, answer) == self._check(enrolment.state, answer)

    def test_a_secret_that_cannot_be_imported_is_a_value_error_without_it(self) -> None:
        factor = self._importing()
        for secret in self.unusable_secrets:
            with pytest.raises(ValueError, match=r".") as caught:
                factor.adopt(secret)
            assert not secret or secret not in _told(caught.value)
            assert CANARY.lower() not in _told(caught.value).lower()

    def test_backup_codes_are_all_different_and_long(self) -> None:
        """80 bits, reckoned from the characters that are seen."""
        factor = self._backup_codes()
        codes: list[str] = []
        while len(codes) < 400:
            codes += factor.issue()[1]
        plain = ["".join(filter(str.isalnum, code)).lower() for code in codes]
        assert len(set(plain)) == len(codes)
        assert min(map(len, plain)) * math.log2(len(set("".join(plain)))) >= 80

    def test_backup_codes_are_not_kept(self) -> None:
        factor = self._backup_codes()
        state, codes = factor.issue()
        kept = json.dumps(state).lower()
        assert [code for code in codes if code.lower() in kept or code.replace("-", "").lower() in kept] == []

    def test_every_backup_code_proves_and_no_two_the_same(self) -> None:
        factor = self._backup_codes()
        state, codes = factor.issue()
        kept, at = _through_json(state), time.time()
        proofs = [self._check(kept, Answer(code, at, Purpose.LOGIN)) for code in codes]
        assert len(set(proofs)) == len(codes)

    def test_backup_codes_are_counted_down_to_none(self) -> None:
        factor = self._backup_codes()
        state, codes = factor.issue()
        left = [factor.left(_through_json(state), spent) for spent in range(len(codes) + 2)]
        assert left == [*range(len(codes), -1, -1), 0]

    def test_backup_codes_of_another_system_prove(self) -> None:
        factor = self._backup_codes()
        codes = factor.issue()[1]
        kept = _through_json(factor.adopt_codes(codes))
        assert factor.left(kept, 0) == len(codes)
        _assert_proof(self._check(kept, Answer(codes[-1], time.time(), Purpose.LOGIN)))

    def test_a_backup_code_that_cannot_be_imported_is_a_value_error_without_it(self) -> None:
        factor = self._backup_codes()
        for code in self.unusable_secrets:
            with pytest.raises(ValueError, match=r".") as caught:
                factor.adopt_codes([code])
            assert CANARY.lower() not in _told(caught.value).lower()

    # --------------------------------------------------------------------------------------------------- what they use

    def _enrolled(self) -> Enrolment:
        """Enrolled and confirmed: its state is live."""
        factor = self.factor()
        pending = self._enrol(factor)
        if not isinstance(factor, Completing):
            return pending
        live, _ = asyncio.run(factor.complete(pending.state, self._right(pending, time.time(), Purpose.CONFIRM)))
        return Enrolment(_through_json(live), pending.shown)

    def _enrol(self, factor: Factor) -> Enrolment:
        if isinstance(factor, BackupCodes):
            state, codes = factor.issue()
            return Enrolment(_through_json(state), {"code": codes[0]})
        enrolment = asyncio.run(factor.enrol(self.enrolling))
        return Enrolment(_through_json(enrolment.state), enrolment.shown)

    def _challenging(self) -> Challenging:
        factor = self.factor()
        return factor if isinstance(factor, Challenging) else _skip(factor)

    def _importing(self) -> Importing:
        factor = self.factor()
        return factor if isinstance(factor, Importing) else _skip(factor)

    def _backup_codes(self) -> BackupCodes:
        factor = self.factor()
        return factor if isinstance(factor, BackupCodes) else _skip(factor)

    def _challenge(self, state: State) -> Prepared:
        prepared = asyncio.run(self._challenging().challenge(state))
        return Prepared(prepared.shown, _through_json(prepared.kept))

    def _right(self, enrolment: Enrolment, at: float, purpose: Purpose = Purpose.LOGIN) -> Answer:
        """The right answer; one that confirms comes without a challenge."""
        kept: State | None = None
        if purpose is not Purpose.CONFIRM and isinstance(self.factor(), Challenging):
            kept = self._challenge(enrolment.state).kept
        code = self.confirming_answer if purpose is Purpose.CONFIRM else self.right_answer
        return Answer(code(enrolment, at), at, purpose, kept)

    def _ask(self, state: State, answer: Answer) -> Proof | None:
        factor = self.factor()
        if answer.purpose is Purpose.CONFIRM and isinstance(factor, Completing):
            return asyncio.run(factor.complete(state, answer))[1]
        return asyncio.run(factor.check(state, answer))

    def _check(self, state: State, answer: Answer) -> Proof:
        proof = self._ask(state, answer)
        assert proof is not None, "only a confirmation may spend nothing: return a Counter or a Once"
        return proof

    def _refused(self, state: State, answer: Answer) -> None:
        with pytest.raises(InvalidCode) as caught:
            self._ask(state, answer)
        told = _told(caught.value) + caught.value.reason
        assert len(answer.code) < 6 or answer.code.isspace() or answer.code not in told, "the error tells the answer"


def _skip(factor: Factor) -> NoReturn:
    pytest.skip(f"{factor.name} does not declare this capability")


def _through_json(state: State) -> State:
    """What the engine does with it: it must be an object, and nothing may be lost."""
    kept = json.loads(json.dumps(state, allow_nan=False))
    assert isinstance(kept, dict), "what is kept must be a JSON object"
    return cast(State, kept)


def _texts(value: object) -> Iterator[str]:
    """All strings in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast(Mapping[str, object], value).values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in cast(Iterable[object], value):
            yield from _texts(one)


def _told(error: BaseException | None) -> str:
    """What an error and those behind it say."""
    return f"{error!r} {error} {_told(error.__cause__ or error.__context__)}" if error else ""


def _assert_texts(shown: Mapping[str, str]) -> None:
    assert all(isinstance(one, str) for pair in shown.items() for one in pair), "names and values shown must be strings"


def _assert_proof(proof: Proof) -> None:
    if isinstance(proof, Counter):
        assert type(proof.value) is int
        assert 0 <= proof.value < 2**63
    else:
        assert type(proof) is Once
        assert type(proof.digest) is bytes
        assert 1 <= len(proof.digest) <= 64

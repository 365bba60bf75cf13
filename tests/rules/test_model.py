"""Rules 2, 3, 4 and 7, against a model: whatever users, attackers, admins, clocks and crashes do, in whatever order.

The model is sequential and knows no engine. What the class ``MFA`` answers must be what the model answers, word for
word; races end in an outcome that some order of their calls explains.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mfa_middleware import MFA, Settings
from mfa_middleware.binding import PENDING_SECONDS
from mfa_middleware.callers import Caller
from mfa_middleware.errors import InvalidCode, MFAError, Unavailable
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.keyring import fingerprint, user_tag
from mfa_middleware.models import Challenge, Purpose
from mfa_middleware.testing import VirtualAuthenticator
from tests.rules.conftest import KEY
from tests.world import NOON, enrol, login

TTL, ATTEMPTS, BUDGET, LOCKOUT, LOGINS, FRESH = 300, 3, 4, 60, 3, 600
PERIOD = 30
#: Time passes in steps that never add up to the second at which something ends: which side that is, is not told here.
JUMPS = tuple(seconds + 0.013 for seconds in (1, 31, 61, 121, 301, 601, 901, -1, -31, -91))
OUTCOMES = ("right", "right", "next", "before", "stale", "future", "another's", "replayed", "wrong", "wrong")
AFTER = ("next", "next", "sheet")
NAMES = ("alice", "alice", "bob")
Item = TypeVar("Item")
index = st.integers(0, 30)
#: A file system that need not wait for a disk, where there is one.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(eq=False)
class Row:
    """An authenticator app that was bound, as it should be kept."""

    id: str
    created_at: float
    phone: VirtualAuthenticator | None = None
    pending: VirtualAuthenticator | None = None
    pending_until: float = 0
    enabled: bool = True
    revision: int = 0
    counter: int = -1

    @property
    def order(self) -> tuple[float, str]:
        return self.created_at, self.id

    def awaits(self) -> bool:
        return self.pending is not None and self.pending_until > time.time()


@dataclass(eq=False)
class Codes:
    """A sheet of recovery codes."""

    issued: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set[str])


@dataclass(eq=False)
class User:
    """What is known of a user. ``proofs`` are fingerprints, and until when they are fresh."""

    name: str
    rows: list[Row] = field(default_factory=list[Row])
    codes: Codes | None = None
    failures: int = 0
    locked_until: float = 0
    proofs: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def live(self) -> list[Row]:
        return sorted((one for one in self.rows if one.phone), key=lambda one: one.order)

    @property
    def gated(self) -> bool:
        return any(one.enabled for one in self.live)

    @property
    def locked(self) -> bool:
        return self.locked_until > time.time()

    def changed(self) -> None:
        """Any change removes what has been pending for too long."""
        self.rows = [one for one in self.rows if one.phone or one.awaits()]

    def fail(self) -> None:
        self.failures += 1
        if self.failures % BUDGET == 0:
            self.locked_until = time.time() + (LOCKOUT << (self.failures // BUDGET - 1))

    def forgive(self) -> None:
        self.failures, self.locked_until = 0, 0

    def prove(self, fingerprints: Sequence[str]) -> None:
        self.proofs = {one: until for one, until in self.proofs.items() if until > time.time()}
        self.proofs |= dict.fromkeys(fingerprints, time.time() + FRESH)


@dataclass(eq=False)
class Token:
    """An mfaToken, and what its user could prove when it was issued."""

    challenge: Challenge
    user: User
    held: HeldLogin | None
    proofs: tuple[str, ...]
    candidates: list[tuple[Row, int, VirtualAuthenticator]]
    codes: Codes | None
    tag: str
    digest: str
    until: float
    alive: bool = True
    attempts: int = 0

    @property
    def text(self) -> str:
        return self.challenge.mfa_token

    @property
    def step_up(self) -> bool:
        return self.challenge.purpose is Purpose.STEP_UP


def challenged(machine: Machine) -> bool:
    return bool(machine.tokens)


def owned(machine: Machine) -> bool:
    return any(user.rows for user in machine.users.values())


def gated(machine: Machine) -> bool:
    return any(user.gated for user in machine.users.values())


class Machine(RuleBasedStateMachine):
    """One ``MFA`` on a SQLite file and an embedded Redis, two users, and everybody who wants something of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self.travel = time_machine.travel(NOON, tick=False)
        self.clock = self.travel.start()
        self.runner = asyncio.Runner()
        self.users = {name: User(name) for name in NAMES}
        self.tokens: list[Token] = []
        self.phones: list[VirtualAuthenticator] = []
        self.sheets: list[str] = []
        self.fingerprints: list[str] = []
        self.accepted: list[tuple[object, object]] = []  # an authenticator app and a step, or a sheet and its code
        self.typed_before: list[str] = []
        self.released: list[HeldLogin] = []
        self.logins = 0
        self.runner.run(self.open())

    def teardown(self) -> None:
        self.runner.run(self.mfa.close())
        self.runner.close()
        self.travel.stop()
        self.folder.cleanup()

    async def open(self) -> None:
        self.mfa = MFA(
            Settings(
                database_url=f"sqlite:///{self.folder.name}/mfa.sqlite3",
                secret_key=KEY,
                engine_timeout=20,
                token_ttl=TTL,
                token_attempts=ATTEMPTS,
                user_failures=BUDGET,
                lockout=LOCKOUT,
                pending_logins=LOGINS,
                step_up_ttl=FRESH,
            )
        )
        self.core = await self.mfa.open(alone=False)
        self.checks = 0
        for factor in self.core.factors.values():
            self.watch(factor)

    def watch(self, factor: Any) -> None:
        check = factor.check

        async def counted(*arguments: Any) -> Any:
            self.checks += 1
            return await check(*arguments)

        factor.check = counted

    # ------------------------------------------------------------------------------------------------------ helpers

    def ask(self, call: Awaitable[Item]) -> Item | str:
        """What came of a call: its result, or the code of its refusal."""

        async def asked() -> Item | str:
            try:
                return await call
            except MFAError as error:
                return getattr(error, "code", str(error))

        return self.runner.run(asked())

    def expect(self, call: Awaitable[Item], code: str | None) -> Item | None:
        """The call is refused with that code, or (None) is not."""
        found = self.ask(call)
        if code is None:
            assert not isinstance(found, str), found
            return found
        assert found == code
        return None

    def caller(self, user: User, who: int, *, cookie: bool = False) -> Caller:
        """Signed in as that user: nothing proven, assured by the app, or with what was once a proof of somebody."""
        if not self.fingerprints or who % 4 < 2:
            return Caller(user.name, assured=who % 4 == 1)
        proof = self.fingerprints[-1 - who % min(4, len(self.fingerprints))]
        return Caller(user.name, cookie=proof) if cookie else Caller(user.name, proof=proof)

    def proven(self, user: User, caller: Caller) -> bool:
        known = caller.admin or caller.assured
        return known or any(user.proofs.get(one or "", 0) > time.time() for one in (caller.proof, caller.cookie))

    def may(self, user: User, caller: Caller) -> bool:
        return not user.live or self.proven(user, caller)

    def last(self, items: Sequence[Item], number: int) -> Item:
        """One of the items, and mostly one of the newest."""
        return items[-1 - number % len(items)]

    def row(self, number: int, *, pending: bool = False) -> tuple[User, Row]:
        """An authenticator, and whose it is; a pending one, if you like and there is any."""
        rows = [(user, row) for user in self.users.values() for row in user.rows]
        return self.last([one for one in rows if one[1].pending or not pending] or rows, number)

    def kill(self, user: User) -> None:
        for one in self.tokens:
            one.alive = one.alive and one.user is not user
        user.proofs = {}

    def phone(self, uri: str) -> VirtualAuthenticator:
        self.phones.append(VirtualAuthenticator(uri))
        return self.phones[-1]

    def answer(self, how: str, user: User, phone: VirtualAuthenticator | None, number: int) -> str:
        """What somebody types as a code of an authenticator app."""
        offset = {"right": 0, "next": 1, "before": -1, "stale": -3, "future": 3}
        if phone is not None and how in offset:
            return phone.code(offset_steps=offset[how])
        if how == "another's" and self.phones:
            return self.last(self.phones, number).code()
        if how == "replayed" and self.typed_before:
            return self.last(self.typed_before, number)
        near = {one.code(offset_steps=step) for one in self.phones for step in range(-3, 4)}
        return next(code for code in map("{:06}".format, range(1000)) if code not in near)

    def step(self, phone: VirtualAuthenticator, code: str) -> int:
        """The step of the window that the code is right for; -1 for none."""
        now = int(time.time() // PERIOD)
        return max((now + one for one in (-1, 0, 1) if phone.code(offset_steps=one) == code), default=-1)

    def winner(self, token: Token, factor: str, code: str) -> tuple[Row, int] | Codes | None:
        """What of the user's proves the code, on that token and at this moment."""
        if factor == "recovery_code":
            codes = token.codes
            good = codes is not None and codes is token.user.codes and code in codes.issued - codes.used
            return codes if good else None
        for row, revision, phone in token.candidates:
            step, same = self.step(phone, code), row in token.user.rows and row.revision == revision
            if same and step > row.counter and (row.enabled or token.step_up):
                return row, step
        return None

    # ------------------------------------------------------------------------------------------ logins and step-ups

    @initialize()
    def alice_has_an_authenticator(self) -> None:
        self.bind("alice", 0, confirmed=True)
        self.time_jumps(JUMPS[1])

    def issued(self, user: User, challenge: Challenge, held: HeldLogin | None, proofs: tuple[str, ...] = ()) -> None:
        live = [one for one in user.live if one.enabled or held is None]
        candidates = [(one, one.revision, one.phone) for one in live if one.phone]
        token = self.core.tokens.read(challenge.mfa_token)
        until = int(time.time()) + TTL
        made = Token(challenge, user, held, proofs, candidates, user.codes, token.user, token.digest, until)
        self.tokens.append(made)
        waiting = [one for one in self.tokens if one.user is user and one.alive]
        for one in waiting[:-LOGINS]:
            one.alive = False

    @rule(name=st.sampled_from(NAMES))
    def login(self, name: str) -> None:
        """Held exactly for who has a live, enabled authenticator."""
        user = self.users[name]
        self.logins += 1
        body = b'{"access_token": "%d"}' % self.logins
        held = HeldLogin(200, ((b"content-type", b"application/json"),), body, "/login")
        challenge = self.expect(self.mfa.begin_login(name, held), None) if user.gated else None
        if challenge is None:
            assert self.ask(self.mfa.begin_login(name, held)) is None
            return
        self.issued(user, challenge, held)

    @rule(name=st.sampled_from(NAMES))
    def step_up(self, name: str) -> None:
        """For who has a live authenticator, be it disabled."""
        user = self.users[name]
        proof = fingerprint(f"step-up-{len(self.tokens)}")
        challenge = self.expect(self.mfa.begin_step_up(name, (proof,)), None if user.live else "not_found")
        if challenge is not None:
            self.issued(user, challenge, None, (proof,))

    def typed(self, token: Token, how: str, number: int) -> tuple[str, str]:
        """A factor and a code for an answer to that token."""
        if how == "sheet":
            return "recovery_code", self.last(self.sheets, number) if self.sheets else "0000-0000-0000-0000"
        phones = [phone for _, _, phone in token.candidates]
        return "totp", self.answer(how, token.user, phones[number % len(phones)], number)

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from(("right", "sheet")))
    def log_in_as_one_does(self, name: str, how: str) -> None:
        """A while after whatever was before, and with a code that was not used yet, unless the sheet is used up."""
        self.time_jumps(JUMPS[1])
        self.login(name)
        if self.tokens:
            self.verify(0, how, 0)

    @precondition(challenged)
    @rule(which=st.integers(0, 5), how=st.sampled_from((*OUTCOMES, "sheet")), number=index)
    def verify(self, which: int, how: str, number: int) -> None:
        """An answer to a token, dead ones among them."""
        token = self.last(self.tokens, which)
        factor, code = self.typed(token, how, number)
        before = self.checks
        refused = self.refusal(token)
        found = self.ask(self.mfa.verify(token.text, factor, code))
        if refused is not None:
            assert found == refused
            assert self.checks == before, "looked at though it was refused"
        elif (winner := self.winner(token, factor, code)) is None:
            assert found == "invalid_code"
            self.found_wrong(token)
        else:
            assert not isinstance(found, str), found
            assert found.held == token.held
            self.found_right(token, winner, code, fingerprint(found.assurance.id))

    @precondition(gated)
    @rule(which=index, what=st.sampled_from(("disable", "refresh", "unbind", "regenerate")), how=st.sampled_from(AFTER))
    def change_between_challenge_and_answer(self, which: int, what: str, how: str) -> None:
        """What was taken away proves nothing, on the tokens either that were issued before."""
        rows = [row for user in self.users.values() for row in user.rows]
        which = len(rows) - 1 - rows.index(self.last([row for row in rows if row.phone and row.enabled], which))
        user, _ = self.row(which)
        self.time_jumps(JUMPS[1])
        self.login(user.name)
        match what:
            case "disable":
                self.enable_or_disable(which, 1, enabled=False, admin=False)
            case "refresh":
                self.refresh(which, 1, confirmed=True)
            case "unbind":
                self.unbind(which, 1)
            case _:
                self.regenerate(user.name, 1)
        if self.tokens:
            self.verify(0, how, 0)

    @rule(name=st.sampled_from(NAMES))
    def log_in_with_the_code_that_confirmed(self, name: str) -> None:
        """It is spent."""
        self.bind(name, 1, confirmed=True)
        self.login(name)
        if self.tokens:
            self.verify(0, "right", -1)

    def refusal(self, token: Token) -> str | None:
        """Why an answer to that token is not looked at."""
        if not token.alive or token.until <= time.time():
            return "token_invalid"
        return "too_many_attempts" if token.user.locked else None

    def found_wrong(self, token: Token) -> None:
        token.user.fail()
        token.attempts += 1
        token.alive = token.attempts < ATTEMPTS

    def spend(self, winner: tuple[Row, int] | Codes, code: str) -> None:
        if isinstance(winner, Codes):
            winner.used.add(code)
            self.accepted.append((winner, code))
        else:
            row, step = winner
            row.counter = step
            self.accepted.append((row.phone, row.counter))
            self.typed_before.append(code)

    def found_right(self, token: Token, winner: tuple[Row, int] | Codes, code: str, proof: str) -> None:
        self.spend(winner, code)
        token.alive = False
        token.user.forgive()
        proofs = [proof, *token.proofs]
        if token.held is not None:
            self.released.append(token.held)
            proofs.append(fingerprint(token.held.body.split(b'"')[3].decode()))
        token.user.prove(proofs)
        self.fingerprints += proofs

    # --------------------------------------------------------------------------------------------------------- races

    @precondition(challenged)
    @rule(which=st.integers(0, 1), callers=st.integers(2, 5), how=st.sampled_from(("right", "sheet")), number=index)
    def one_token_and_a_right_code_at_once(self, which: int, callers: int, how: str, number: int) -> None:
        """Exactly one gets what the token stands for."""
        token = self.last(self.tokens, which)
        self.race(token, [token], callers, how, number)

    @precondition(challenged)
    @rule(how=st.sampled_from(("right", "sheet")), number=index)
    def one_code_on_all_tokens_at_once(self, how: str, number: int) -> None:
        """Exactly one token's answer is right."""
        token = self.last(self.tokens, 0)
        several = [one for one in self.tokens if one.user is token.user and one.candidates == token.candidates]
        self.race(token, several, 1, how, number)

    def race(self, token: Token, tokens: Sequence[Token], callers: int, how: str, number: int) -> None:
        """All that are looked at stay below the user's budget here; then exactly one is right."""
        factor, code = self.typed(token, how, number)
        winner = self.winner(token, factor, code)
        open_tokens = [one for one in tokens if self.refusal(one) is None]
        if winner is None or token not in open_tokens:
            return
        if token.user.failures % BUDGET + len(open_tokens) * callers >= BUDGET:
            return
        calls = [one for one in tokens for _ in range(callers)]
        found = self.gather([self.mfa.verify(one.text, factor, code) for one in calls])
        won = [(one, result) for one, result in zip(calls, found, strict=True) if not isinstance(result, str)]
        assert len(won) == 1, found
        ((taken, result),) = won
        for one in open_tokens if callers == 1 else ():
            one.attempts += one is not taken
            one.alive = one.attempts < ATTEMPTS
        assert result.held == taken.held
        self.found_right(taken, winner, code, fingerprint(result.assurance.id))
        self.unlock(token.user)  # whose failures came after the success is not told

    @precondition(challenged)
    @rule(which=st.integers(0, 1), callers=st.integers(2, 6))
    def guesses_at_once(self, which: int, callers: int) -> None:
        """As many are looked at as the token and the user's budget allow, and not one more."""
        token = self.last(self.tokens, which)
        user, before = token.user, self.checks
        allowed = min(callers, ATTEMPTS - token.attempts, BUDGET - user.failures % BUDGET)
        if self.refusal(token) is not None:
            allowed = 0
        code = self.answer("wrong", user, None, 0)
        found = self.gather([self.mfa.verify(token.text, "totp", code) for _ in range(callers)])
        assert found.count("invalid_code") == allowed
        assert set(found) <= {"invalid_code", "too_many_attempts", "token_invalid"}
        assert self.checks - before == allowed * len(token.candidates)
        for _ in range(allowed):
            self.found_wrong(token)

    @rule(name=st.sampled_from(NAMES), before=st.integers(2, 6), after=st.integers(2, 6))
    def guesses_before_and_after_a_crash(self, name: str, before: int, after: int) -> None:
        """Redis forgets them, the database does not."""
        self.login(name)
        if self.tokens:
            self.guesses_at_once(0, before)
            self.crash(self.users[name])
            self.login(name)
            self.guesses_at_once(0, after)

    def gather(self, calls: Sequence[Awaitable[Any]]) -> list[Any]:
        async def one(call: Awaitable[Any]) -> Any:
            try:
                return await call
            except MFAError as error:
                return getattr(error, "code", str(error))

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*map(one, calls))

        return self.runner.run(all_of_them())

    # ----------------------------------------------------------------------------------------------- changing factors

    @rule(name=st.sampled_from(NAMES), who=index, confirmed=st.booleans())
    def bind(self, name: str, who: int, confirmed: bool) -> None:
        user = self.users[name]
        caller = self.caller(user, who)
        refused = None if self.may(user, caller) else "step_up_required"
        binding = self.expect(self.mfa.bind(caller, "totp"), refused)
        if binding is not None:
            user.changed()
            unconfirmed = sorted((one for one in user.rows if not one.phone), key=lambda one: one.order)
            user.rows = [one for one in user.rows if one not in unconfirmed[:-4]]
            phone, until = self.phone(binding.shown["uri"]), time.time() + PENDING_SECONDS
            user.rows.append(Row(binding.id, time.time(), pending=phone, pending_until=until))
            if confirmed:
                self.confirmed(user, user.rows[-1], who, "right", 0)

    @precondition(owned)
    @rule(which=st.integers(0, 5), how=st.sampled_from(OUTCOMES), who=index, number=index)
    def confirm(self, which: int, who: int, how: str, number: int) -> None:
        self.confirmed(*self.row(which, pending=True), who, how, number)

    def confirmed(self, user: User, row: Row, who: int, how: str, number: int) -> None:
        caller = self.caller(user, who)
        code = self.answer(how, user, row.pending or row.phone, number)
        before = self.checks
        refused = self.refusal_to_confirm(user, row, caller)
        step = self.step(row.pending, code) if row.pending else -1
        found = self.expect(self.mfa.confirm(caller, row.id, code), refused or (None if step >= 0 else "invalid_code"))
        assert self.checks == before + (refused is None)
        if found is None:
            if refused is None:
                user.fail()
            return
        assert bool(found.recovery_codes) == (not user.live)
        if not user.live:
            user.codes = Codes(frozenset(found.recovery_codes))
            self.sheets += found.recovery_codes
        row.phone, row.pending, row.enabled = row.pending, None, True
        row.revision, row.counter = row.revision + 1, step
        user.rows = [one for one in user.rows if one.phone]
        for one in user.rows:
            one.pending = None
        self.accepted.append((row.phone, step))
        self.typed_before.append(code)
        proofs = [fingerprint(found.assurance.id), *caller.proofs]
        user.forgive()
        user.prove(proofs)
        self.fingerprints += proofs

    def refusal_to_confirm(self, user: User, row: Row, caller: Caller) -> str | None:
        if not row.awaits():
            return "not_found"
        if not self.may(user, caller):
            return "step_up_required"
        return "too_many_attempts" if user.locked else None

    @precondition(owned)
    @rule(which=st.integers(0, 5), who=index, confirmed=st.booleans())
    def refresh(self, which: int, who: int, confirmed: bool) -> None:
        """The former secret lives on until the new one is confirmed."""
        user, row = self.row(which)
        caller = self.caller(user, who)
        refused = "not_found" if not row.phone else None if self.may(user, caller) else "step_up_required"
        binding = self.expect(self.mfa.refresh(caller, row.id), refused)
        if binding is not None:
            user.changed()
            row.pending, row.pending_until = self.phone(binding.shown["uri"]), time.time() + PENDING_SECONDS
            if confirmed:
                self.confirmed(user, row, who, "right", 0)

    @precondition(owned)
    @rule(which=st.integers(0, 5), who=index, enabled=st.booleans(), admin=st.booleans())
    def enable_or_disable(self, which: int, who: int, enabled: bool, admin: bool) -> None:
        user, row = self.row(which)
        caller = Caller(user.name, admin=True) if admin else self.caller(user, who, cookie=True)
        refused = "not_found" if not row.phone else None if self.may(user, caller) else "step_up_required"
        if self.expect(self.mfa.change(caller, row.id, enabled=enabled), refused) is not None:
            user.changed()
            row.enabled = enabled

    @precondition(owned)
    @rule(which=st.integers(0, 5), who=index)
    def unbind(self, which: int, who: int) -> None:
        """With the last live one the recovery codes go, and held logins."""
        user, row = self.row(which)
        caller = self.caller(user, who, cookie=True)
        expired = not row.phone and not row.awaits()
        refused = "not_found" if expired else None if self.may(user, caller) else "step_up_required"
        assert (self.ask(self.mfa.unbind(caller, row.id)) or None) == refused
        if refused is None:
            user.changed()
            user.rows.remove(row)
            if row.phone and not user.live:
                user.codes = None
                self.kill(user)

    @precondition(owned)
    @rule(which=st.integers(0, 5))
    def nobody_changes_what_is_another_s(self, which: int) -> None:
        user, row = self.row(which)
        caller = Caller("bob" if user.name == "alice" else "alice", assured=True)
        for call in (
            self.mfa.unbind(caller, row.id),
            self.mfa.refresh(caller, row.id),
            self.mfa.change(caller, row.id, enabled=False),
            self.mfa.confirm(caller, row.id, "000000"),
        ):
            assert self.ask(call) == "not_found"

    @rule(name=st.sampled_from(NAMES), who=index)
    def regenerate(self, name: str, who: int) -> None:
        """The former codes are void."""
        user = self.users[name]
        caller = self.caller(user, who)
        refused = "not_found" if not user.live else None if self.may(user, caller) else "step_up_required"
        codes = self.expect(self.mfa.regenerate_codes(caller), refused)
        if codes is not None:
            user.changed()
            user.codes = Codes(frozenset(codes))
            self.sheets += codes

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(("unlock", "unlock", "reset", "crash")))
    def something_befalls(self, name: str, what: str) -> None:
        {"unlock": self.unlock, "reset": self.reset, "crash": self.crash}[what](self.users[name])

    def unlock(self, user: User) -> None:
        self.runner.run(self.mfa.unlock(user.name))
        user.forgive()

    def reset(self, user: User) -> None:
        self.runner.run(self.mfa.reset(user.name))
        user.rows, user.codes = [], None
        user.forgive()
        self.kill(user)

    def crash(self, _: User) -> None:
        """The process ends and Redis with it; the database stays."""
        self.runner.run(self.restart())
        for user in self.users.values():
            self.kill(user)

    # ------------------------------------------------------------------------------------------- clocks and crashes

    @rule(seconds=st.sampled_from(JUMPS))
    def time_jumps(self, seconds: float) -> None:
        """Forward mostly. What Redis has swept then does not come back with the clock."""
        self.clock.shift(seconds)
        self.runner.run(self.sweep())
        for one in self.tokens:
            one.alive = one.alive and one.until > time.time()
        for user in self.users.values():
            if not any(until > time.time() for until in user.proofs.values()):
                user.proofs = {}

    async def sweep(self) -> None:
        for one in self.tokens:
            await self.core.token_store.read(one.tag, one.digest)
        for name in self.users:
            await self.core.token_store.proven(user_tag(name), "")

    async def restart(self) -> None:
        await self.mfa.close()
        await self.open()

    @precondition(challenged)
    @rule(which=st.integers(0, 2), how=st.sampled_from(("right", "next", "sheet")), number=index)
    def crash_between_spending_and_releasing(self, which: int, how: str, number: int) -> None:
        """The code is gone and the login stays held."""
        token = self.last(self.tokens, which)
        factor, code = self.typed(token, how, number)
        winner = self.winner(token, factor, code)
        if winner is None or self.refusal(token) is not None:
            return
        with patch.object(self.core.token_store, "take", side_effect=Unavailable("crash")):
            self.expect(self.mfa.verify(token.text, factor, code), "unavailable")
        self.spend(winner, code)
        self.crash(token.user)

    # ------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_released_or_accepted_twice(self) -> None:
        assert len(set(map(id, self.released))) == len(self.released)
        assert len(set(self.accepted)) == len(self.accepted)

    @invariant()
    def users_are_as_the_model_has_them(self) -> None:
        for name, user in self.users.items():
            status, overview = self.runner.run(self.look(name))
            assert status.enabled == user.gated
            assert [(one.id, one.enabled) for one in overview.authenticators] == [
                (one.id, one.enabled) for one in user.live
            ]
            left = len(user.codes.issued) - len(user.codes.used) if user.codes else 0
            assert overview.recovery_codes_left == left

    async def look(self, name: str) -> tuple[Any, Any]:
        return await self.mfa.status(name), await self.mfa.overview(name)


def profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_is_as_the_model_has_it():
    run_state_machine_as_test(Machine, settings=profile(50, 25))


@pytest.mark.slow
def test_whatever_happens_at_length_is_as_the_model_has_it():
    run_state_machine_as_test(Machine, settings=profile(150, 50))


async def test_a_clock_that_goes_back_locks_nobody_out(clock: time_machine.Traveller, mfa: MFA):
    person = await enrol(mfa)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", person.wrong)
    token = (await login(mfa)).mfa_token
    clock.shift(-20)
    assert (await mfa.verify(token, "recovery_code", person.recovery_codes[0])).held

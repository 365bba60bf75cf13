"""Rules 2, 3, 4 and 7, against a model: whatever users, attackers, admins, clocks and crashes do, in whatever order.

The model is sequential and knows no engine. What the class ``MFA`` answers must be what the model answers, word for
word; races end in an outcome that some order of their calls explains.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar
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
from mfa_middleware.factor import Answer, Enrolling, Enrolment, Prepared, State
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.keyring import fingerprint, user_tag
from mfa_middleware.models import Challenge, Changes, Proof, Purpose
from mfa_middleware.rows import new_live_row
from mfa_middleware.stores.protocols import TokenStore
from mfa_middleware.stores.sql import migrate
from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.tokens import MfaToken
from tests.engines import EngineMissing, PostgreSQL, Valkey
from tests.rules.conftest import KEY
from tests.rules.worlds import Embedded, Real, World
from tests.world import NOON, Plugin, enrol, login

TTL, ATTEMPTS, BUDGET, LOCKOUT, LOGINS, FRESH = 300, 3, 4, 60, 3, 600
PERIOD = 30
HARD = 2 * BUDGET
MAX_AGE = 2000  # MFA_SESSION_MAX_AGE
SENDINGS, SENDINGS_WINDOW = 10, 600
SESSIONS = (b"session 1", b"session 2")
#: Time passes in steps that never add up to the second at which something ends: which side that is, is not told here.
JUMPS = tuple(seconds + 0.013 for seconds in (1, 31, 61, 121, 301, 601, 901, -1, -31, -91))
OUTCOMES = ("right", "right", "next", "before", "stale", "future", "another's", "replayed", "wrong", "wrong")
AFTER = ("next", "next", "sheet")
NAMES = ("alice", "alice", "bob")
Item = TypeVar("Item")
index = st.integers(0, 30)


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
    post: bool = False  #: letters can be sent to them
    sendings: tuple[float, int] = 0, 0  #: since when, and how many

    @property
    def live(self) -> list[Row]:
        return sorted((one for one in self.rows if one.phone), key=lambda one: one.order)

    @property
    def gated(self) -> bool:
        return any(one.enabled for one in self.live)

    @property
    def locked(self) -> bool:
        """For a while, for every factor."""
        return self.locked_until > time.time()

    @property
    def hard_locked(self) -> bool:
        """For all but recovery codes, until an admin ends it."""
        return self.locked or self.failures >= HARD

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
    number: int
    alive: bool = True
    attempts: int = 0
    lost: int = 0  # attempts that were counted and then never answered
    confirmed: bool = False  # for an enrolment
    post: bool = False

    @property
    def text(self) -> str:
        return self.challenge.mfa_token

    @property
    def step_up(self) -> bool:
        return self.challenge.purpose is Purpose.STEP_UP

    @property
    def dead(self) -> bool:
        return not self.alive or self.until <= time.time()


class Post:
    """A factor that sends letters. Here nobody answers them."""

    name, title, amr = "post", "A letter", "swk"

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        raise InvalidCode("nobody binds it")

    async def check(self, state: State, answer: Answer) -> Proof | None:
        raise InvalidCode("nobody answers it")

    async def challenge(self, state: State) -> Prepared:
        return Prepared({"sent": "a letter"}, {})


def challenged(machine: Machine) -> bool:
    return bool(machine.tokens)


def enrolling(machine: Machine) -> bool:
    return bool(machine.enrolments)


def owned(machine: Machine) -> bool:
    return any(user.rows for user in machine.users.values())


def gated(machine: Machine) -> bool:
    return any(user.gated for user in machine.users.values())


class Machine(RuleBasedStateMachine):
    """One ``MFA`` on engines of a world, two users, and everybody who wants something of them."""

    world: ClassVar[World] = Embedded()

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()
        self.required = False
        self.travel = time_machine.travel(NOON, tick=False)
        self.clock = self.travel.start()
        self.runner = asyncio.Runner()
        self.users = {name: User(name) for name in NAMES}
        self.tokens: list[Token] = []  # that can be answered
        self.enrolments: list[Token] = []
        self.blocked: dict[bytes, float] = {}
        self.phones: list[VirtualAuthenticator] = []
        self.sheets: list[str] = []
        self.fingerprints: list[str] = []
        self.accepted: list[tuple[object, object]] = []  # an authenticator app and a step, or a sheet and its code
        self.typed_before: list[str] = []
        self.released: list[HeldLogin] = []
        self.logins = 0
        self.enrolment: MfaToken | None = None
        self.checks = 0
        self.runner.run(self.open())

    def teardown(self) -> None:
        self.runner.run(self.mfa.close())
        self.runner.close()
        self.travel.stop()
        self.world.end()

    @property
    def issues(self) -> list[Token]:
        """All tokens, in the order in which they were issued."""
        return sorted([*self.tokens, *self.enrolments], key=lambda one: one.number)

    async def open(self, token_store: TokenStore | None = None) -> None:
        """Open an ``MFA``, on the Redis of the one before if that is given."""
        self.mfa = MFA(
            Settings(
                **self.world.settings(),
                enrolment="required" if self.required else "optional",
                secret_key=KEY,
                engine_timeout=20,
                token_ttl=TTL,
                token_attempts=ATTEMPTS,
                user_failures=BUDGET,
                lockout=LOCKOUT,
                pending_logins=LOGINS,
                step_up_ttl=FRESH,
            ),
            plugins=[Plugin(Post())],
        )
        core = self.mfa.parts.core
        policy = replace(core.policy, hard=HARD)
        self.mfa.parts.core = replace(core, policy=policy, token_store=token_store or core.token_store)
        self.core = await self.mfa.open(alone=False)
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
        for one in self.issues:
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

    @initialize(required=st.booleans())
    def alice_has_an_authenticator(self, required: bool) -> None:
        """Everybody must have one, or may."""
        self.required = required
        self.runner.run(self.restart())
        self.bind("alice", 0, confirmed=True)
        self.time_jumps(JUMPS[1])

    def issued(self, user: User, challenge: Challenge, held: HeldLogin | None, proofs: tuple[str, ...] = ()) -> None:
        live = [one for one in user.live if one.enabled or held is None]
        candidates = [(one, one.revision, one.phone) for one in live if one.phone]
        token = self.core.tokens.read(challenge.mfa_token)
        until = int(time.time()) + TTL
        keys = token.user, token.digest, until, len(self.issues)
        made = Token(challenge, user, held, proofs, candidates, user.codes, *keys, post=user.post)
        (self.enrolments if challenge.purpose is Purpose.ENROLMENT else self.tokens).append(made)
        waiting = [one for one in self.issues if one.user is user and one.alive]
        for one in waiting[:-LOGINS]:
            one.alive = False

    @rule(name=st.sampled_from(NAMES), session=st.sampled_from((None, None, *SESSIONS)))
    def login(self, name: str, session: bytes | None = None) -> None:
        """Held exactly for who has a live, enabled authenticator, or must get one; its session is blocked meanwhile."""
        user = self.users[name]
        self.logins += 1
        body = b'{"access_token": "%d"}' % self.logins
        blocked = (session,) if session and self.block(session) else ()
        held = HeldLogin(200, ((b"content-type", b"application/json"),), body, "/login", blocked=blocked)
        challenge = self.expect(self.mfa.begin_login(name, held), None) if user.gated or self.required else None
        if challenge is None:
            assert self.ask(self.mfa.begin_login(name, held)) is None
            self.free(held)
            return
        assert challenge.purpose is (Purpose.LOGIN if user.gated else Purpose.ENROLMENT)
        self.issued(user, challenge, held)

    def block(self, session: bytes) -> bool:
        """Block a session as ``gate`` does; False for one that waits for another login already."""
        now = time.time()
        self.blocked = {one: until for one, until in self.blocked.items() if until > now}
        ours = self.runner.run(self.core.authenticator_store.block_session(session, now + MAX_AGE, at=now))
        assert ours == (session not in self.blocked)
        self.blocked.setdefault(session, now + MAX_AGE)
        return ours

    def free(self, held: HeldLogin) -> None:
        for session in held.blocked:
            self.runner.run(self.core.authenticator_store.free_session(session))
            self.blocked.pop(session, None)

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
        refused = self.refusal(token, factor)
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

    def refusal(self, token: Token, factor: str) -> str | None:
        """Why an answer to that token is not looked at."""
        if token.dead:
            return "token_invalid"
        locked = token.user.locked if factor == "recovery_code" else token.user.hard_locked
        return "too_many_attempts" if locked or token.attempts + token.lost >= ATTEMPTS else None

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
            self.freed(token.held)
            proofs.append(fingerprint(token.held.body.split(b'"')[3].decode()))
        token.user.prove(proofs)
        self.fingerprints += proofs

    def freed(self, held: HeldLogin) -> None:
        for session in held.blocked:
            self.blocked.pop(session, None)

    @precondition(challenged)
    @rule(which=st.integers(0, 2), times=st.integers(1, 2 * SENDINGS))
    def letters_are_sent(self, which: int, times: int) -> None:
        """To who can get some, for a live token, and not too many of them, however many tokens there are."""
        token = self.last(self.tokens, which)
        for _ in range(times):
            found = self.ask(self.mfa.prepare(token.text, "post"))
            if token.dead:
                assert found == "token_invalid"
            elif not token.post:
                assert found == "invalid_request"
            else:
                since, sent = token.user.sendings
                since, sent = (since, sent + 1) if since + SENDINGS_WINDOW > time.time() else (time.time(), 1)
                token.user.sendings = since, sent
                assert found == ({"sent": "a letter"} if sent <= SENDINGS else "too_many_attempts")

    @rule(name=st.sampled_from(NAMES), times=st.integers(1, 2 * SENDINGS))
    def letters_come_to_be_sent(self, name: str, times: int) -> None:
        """It is no factor that a login must wait for, and goes with the recovery codes."""
        user = self.users[name]
        if user.live and not user.post:
            row = new_live_row(self.core, name, "post", {}, backup=True)
            self.runner.run(self.core.authenticator_store.change(name, lambda _: Changes(put=(row,))))
            user.changed()
            user.post = True
            self.step_up(name)
            self.letters_are_sent(0, times)

    # ---------------------------------------------------------------------------------------------------- enrolments

    @precondition(enrolling)
    @rule(which=st.integers(0, 2), confirmed=st.booleans())
    def bind_for_a_login(self, which: int, confirmed: bool) -> None:
        """Whose user must have a factor; with the mfaToken of that login."""
        token = self.last(self.enrolments, which)
        if token.until <= time.time():
            return
        self.enrolment = self.core.tokens.read(token.text)
        try:
            self.bind(token.user.name, 0, confirmed)
        finally:
            self.enrolment = None

    @precondition(enrolling)
    @rule(which=st.integers(0, 2))
    def release(self, which: int) -> None:
        """Once what it demands is confirmed, and still there; once. No answer serves instead."""
        token = self.last(self.enrolments, which)
        assert self.ask(self.mfa.verify(token.text, "totp", "000000")) == "token_invalid"
        refused = "token_invalid" if token.dead else None if token.confirmed else "mfa_enrolment_required"
        if refused is None and token.user.hard_locked:
            refused = "too_many_attempts"
        elif refused is None and not token.user.gated:
            refused = "mfa_enrolment_required"
        found = self.expect(self.mfa.release(token.text), refused)
        if found is not None and token.held is not None:
            assert found.held == token.held
            token.alive = False
            self.released.append(token.held)
            self.freed(token.held)
            proofs = [fingerprint(found.assurance.id), fingerprint(token.held.body.split(b'"')[3].decode())]
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
        open_tokens = [one for one in tokens if self.refusal(one, factor) is None]
        if winner is None or token not in open_tokens:
            return
        if token.user.failures % BUDGET + len(open_tokens) * callers >= BUDGET:
            return
        if any(one.lost for one in open_tokens):
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
        allowed = min(callers, ATTEMPTS - token.attempts - token.lost, BUDGET - user.failures % BUDGET)
        if self.refusal(token, "totp") is not None:
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

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from(("right", "sheet")), unlocked=st.booleans())
    def guesses_until_all_but_the_sheet_is_refused(self, name: str, how: str, unlocked: bool) -> None:
        """Without end, whatever time passes: only a recovery code is looked at then, or an admin ends it."""
        user = self.users[name]
        while user.gated and not user.failures >= HARD:
            self.time_jumps(JUMPS[6])
            self.login(name)
            self.guesses_at_once(0, ATTEMPTS)
        self.time_jumps(JUMPS[6])
        self.login(name)
        if unlocked:
            self.unlock(user)
        if user.gated:
            self.verify(0, how, 0)

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
        caller = replace(self.caller(user, who), enrolment=self.enrolment)
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
        caller = replace(self.caller(user, who), enrolment=self.enrolment)
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
        for token in self.enrolments:
            token.confirmed = token.confirmed or bool(caller.enrolment and token.digest == caller.enrolment.digest)

    def refusal_to_confirm(self, user: User, row: Row, caller: Caller) -> str | None:
        if not row.awaits():
            return "not_found"
        if not self.may(user, caller):
            return "step_up_required"
        return "too_many_attempts" if user.hard_locked else None

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
                user.codes, user.post = None, False
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
            user.codes, user.post = Codes(frozenset(codes)), False
            self.sheets += codes

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(("unlock", "unlock", "reset", "crash", "forget", "renew")))
    def something_befalls(self, name: str, what: str) -> None:
        {
            "unlock": self.unlock,
            "reset": self.reset,
            "crash": self.crash,
            "forget": self.redis_forgets,
            "renew": self.crash_of_the_process_alone,
        }[what](self.users[name])

    def unlock(self, user: User) -> None:
        self.runner.run(self.mfa.unlock(user.name))
        user.forgive()

    def reset(self, user: User) -> None:
        self.runner.run(self.mfa.reset(user.name))
        user.rows, user.codes, user.post = [], None, False
        user.forgive()
        self.kill(user)

    def crash(self, _: User) -> None:
        """The process ends and Redis with it; the database stays."""
        self.runner.run(self.restart())
        for user in self.users.values():
            self.kill(user)
            user.sendings = 0, 0

    def redis_forgets(self, _: User) -> None:
        """The process goes on."""
        self.runner.run(self.world.forget(self.core))
        for user in self.users.values():
            self.kill(user)
            user.sendings = 0, 0

    def crash_of_the_process_alone(self, _: User) -> None:
        """Nothing is lost: a process keeps nothing."""
        self.runner.run(self.renew())

    async def renew(self) -> None:
        before = self.core
        await before.authenticator_store.close()
        if not self.world.embedded:
            await before.token_store.close()
        await self.open(before.token_store if self.world.embedded else None)

    # ------------------------------------------------------------------------------------------- clocks and crashes

    @rule(seconds=st.sampled_from(JUMPS))
    def time_jumps(self, seconds: float) -> None:
        """Forward mostly. What Redis has swept then does not come back with the clock."""
        self.clock.shift(seconds)
        self.world.shift(seconds)
        self.runner.run(self.sweep())
        for one in self.issues:
            one.alive = one.alive and one.until > time.time()
        for user in self.users.values():
            if not any(until > time.time() for until in user.proofs.values()):
                user.proofs = {}

    async def sweep(self) -> None:
        for one in self.issues:
            await self.core.token_store.read(one.tag, one.digest)
        for name in self.users:
            await self.core.token_store.proven(user_tag(name), "")

    async def restart(self) -> None:
        await self.world.forget(self.core)
        await self.mfa.close()
        await self.open()

    @precondition(challenged)
    @rule(which=st.integers(0, 2), how=st.sampled_from(("right", "next", "sheet")), number=index, forgets=st.booleans())
    def crash_between_spending_and_releasing(self, which: int, how: str, number: int, forgets: bool) -> None:
        """The code is gone and the login stays held, by the same token if Redis stays."""
        token = self.last(self.tokens, which)
        factor, code = self.typed(token, how, number)
        winner = self.winner(token, factor, code)
        if winner is None or self.refusal(token, factor) is not None:
            return
        with patch.object(self.core.token_store, "take", side_effect=Unavailable("crash")):
            self.expect(self.mfa.verify(token.text, factor, code), "unavailable")
        self.spend(winner, code)
        if forgets:
            self.crash(token.user)
            return
        self.crash_of_the_process_alone(token.user)
        token.lost += 1
        self.unlock(token.user)  # else Redis would know of a failure that was none

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

    @invariant()
    def sessions_are_blocked_until_their_logins_are_released(self) -> None:
        found = self.runner.run(self.core.authenticator_store.session_blocked(SESSIONS, time.time()))
        assert found == {one for one, until in self.blocked.items() if until > time.time()}

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
    run_state_machine_as_test(Machine, settings=profile(30, 25))


@pytest.mark.slow
def test_whatever_happens_at_length_is_as_the_model_has_it():
    run_state_machine_as_test(Machine, settings=profile(60, 50))


@pytest.fixture
def real() -> Iterator[Real]:
    """A Valkey and a PostgreSQL."""
    try:
        valkey, postgresql = Valkey(), PostgreSQL()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey, postgresql:
        asyncio.run(migrate(Settings(database_url=postgresql.url)))
        yield Real(valkey.url, postgresql.url)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CI"), reason="takes half a minute; set CI=true")
def test_whatever_happens_on_real_engines_is_as_the_model_has_it(real: Real):
    class OnServers(Machine):
        world = real

    run_state_machine_as_test(OnServers, settings=profile(30, 25))


async def test_a_clock_that_goes_back_locks_nobody_out(clock: time_machine.Traveller, mfa: MFA):
    person = await enrol(mfa)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", person.wrong)
    token = (await login(mfa)).mfa_token
    clock.shift(-20)
    assert (await mfa.verify(token, "recovery_code", person.recovery_codes[0])).held

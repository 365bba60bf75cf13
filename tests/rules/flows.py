"""What somebody does, step by step, and every state in which it may be left when it ends in between.

``act`` is one call or request. ``states`` are all that the stores can hold after some of its steps, in order: nothing
else may ever be seen. ``check`` is what the user meets then, whatever was done and whatever was not.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyotp
from redis import Redis

from mfa_middleware import MFA
from mfa_middleware.callers import Caller
from mfa_middleware.errors import InvalidCode, MFAError
from mfa_middleware.keyring import user_tag
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing import VirtualAuthenticator
from tests.world import HELD, NOON

ATTEMPTS = 5  # MFA_TOKEN_ATTEMPTS
RELEASED, REFUSED, DEAD = "released", "invalid_code", "token_invalid"
STEP = NOON // 30


@dataclass(frozen=True)
class Facts:
    """What a user knows before a flow: the app's secret, a new one, recovery codes, an mfaToken, a blocked session."""

    user: str
    secret: str = ""
    codes: tuple[str, ...] = ()
    row: str = ""
    pending_secret: str = ""
    token: str = ""
    session: bytes = b""

    @property
    def caller(self) -> Caller:
        return Caller(self.user, assured=True)

    def code(self, offset: int = 0, *, pending: bool = False) -> str:
        return VirtualAuthenticator(self.pending_secret if pending else self.secret).code(offset_steps=offset)

    @property
    def wrong(self) -> str:
        near = {self.code(step) for step in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444") if code not in near)


@dataclass(frozen=True)
class Seen:
    """What the stores hold of a user: factors by kind, codes that are left, failures on both sides, a token's attempts.

    ``attempts`` is None when the token is dead; ``failures`` are those in Redis, ``kept`` those in the database.
    """

    live: int = 1
    pending: int = 0
    revision: int = 1
    spent: bool = False
    codes: int = 3
    failures: int = 0
    kept: int = 0
    attempts: int | None = None
    session_blocked: bool = False


async def look(mfa: MFA, redis: Redis, facts: Facts) -> Seen:
    """The user's state, from the stores themselves."""
    core = mfa.parts.core
    user = await core.authenticator_store.load(facts.user)
    apps = [one for one in user.authenticators if not one.backup]
    state = None
    if facts.token:
        token = core.tokens.read(facts.token)
        state = await core.token_store.read(token.user, token.digest)
    counted: Any = redis.hget(f"mfa:{{{user_tag(facts.user)}}}:failures", "n")
    return Seen(
        live=sum(one.live for one in apps),
        pending=sum(one.pending is not None for one in apps),
        revision=max((one.revision for one in apps), default=0),
        spent=any(one.counter >= STEP for one in apps),
        codes=(await mfa.overview(facts.user)).recovery_codes_left,
        failures=int(counted or 0),
        kept=user.failures,
        attempts=state.attempts if state else None,
        session_blocked=bool(facts.session and await core.authenticator_store.session_blocked([facts.session], NOON)),
    )


async def outcome(call: Awaitable[Any]) -> str:
    """The code of a refusal, or that it was not refused."""
    try:
        await call
    except MFAError as error:
        return getattr(error, "code", str(error))
    return RELEASED


async def person(mfa: MFA, user: str) -> Facts:
    """Somebody with an authenticator app and three recovery codes."""
    secret = pyotp.random_base32()
    codes = tuple(f"CODE-{secrets.token_hex(4)}" for _ in range(3))
    row = await mfa.import_secret(user, ImportedSecret("totp", secret, recovery_codes=codes))
    return Facts(user, secret, codes, row.id)


async def held(mfa: MFA, facts: Facts, blocked: bytes = b"") -> str:
    """The mfaToken of a new login, which is always held."""
    if blocked:
        await mfa.parts.core.authenticator_store.block_session(blocked, NOON + 1000, at=NOON)
    challenge = await mfa.begin_login(facts.user, replace(HELD, blocked=(blocked,) if blocked else ()))
    assert challenge is not None, "let in without the factor"
    return challenge.mfa_token


async def verified(mfa: MFA, token: str, code: str, factor: str = "totp") -> str:
    return await outcome(mfa.verify(token, factor, code))


async def gets_in(mfa: MFA, facts: Facts, code: str) -> None:
    """With a new login and that code, once."""
    token = await held(mfa, facts)
    assert await verified(mfa, token, code) == RELEASED
    assert await verified(mfa, token, code) == DEAD
    assert await verified(mfa, await held(mfa, facts), code) == REFUSED, "a code worked twice"


class Flow(ABC):
    """One of them, and the ``settings`` it needs. Who is told that all went well is in the last ``answered`` states."""

    settings: ClassVar[dict[str, Any]] = {}
    states: ClassVar[list[Seen]]
    answered: ClassVar[int] = 1

    @abstractmethod
    async def prepare(self, mfa: MFA, user: str) -> Facts: ...

    @abstractmethod
    async def act(self, mfa: MFA, facts: Facts) -> None: ...

    @abstractmethod
    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None: ...


class HeldLogin(Flow):
    """The password was right; the login is held."""

    states: ClassVar = [Seen()]

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        return await person(mfa, user)

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await held(mfa, facts)

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        await gets_in(mfa, facts, facts.code())


class RightCode(Flow):
    """A right answer, after a wrong one."""

    states: ClassVar = [
        Seen(attempts=1, failures=1, kept=1, session_blocked=True),
        Seen(attempts=2, failures=2, kept=1, session_blocked=True),  # counted
        Seen(attempts=2, failures=2, kept=1, session_blocked=True, spent=True),
        Seen(kept=1, spent=True, session_blocked=True),  # taken
        Seen(kept=1, spent=True),
        Seen(spent=True),
    ]
    answered: ClassVar = 2  # forgiving is no part of the answer

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        facts = await person(mfa, user)
        session = secrets.token_bytes(16)
        facts = replace(facts, token=await held(mfa, facts, session), session=session)
        assert await verified(mfa, facts.token, facts.wrong) == REFUSED
        return facts

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.verify(facts.token, "totp", facts.code())

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        assert seen.attempts is not None or seen.spent, "a token was taken for a code that is not spent"
        expected = DEAD if seen.attempts is None else REFUSED if seen.spent else RELEASED
        assert await verified(mfa, facts.token, facts.code()) == expected
        assert await verified(mfa, await held(mfa, facts), facts.code()) == REFUSED, "a code worked twice"
        await gets_in(mfa, facts, facts.code(1))


class RecoveryCode(Flow):
    """A right recovery code."""

    states: ClassVar = [
        Seen(attempts=0),
        Seen(attempts=1, failures=1),
        Seen(attempts=1, failures=1, codes=2),
        Seen(codes=2),
    ]

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        facts = await person(mfa, user)
        return replace(facts, token=await held(mfa, facts))

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.verify(facts.token, "recovery_code", facts.codes[0])

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        expected = DEAD if seen.attempts is None else REFUSED if seen.codes < 3 else RELEASED
        assert await verified(mfa, facts.token, facts.codes[0], "recovery_code") == expected
        assert await verified(mfa, await held(mfa, facts), facts.codes[0], "recovery_code") == REFUSED
        assert await verified(mfa, await held(mfa, facts), facts.codes[1], "recovery_code") == RELEASED
        await gets_in(mfa, facts, facts.code())


class WrongCode(Flow):
    """A wrong answer."""

    states: ClassVar = [Seen(attempts=0), Seen(attempts=1, failures=1), Seen(attempts=1, failures=1, kept=1)]

    prepare = RecoveryCode.prepare

    async def act(self, mfa: MFA, facts: Facts) -> None:
        try:
            await mfa.verify(facts.token, "totp", facts.wrong)
        except InvalidCode:
            return
        raise AssertionError("a wrong code was right")

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """What was counted stays counted: so many guesses are looked at, and no more."""
        found = [await verified(mfa, facts.token, facts.wrong) for _ in range(ATTEMPTS + 1)]
        assert seen.attempts is not None
        assert found.count(REFUSED) == ATTEMPTS - seen.attempts
        assert set(found[found.count(REFUSED) :]) <= {DEAD, "too_many_attempts"}
        await gets_in(mfa, facts, facts.code())


class Bind(Flow):
    """A first authenticator, pending."""

    states: ClassVar = [Seen(live=0, revision=0, codes=0), Seen(live=0, revision=0, codes=0, pending=1)]

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        return Facts(user)

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.bind(facts.caller, "totp")

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """Pending gates nothing, and hinders nobody."""
        assert await mfa.begin_login(facts.user, HELD) is None
        begun = await mfa.bind(facts.caller, "totp")
        app = VirtualAuthenticator(begun.shown["uri"])
        assert len((await mfa.confirm(facts.caller, begun.id, app.code())).recovery_codes) == 10


class Confirm(Flow):
    """The first authenticator goes live, and recovery codes with it."""

    states: ClassVar = [
        Seen(live=0, revision=0, codes=0, pending=1),
        Seen(live=0, revision=0, codes=0, pending=1, failures=1),
        Seen(spent=True, codes=10, failures=1),
        Seen(spent=True, codes=10),
    ]
    answered: ClassVar = 2  # what is live is told of, whatever happens to the proof

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        begun = await mfa.bind(Caller(user), "totp")
        return Facts(user, begun.shown["uri"], row=begun.id)

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.confirm(facts.caller, facts.row, facts.code())

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """It is live with its codes, or pending without any; the code that made it live is spent."""
        if not seen.live:
            assert await mfa.begin_login(facts.user, HELD) is None
            assert len((await mfa.confirm(facts.caller, facts.row, facts.code())).recovery_codes) == 10
        assert await outcome(mfa.confirm(facts.caller, facts.row, facts.code(1))) == "not_found"
        assert await verified(mfa, await held(mfa, facts), facts.code()) == REFUSED
        await gets_in(mfa, facts, facts.code(1))


class ConfirmInLogin(Confirm):
    """The same while a login waits for it."""

    settings: ClassVar = {"enrolment": "required"}
    states: ClassVar = [replace(one, attempts=0) for one in Confirm.states]

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        token = await held(mfa, Facts(user))
        begun = await mfa.bind(Caller(user), "totp")
        return Facts(user, begun.shown["uri"], row=begun.id, token=token)

    async def act(self, mfa: MFA, facts: Facts) -> None:
        caller = replace(facts.caller, enrolment=mfa.parts.core.tokens.read(facts.token))
        await mfa.confirm(caller, facts.row, facts.code())

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """Nothing is released before; and once."""
        released = await outcome(mfa.release(facts.token))
        assert released in (("mfa_enrolment_required", RELEASED) if seen.live else ("mfa_enrolment_required",))
        assert await outcome(mfa.release(facts.token)) == (DEAD if released == RELEASED else "mfa_enrolment_required")
        if not seen.live:
            await self.act(mfa, facts)
            assert await outcome(mfa.release(facts.token)) == RELEASED
        await gets_in(mfa, facts, facts.code(1))


class Release(Flow):
    """A login that has waited for a binding."""

    settings: ClassVar = {"enrolment": "required"}
    states: ClassVar = [Seen(spent=True, codes=10, attempts=0), Seen(spent=True, codes=10)]

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        facts = await ConfirmInLogin().prepare(mfa, user)
        await ConfirmInLogin().act(mfa, facts)
        return facts

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.release(facts.token)

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        assert await outcome(mfa.release(facts.token)) == (DEAD if seen.attempts is None else RELEASED)
        assert await outcome(mfa.release(facts.token)) == DEAD
        await gets_in(mfa, facts, facts.code(1))


class Refresh(Flow):
    """A new secret, pending."""

    states: ClassVar = [Seen(), Seen(pending=1)]

    prepare = HeldLogin.prepare

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.refresh(facts.caller, facts.row)

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """The old one lives."""
        await gets_in(mfa, facts, facts.code())


class ConfirmRefresh(Flow):
    """The new secret goes live, and the old one dies."""

    states: ClassVar = [
        Seen(pending=1),
        Seen(pending=1, failures=1),
        Seen(revision=2, spent=True, failures=1),
        Seen(revision=2, spent=True),
    ]
    answered: ClassVar = 2  # what is live is told of, whatever happens to the proof

    async def prepare(self, mfa: MFA, user: str) -> Facts:
        facts = await person(mfa, user)
        begun = await mfa.refresh(facts.caller, facts.row)
        return replace(facts, pending_secret=begun.shown["uri"])

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.confirm(facts.caller, facts.row, facts.code(pending=True))

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """Exactly one of the two lives."""
        new = seen.revision == 2
        assert await verified(mfa, await held(mfa, facts), facts.code(1, pending=not new)) == REFUSED
        assert await verified(mfa, await held(mfa, facts), facts.code(1, pending=new)) == RELEASED


class Unbind(Flow):
    """The last authenticator goes, with the recovery codes and the logins that are held."""

    states: ClassVar = [
        Seen(attempts=0),
        Seen(live=0, revision=0, codes=0, attempts=0),
        Seen(live=0, revision=0, codes=0),
    ]

    prepare = RecoveryCode.prepare

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.unbind(facts.caller, facts.row)

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """It is there with all that belongs to it, or nothing is, and what was held before stays held."""
        if seen.live:
            assert await verified(mfa, facts.token, facts.codes[0], "recovery_code") == RELEASED
            return
        expected = DEAD if seen.attempts is None else REFUSED
        assert await verified(mfa, facts.token, facts.code()) == expected
        assert await verified(mfa, facts.token, facts.codes[0], "recovery_code") == expected
        assert await mfa.begin_login(facts.user, HELD) is None


class Reset(Unbind):
    """An admin ends everything."""

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.reset(facts.user)


class Regenerate(Flow):
    """New recovery codes."""

    states: ClassVar = [Seen(), Seen(codes=10)]

    prepare = HeldLogin.prepare

    async def act(self, mfa: MFA, facts: Facts) -> None:
        await mfa.regenerate_codes(facts.caller)

    async def check(self, mfa: MFA, facts: Facts, seen: Seen) -> None:
        """The old ones serve, or the new ones are there."""
        expected = REFUSED if seen.codes == 10 else RELEASED
        assert await verified(mfa, await held(mfa, facts), facts.codes[0], "recovery_code") == expected
        await gets_in(mfa, facts, facts.code())


FLOWS: dict[str, Flow] = {
    kind.__name__: kind()
    for kind in (
        HeldLogin, RightCode, RecoveryCode, WrongCode, Bind, Confirm, ConfirmInLogin, Release, Refresh,
        ConfirmRefresh, Unbind, Reset, Regenerate,
    )
}  # fmt: skip

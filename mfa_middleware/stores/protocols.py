"""What the two engines of state must do, as named verbs. Every verb is atomic.

Every verb raises :class:`~mfa_middleware.errors.Unavailable` when its engine is away, too slow or broken; none
ever answers "nothing there" for that reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mfa_middleware.models import Authenticator, Decide, Spend, UserFactors


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """When a user's second factors are refused.

    Each ``budget`` consecutive failures lock for ``seconds``, twice as long each time, for ``longest`` at most. From
    ``hard`` failures on, only a backup factor is looked at, and that only between the timed locks.
    """

    budget: int = 10
    seconds: int = 900
    longest: int = 86_400
    hard: int = 100

    def lock_seconds(self, failures: int) -> int:
        """How long the failure number ``failures`` locks; 0 for those that do not."""
        if failures <= 0 or failures % self.budget:
            return 0
        return min(self.seconds << min(failures // self.budget - 1, 32), max(self.seconds, self.longest))


class Gate(Enum):
    """How an attempt was received."""

    OPEN = "open"  #: counted; look at the answer
    GONE = "gone"  #: no such token
    SPENT = "spent"  #: the token allows no further attempt
    LOCKED = "locked"  #: the user is locked


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt, or why it was not counted."""

    gate: Gate
    attempts: int = 0  #: of this token, this one included
    failures: int = 0  #: consecutive ones of this user, this one included while it is not found right
    retry_after: float = 0.0  #: seconds, for SPENT and LOCKED
    record: bytes = field(default=b"", repr=False)
    prepared: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TokenState:
    """What is kept of a live mfaToken."""

    record: bytes = field(repr=False)
    proven: bool = False
    attempts: int = 0


class TokenStore(Protocol):
    """Short-lived state, in Redis: mfaTokens with what they hold, attempts, proofs.

    ``user`` is the user's tag (a digest, safe in a key). ``token`` is a digest of the token's id. ``request`` is
    unique to one call and makes it idempotent: a reply that was lost can be asked for again, and charges once.
    """

    async def open(self) -> None:
        """Connect and look at the server; raises ConfigurationError for one that cannot be used as it is set up."""
        ...

    async def close(self) -> None: ...

    async def check(self) -> Sequence[str]:
        """What an operator should know of the server as it is (sentences, each with the mend); empty when well."""
        ...

    async def issue(
        self, user: str, token: str, record: bytes, *, ttl: int, pending: int, failures: int, locked_for: float
    ) -> None:
        """Keep ``record`` under a new token for ``ttl`` seconds; beyond ``pending`` tokens of the user the oldest dies.

        ``failures`` and ``locked_for`` (seconds) are what the database knows; the greater of both sides counts.
        """
        ...

    async def read(self, user: str, token: str) -> TokenState | None:
        """Look at a token without counting an attempt."""
        ...

    async def charge(
        self, user: str, token: str, *, request: str, factor: str, attempts: int, backup: bool, policy: LockPolicy
    ) -> Attempt:
        """Count an attempt on a token and on its user, before its answer is looked at.

        It reads the token's record and what ``factor`` prepared for it.
        """
        ...

    async def charge_user(
        self, user: str, *, request: str, backup: bool, failures: int, locked_for: float, policy: LockPolicy
    ) -> Attempt:
        """Count an attempt that has no token (a confirmation)."""
        ...

    async def found_wrong(self, user: str, token: str, *, attempts: int) -> None:
        """Note that an attempt was looked at and wrong; the token dies with the last of its ``attempts``."""
        ...

    async def take(
        self, user: str, token: str, *, request: str, proofs: Sequence[str], ttl: int, forgive: bool
    ) -> bool:
        """Consume a token, and keep a fresh proof for each of ``proofs``; with ``forgive`` end its user's failures.

        Exactly one caller is told True; one that asks again with the same ``request`` is told the same.
        """
        ...

    async def count_sending(self, user: str, *, most: int, window: int) -> float:
        """Count something that is to be sent to a user, before it is sent.

        Returns 0 while there are no more than ``most`` within ``window`` seconds, else the seconds to wait.
        """
        ...

    async def prepare(self, user: str, token: str, factor: str, kept: bytes) -> bool:
        """Keep what a factor prepared for this token; False when the token is gone."""
        ...

    async def prove_token(self, user: str, token: str) -> bool:
        """Note that the binding which this token demanded is confirmed; False when the token is gone."""
        ...

    async def prove(self, user: str, proofs: Sequence[str], *, ttl: int, forgive: bool) -> None:
        """Keep a fresh proof under each fingerprint for ``ttl`` seconds; with ``forgive`` end the user's failures."""
        ...

    async def proven(self, user: str, proof: str) -> bool:
        """Whether a fresh proof is kept under that fingerprint."""
        ...

    async def forget(self, user: str, *, forgive: bool = False) -> None:
        """Destroy all tokens and proofs of a user; with ``forgive`` the failures and the lock as well."""
        ...


class AuthenticatorStore(Protocol):
    """What must last, in the database: authenticators, spent proofs, failures, blocked sessions."""

    async def open(self) -> None:
        """Connect and look for the tables (SQLite makes them); raises ConfigurationError when they are missing."""
        ...

    async def close(self) -> None: ...

    async def load(self, user_id: str) -> UserFactors:
        """All that is known of a user, in one statement."""
        ...

    async def spend(self, spend: Spend, *, at: float, hard: int) -> bool:
        """Spend a proof, in one statement; ``hard`` is :attr:`LockPolicy.hard`.

        False when it (or one that covers it) was spent before, when the authenticator is gone, disabled, or has
        another secret by now, or when the user is locked.
        """
        ...

    async def fail(self, user_id: str, *, at: float, policy: LockPolicy) -> UserFactors:
        """Count a wrong answer; returns the user's new failures and lock (without authenticators)."""
        ...

    async def forgive(self, user_id: str) -> None:
        """End a user's failures and lock."""
        ...

    async def change(self, user_id: str, decide: Decide) -> UserFactors:
        """Let ``decide`` change a user's factors in one transaction that no other change of that user overlaps.

        Returns what was there before the change. Expired pending authenticators are removed on the way.
        """
        ...

    def scan(self, *, batch: int = 500) -> AsyncIterator[Sequence[Authenticator]]:
        """All authenticators, in batches, in a stable order."""
        ...

    async def block_session(self, digest: bytes, until: float, *, at: float) -> bool:
        """Block a session of the app's until then; True for the one caller who did.

        False when it is blocked already. Whoever is told True frees it again, nobody else.
        """
        ...

    async def free_session(self, digest: bytes) -> None:
        """End the block of a session."""
        ...

    async def session_blocked(self, digests: Sequence[bytes], at: float) -> frozenset[bytes]:
        """Those of the sessions that are blocked, in one statement."""
        ...

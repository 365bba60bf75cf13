"""The nouns of the project, as frozen dataclasses. No behaviour beyond what can be derived from the fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Purpose(StrEnum):
    """What a right answer is good for."""

    LOGIN = "login"  #: release a held login
    ENROLMENT = "enrolment"  #: release a held login once a factor is bound
    STEP_UP = "step_up"  #: prove a factor without a login
    CONFIRM = "confirm"  #: make a pending authenticator live


@dataclass(frozen=True, slots=True)
class Counter:
    """A proof that spends ``value`` and every lesser one, as a TOTP step does (RFC 6238 §5.2). 0 or more."""

    value: int


@dataclass(frozen=True, slots=True)
class Once:
    """A proof that spends itself alone, as a recovery code does: a digest that tells nothing. 1 to 64 bytes."""

    digest: bytes


Proof = Counter | Once


@dataclass(frozen=True, slots=True)
class Authenticator:
    """One user's enrolled instance of a factor, as the database has it. Times are seconds since the epoch.

    It is *live* when ``state`` is there, and *pending* while only ``pending`` is. A live one that is being
    refreshed has both. Both are sealed, bound to ``id`` and ``user_id``.
    """

    id: str
    user_id: str
    factor: str
    backup: bool
    label: str
    enabled: bool
    state: bytes | None
    pending: bytes | None
    pending_until: float
    revision: int  #: grows whenever ``state`` changes, so that a proof of a former secret spends nothing
    counter: int  #: highest counter spent; -1 for none
    created_at: float
    last_used_at: float | None = None
    spent: int = 0  #: number of once-only proofs spent (read-only: counted by the database)

    @property
    def live(self) -> bool:
        """Whether it has been confirmed."""
        return self.state is not None

    @property
    def gates(self) -> bool:
        """Whether a login must wait for it: live, enabled, and no mere backup."""
        return self.live and self.enabled and not self.backup


@dataclass(frozen=True, slots=True)
class UserFactors:
    """All that the database knows about one user: authenticators in order of creation, and consecutive failures."""

    user_id: str
    authenticators: tuple[Authenticator, ...] = ()
    failures: int = 0
    locked_until: float = 0.0

    @property
    def live(self) -> tuple[Authenticator, ...]:
        """The confirmed ones, backup included."""
        return tuple(one for one in self.authenticators if one.live)

    @property
    def gated(self) -> bool:
        """Whether this user's logins need a second factor."""
        return any(one.gates for one in self.authenticators)

    def find(self, authenticator_id: str) -> Authenticator | None:
        """The authenticator of that id, pending or live."""
        return next((one for one in self.authenticators if one.id == authenticator_id), None)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a change of factors writes: whole rows to put (insert or replace, by ``id``), ids to remove.

    ``Authenticator.spent`` is never written. Removing a row removes its spent proofs. ``spend`` are once-only proofs
    (an authenticator's id and a digest) that are spent by the change. ``forgive`` ends the user's failures and lock.
    """

    put: tuple[Authenticator, ...] = ()
    remove: tuple[str, ...] = ()
    spend: tuple[tuple[str, bytes], ...] = ()
    forgive: bool = False


#: Decides on a change from what is there. Pure and synchronous: it runs inside of the database transaction, with
#: the user's rows locked, and may run again. It raises to change nothing.
Decide = Callable[[UserFactors], Changes]


@dataclass(frozen=True, slots=True)
class Spend:
    """A proof to be spent, and what must still be true of its authenticator at that moment."""

    user_id: str
    authenticator_id: str
    revision: int
    proof: Proof
    disabled_too: bool = False  #: a step-up may use a disabled authenticator (to enable it again), a login may not


@dataclass(frozen=True, slots=True)
class FactorChoice:
    """One way to answer a challenge."""

    factor: str
    authenticator_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a client is told instead of its login, or for a step-up. ``expires_in`` is in seconds."""

    purpose: Purpose
    mfa_token: str = field(repr=False)
    expires_in: int
    factors: tuple[FactorChoice, ...]


@dataclass(frozen=True, slots=True)
class Assurance:
    """That a user proved a factor: when (seconds since the epoch), and with which (``amr``, RFC 8176).

    ``id`` is a random text under whose fingerprint the proof is kept; it travels in the browser's signed cookie.
    """

    user_id: str
    at: float
    amr: str
    id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """A pending authenticator, told once. ``shown`` is what the factor wants the client to see (secret, uri, …).

    ``recovery_codes`` are there where they are shown at the binding; they are in force from its confirmation.
    """

    id: str
    factor: str
    expires_in: int
    shown: Mapping[str, str] = field(repr=False)
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An authenticator that has become live, and the recovery codes that came in force with it (else empty)."""

    id: str
    factor: str
    assurance: Assurance
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)

"""The factor protocol: what a plugin gives to make a new kind of second factor.

A factor only decides whether an answer is right. Tokens, limits, one-time use, storage, sealing and events are the
engine's. A factor never sees a request, a store or another user.

``state`` is a JSON object of the factor's own making. The engine seals it, keeps it, and hands it back to ``check``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from mfa_middleware.models import Proof, Purpose

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Who binds a factor: the user's id, the account name to show, and the issuer to show beside it."""

    user_id: str
    name: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A new, pending secret: ``state`` is kept sealed, ``shown`` goes to the client once and is never kept.

    Names in ``shown`` that the API knows: ``secret``, ``uri`` and ``qrCode`` (a ``data:`` URL).
    """

    state: State = field(repr=False)
    shown: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A challenge that was sent or made: ``shown`` goes to the client, ``kept`` comes back in ``Answer.kept``."""

    shown: Mapping[str, str] = field(repr=False)
    kept: State = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody typed (at most 4096 characters, otherwise unchecked), when (seconds since the epoch), what for."""

    code: str = field(repr=False)
    at: float
    purpose: Purpose
    kept: State | None = field(default=None, repr=False)


class Factor(Protocol):
    """A kind of second factor.

    ``name`` is its word in settings and on the wire (``[a-z][a-z0-9_]*``), ``title`` what people read, ``amr`` its
    authentication method reference (RFC 8176). It may have a ``hint``, a sentence that the pages show above the field,
    and say by ``numeric = False`` that its codes are not of digits.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def amr(self) -> str: ...

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        """Make a new secret. It stays pending until an answer to it has been checked with ``Purpose.CONFIRM``."""
        ...

    async def check(self, state: State, answer: Answer) -> Proof | None:
        """Return what the right answer spends, or raise :class:`~mfa_middleware.errors.InvalidCode`.

        The engine spends the proof; the same one, or one that it covers, is never accepted again. ``None`` (nothing
        to spend) is allowed for ``Purpose.CONFIRM`` alone. Any other exception means that the factor is unavailable.
        """
        ...


@runtime_checkable
class Challenging(Protocol):
    """A factor that must send or prepare something before it can be answered (a mail, a WebAuthn challenge)."""

    async def challenge(self, state: State) -> Prepared: ...


@runtime_checkable
class Completing(Protocol):
    """A factor whose secret is complete only with the confirming answer, as a WebAuthn credential's public key is."""

    async def complete(self, state: State, answer: Answer) -> tuple[State, Proof | None]:
        """Asked instead of ``check`` for ``Purpose.CONFIRM``: the live state, and what the right answer spends.

        :raises InvalidCode: when the answer is wrong.
        """
        ...


@runtime_checkable
class Importing(Protocol):
    """A factor whose secrets can be brought from another system."""

    def adopt(self, secret: str) -> State:
        """Make live state of that secret.

        :raises ValueError: in plain words and without the secret in them, when it cannot be used.
        """
        ...


@runtime_checkable
class BackupCodes(Protocol):
    """A factor that is a backup: its codes are issued with a user's first authenticator and go with the last.

    It never gates a login by itself and cannot be bound on its own; its ``enrol`` is not called.
    """

    def issue(self) -> tuple[State, Sequence[str]]:
        """New codes: what to keep (digests), and what to show, once."""
        ...

    def adopt_codes(self, codes: Sequence[str]) -> State:
        """Keep codes that another system gave out.

        :raises ValueError: in plain words and without a code in them, when they cannot be used.
        """
        ...

    def left(self, state: State, spent: int) -> int:
        """How many codes are left when ``spent`` have been used."""
        ...


@runtime_checkable
class IssuedAtBinding(BackupCodes, Protocol):
    """Backup codes that come with each binding anew: shown when it begins, in force from its confirmation."""

    @property
    def issued_at_binding(self) -> Literal[True]: ...

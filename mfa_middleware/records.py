"""What an mfaToken stands for, as it is sealed into the token store: the user, the ways to answer, the held login."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from mfa_middleware.errors import LoginNotHeld
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.models import Authenticator, FactorChoice

_encode = json.JSONEncoder(allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Candidate:
    """An authenticator as it was when the token was issued: enough to check an answer without asking the database."""

    id: str
    factor: str
    label: str
    revision: int
    state: bytes = field(repr=False)  #: sealed, as in the database

    @classmethod
    def of(cls, one: Authenticator) -> Candidate:
        """A live authenticator as a candidate."""
        return cls(one.id, one.factor, one.label, one.revision, one.state or b"")

    @property
    def choice(self) -> FactorChoice:
        """As the client is told of it."""
        return FactorChoice(self.factor, self.id, self.label)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """``held`` is there for a login, ``proofs`` for a step-up: fingerprints under which it is to be kept."""

    user_id: str
    candidates: tuple[Candidate, ...] = ()
    held: HeldLogin | None = None
    proofs: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """As bytes to be sealed: what JSON can keep, and the held login's body after it.

        :raises LoginNotHeld: when the login's session holds what JSON cannot keep.
        """
        head = {
            "user": self.user_id,
            "held": self.held and self.held.head,
            "proofs": self.proofs,
            "candidates": [
                [one.id, one.factor, one.label, one.revision, base64.b64encode(one.state).decode()]
                for one in self.candidates
            ],
        }
        try:
            text = _encode(head).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise LoginNotHeld("the session holds a value that is no JSON, so it cannot be kept") from error
        return len(text).to_bytes(4, "big") + text + (self.held.body if self.held else b"")

    @classmethod
    def decode(cls, data: bytes) -> TokenRecord:
        """What :meth:`encode` made."""
        size = int.from_bytes(data[:4], "big")
        head = json.loads(data[4 : 4 + size])
        candidates = tuple(
            Candidate(row, factor, label, revision, base64.b64decode(state))
            for row, factor, label, revision, state in head["candidates"]
        )
        held = HeldLogin.of(head["held"], data[4 + size :]) if head["held"] else None
        return cls(head["user"], candidates, held, tuple(head["proofs"]))


def offered(authenticators: Sequence[Authenticator], order: Sequence[str]) -> tuple[Candidate, ...]:
    """Live authenticators whose factor is in use, in the order in which the factors are offered."""
    usable = [one for one in authenticators if one.live and one.factor in order]
    return tuple(Candidate.of(one) for one in sorted(usable, key=lambda one: order.index(one.factor)))

"""Who asks for a change of factors, and whether that may be granted."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from mfa_middleware.core import Core
from mfa_middleware.errors import StepUpRequired
from mfa_middleware.keyring import user_tag
from mfa_middleware.models import Assurance, UserFactors
from mfa_middleware.tokens import MfaToken


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose factors are to be changed, and what the request shows for it.

    ``name`` and ``issuer`` are what an authenticator app shows. ``proof`` is the fingerprint of the bearer token, and
    ``cookie`` that of the browser's assurance, under which a proof may be kept. ``assured`` is an app's own word that a
    factor was just proven. ``enrolment`` is the mfaToken of a login that demands a binding. ``admin`` needs no proof.
    """

    user_id: str
    name: str = ""
    issuer: str = ""
    assured: bool = False
    proof: str | None = None
    cookie: str | None = None
    enrolment: MfaToken | None = None
    admin: bool = False

    @property
    def proofs(self) -> tuple[str, ...]:
        """The fingerprints under which a proof is to be kept for this caller."""
        return (self.proof,) if self.proof else ()


async def has_proven(core: Core, caller: Caller) -> bool:
    """Whether the caller has proven a factor lately (or need not)."""
    if caller.admin or caller.assured:
        return True
    tag = user_tag(caller.user_id)
    for fingerprint in (caller.proof, caller.cookie):
        if fingerprint is not None and await core.token_store.proven(tag, fingerprint):
            return True
    return False


def new_assurance(core: Core, user_id: str, factor: str) -> Assurance:
    """That a user has just proven that factor. To be kept under the fingerprint of its id."""
    return Assurance(user_id, time.time(), core.factor(factor).amr, secrets.token_urlsafe(16))


def require_proof(user: UserFactors, proven: bool) -> None:
    """Refuse a change to who has a live authenticator, enabled or not, without a fresh proof.

    :raises StepUpRequired: then.
    """
    if user.live and not proven:
        raise StepUpRequired("a live authenticator, and no fresh proof")

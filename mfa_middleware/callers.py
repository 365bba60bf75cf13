"""Who asks for a change of factors, and whether that may be granted."""

from __future__ import annotations

from dataclasses import dataclass

from mfa_middleware.core import Core
from mfa_middleware.errors import StepUpRequired
from mfa_middleware.keyring import user_tag
from mfa_middleware.models import UserFactors
from mfa_middleware.tokens import MfaToken


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose factors are to be changed, and what the request shows for it.

    ``name`` and ``issuer`` are what an authenticator app shows. ``assured`` says that the browser's cookie proves a
    factor; ``proof`` is the fingerprint of the bearer token, under which a proof may be kept. ``enrolment`` is the
    mfaToken of a login that demands a binding. ``admin`` needs no proof.
    """

    user_id: str
    name: str = ""
    issuer: str = ""
    assured: bool = False
    proof: str | None = None
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
    return caller.proof is not None and await core.token_store.proven(user_tag(caller.user_id), caller.proof)


def require_proof(user: UserFactors, proven: bool) -> None:
    """Refuse a change to who has a live authenticator, enabled or not, without a fresh proof.

    :raises StepUpRequired: then.
    """
    if user.live and not proven:
        raise StepUpRequired("a live authenticator, and no fresh proof")

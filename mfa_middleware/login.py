"""Use-cases of a login and of a step-up: begin one, look at its token."""

from __future__ import annotations

from collections.abc import Sequence

from mfa_middleware.core import Core, lock_left
from mfa_middleware.errors import Misconfigured, NotFound, TokenInvalid
from mfa_middleware.events import Challenged
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.models import Authenticator, Challenge, Purpose, UserFactors
from mfa_middleware.records import Candidate, TokenRecord, offered
from mfa_middleware.tokens import MfaToken


async def begin_login(core: Core, user_id: str, held: HeldLogin, trace: str) -> Challenge | None:
    """Hold a login; None when its user needs no second factor, and the login may go on.

    :raises Unavailable: when a store is away.
    :raises Misconfigured: when the user has a factor, but none that is in use.
    :raises LoginNotHeld: when the login cannot be kept.
    """
    user = await core.authenticator_store.load(user_id)
    if user.gated:
        candidates = _candidates(core, [one for one in user.live if one.enabled])
        return await _issue(core, user, Purpose.LOGIN, TokenRecord(user_id, candidates, held), trace)
    if core.settings.enrolment == "required":
        return await _issue(core, user, Purpose.ENROLMENT, TokenRecord(user_id, (), held), trace)
    return None


async def begin_step_up(core: Core, user_id: str, proofs: Sequence[str], trace: str) -> Challenge:
    """Ask a signed-in user for a factor. ``proofs`` are fingerprints of what the user signs in with.

    A disabled authenticator may be used: who has no other could never enable it again.

    :raises NotFound: when the user has no factor to prove.
    """
    user = await core.authenticator_store.load(user_id)
    if not any(not one.backup for one in user.live):
        raise NotFound("the user has no factor to prove", "You have no second factor yet.")
    record = TokenRecord(user_id, _candidates(core, user.live), proofs=tuple(proofs))
    return await _issue(core, user, Purpose.STEP_UP, record, trace)


def _candidates(core: Core, authenticators: Sequence[Authenticator]) -> tuple[Candidate, ...]:
    candidates = offered(authenticators, tuple(core.factors))
    if all(core.is_backup(one.factor) for one in candidates):
        raise Misconfigured("the user's authenticators are of factors that are not in use; see MFA_FACTORS")
    return candidates


async def _issue(core: Core, user: UserFactors, purpose: Purpose, record: TokenRecord, trace: str) -> Challenge:
    text, token = core.tokens.issue(user.user_id, purpose)
    sealed = core.keyring.seal_for_token(record.encode(), secret=token.secret, bound_to=token.place)
    await core.token_store.issue(
        token.user,
        token.digest,
        sealed,
        ttl=core.settings.token_ttl,
        pending=core.settings.pending_logins,
        failures=user.failures,
        locked_for=lock_left(user.locked_until),
    )
    await core.events.emit(Challenged(user_id=user.user_id, trace_id=trace, purpose=str(purpose)))
    return Challenge(purpose, text, core.settings.token_ttl, tuple(one.choice for one in record.candidates))


async def look_at(core: Core, text: str) -> tuple[MfaToken, TokenRecord, bool]:
    """A live mfaToken, what it stands for, and whether the binding that it demands is confirmed. Counts no attempt.

    :raises TokenInvalid: for one that is unknown, used or expired.
    """
    token = core.tokens.read(text)
    state = await core.token_store.read(token.user, token.digest)
    if state is None:
        raise TokenInvalid("unknown, used or expired")
    return token, open_record(core, token, state.record), state.proven


def open_record(core: Core, token: MfaToken, sealed: bytes) -> TokenRecord:
    """What a token stands for, from the store's sealed form."""
    return TokenRecord.decode(core.keyring.open_for_token(sealed, secret=token.secret, bound_to=token.place))

"""Use-cases of binding: bind, confirm, refresh. A pending authenticator gates no login and touches nothing live."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace

from mfa_middleware import limits
from mfa_middleware.callers import Caller, has_proven, new_assurance, require_proof
from mfa_middleware.checking import check_confirmation, guarded, require_text
from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidCode, InvalidRequest, NotFound, Unavailable
from mfa_middleware.events import BindingBegun, Bound
from mfa_middleware.factor import Answer, Challenging, Enrolling, Enrolment
from mfa_middleware.keyring import fingerprint, user_tag
from mfa_middleware.models import (
    Assurance,
    Authenticator,
    Binding,
    Changes,
    Confirmed,
    Once,
    Purpose,
    UserFactors,
)
from mfa_middleware.rows import (
    backup_codes,
    live_row,
    made_live,
    new_live_row,
    opened_pending,
    pending_row,
    sealed_pending,
)

logger = logging.getLogger(__name__)
PENDING_SECONDS = 900
_MOST_PENDING = 5


async def bind(core: Core, caller: Caller, factor: str, label: str | None, trace: str) -> Binding:
    """Make a pending authenticator. Its secret is told here, once.

    :raises StepUpRequired: for who has a live authenticator and has not proven one lately.
    :raises InvalidRequest: for a factor that cannot be bound by itself.
    :raises TooManyAttempts: when a factor that sends something has sent too much to this user lately.
    """
    proven = await _proven_if_needed(core, caller, await core.authenticator_store.load(caller.user_id))
    enrolment = await _enrol(core, caller, factor)
    row_id = uuid.uuid4().hex
    pending, codes = sealed_pending(core, enrolment.state, user_id=caller.user_id, row=row_id)
    row = Authenticator(
        id=row_id,
        user_id=caller.user_id,
        factor=factor,
        backup=False,
        label=label or core.factor(factor).title,
        enabled=True,
        state=None,
        pending=pending,
        pending_until=time.time() + PENDING_SECONDS,
        revision=0,
        counter=-1,
        created_at=time.time(),
    )

    def decide(user: UserFactors) -> Changes:
        require_proof(user, proven)
        unconfirmed = [one.id for one in user.authenticators if not one.live]
        return Changes(put=(row,), remove=tuple(unconfirmed[: 1 - _MOST_PENDING]))

    await core.authenticator_store.change(caller.user_id, decide)
    return await _begun(core, caller, row, enrolment, codes, trace)


async def refresh(core: Core, caller: Caller, authenticator_id: str, trace: str) -> Binding:
    """Make a new, pending secret for a live authenticator; the old one lives until the new one is confirmed.

    :raises NotFound: when the caller has no such live authenticator, or it is a backup.
    :raises StepUpRequired: without a fresh proof.
    """
    user = await core.authenticator_store.load(caller.user_id)
    row = live_row(user, authenticator_id)
    proven = await _proven_if_needed(core, caller, user)
    enrolment = await _enrol(core, caller, row.factor)
    pending, codes = sealed_pending(core, enrolment.state, user_id=caller.user_id, row=row.id)

    def decide(user: UserFactors) -> Changes:
        require_proof(user, proven)
        row = live_row(user, authenticator_id)
        return Changes(put=(replace(row, pending=pending, pending_until=time.time() + PENDING_SECONDS),))

    await core.authenticator_store.change(caller.user_id, decide)
    return await _begun(core, caller, row, enrolment, codes, trace)


async def confirm(core: Core, caller: Caller, authenticator_id: str, code: str, trace: str) -> Confirmed:
    """Make a pending authenticator live by a right answer. All other pending ones of the user die.

    It counts as proof of a factor for the caller. With the first authenticator, recovery codes are issued; those that
    were shown at the binding replace the former ones.

    :raises InvalidCode: for a wrong answer; it is counted like any other.
    :raises NotFound: when nothing of that id is pending.
    :raises StepUpRequired: when the user has a live authenticator and the caller has not proven one lately.
    :raises TooManyAttempts: when the user is locked.
    """
    user = await core.authenticator_store.load(caller.user_id)
    row = pending_row(user, authenticator_id)
    proven = await _proven_if_needed(core, caller, user)
    attempt = await limits.count_without_token(core, user)
    answer = Answer(code, time.time(), Purpose.CONFIRM)
    pending, shown = opened_pending(core, row)
    try:
        state, proof = await check_confirmation(core, row.factor, pending, answer, user_id=user.user_id, row=row.id)
    except InvalidCode as error:
        await limits.found_wrong(core, user.user_id, Purpose.CONFIRM, row.factor, error.reason, trace)
        raise
    codes, backup_row = backup_codes(core, caller.user_id, shown)
    issued = False

    def decide(user: UserFactors) -> Changes:
        nonlocal issued
        require_proof(user, proven)
        if pending_row(user, authenticator_id).pending != row.pending:
            raise NotFound("another secret is pending by now")
        issued = backup_row is not None and (bool(shown) or not any(one.live for one in user.authenticators))
        others = [one for one in user.authenticators if one.id != row.id]
        former = {one.id for one in others if one.backup and shown}
        return Changes(
            put=(
                made_live(pending_row(user, authenticator_id), state, proof),
                *(replace(one, pending=None, pending_until=0.0) for one in others if one.live and one.pending),
                *((backup_row,) if issued and backup_row else ()),
            ),
            remove=tuple(one.id for one in others if not one.live or one.id in former),
            spend=((row.id, proof.digest),) if isinstance(proof, Once) else (),
            forgive=True,
        )

    await core.authenticator_store.change(caller.user_id, decide)
    await core.events.emit(Bound(user_id=caller.user_id, trace_id=trace, factor=row.factor, authenticator_id=row.id))
    assurance = new_assurance(core, caller.user_id, row.factor)
    await _keep_proof(core, caller, assurance, trace, forgive=True)
    await limits.forgive(core, caller.user_id, attempt)
    return Confirmed(row.id, row.factor, assurance, tuple(codes) if issued else ())


async def put_in_force(core: Core, caller: Caller, factor: str, authenticator_id: str | None, trace: str) -> Binding:
    """Make an authenticator that is live at once, or give a live one a new secret at once. For old APIs alone.

    There is no confirmation: who mistypes the secret is locked out. It counts as proof for the caller as a confirmation
    does, who has just been told the secret.

    :raises NotFound: when there is no such live authenticator, or (without an id) a live one of that factor already.
    :raises StepUpRequired: for who has a live authenticator and has not proven one lately.
    """
    proven = await _proven_if_needed(core, caller, await core.authenticator_store.load(caller.user_id))
    enrolment = await _enrol(core, caller, factor)
    made = new_live_row(core, caller.user_id, factor, enrolment.state, row_id=authenticator_id)

    def decide(user: UserFactors) -> Changes:
        require_proof(user, proven)
        if authenticator_id is None:
            if any(one.factor == factor for one in user.live):
                raise NotFound("there is a live one by now")
            return Changes(put=(made,))
        row = live_row(user, authenticator_id)
        if row.factor != factor:
            raise NotFound("that is an authenticator of another factor")
        new = replace(row, state=made.state, pending=None, pending_until=0.0, revision=row.revision + 1, counter=-1)
        return Changes(put=(new,))

    await core.authenticator_store.change(caller.user_id, decide)
    await core.events.emit(Bound(user_id=caller.user_id, trace_id=trace, factor=factor, authenticator_id=made.id))
    await _keep_proof(core, caller, new_assurance(core, caller.user_id, factor), trace, forgive=False)
    return Binding(made.id, factor, 0, enrolment.shown)


async def _keep_proof(core: Core, caller: Caller, assurance: Assurance, trace: str, *, forgive: bool) -> None:
    """Keep that the caller has proven a factor. What was bound is in force by now: who is not told of it is locked out.

    So nothing is refused any more; without the proof it takes another one, or another login.
    """
    tag = user_tag(caller.user_id)
    proofs = (*caller.proofs, fingerprint(assurance.id))
    try:
        await core.token_store.prove(tag, proofs, ttl=core.settings.step_up_ttl, forgive=forgive)
        if caller.enrolment is not None:
            await core.token_store.prove_token(tag, caller.enrolment.digest)
    except Unavailable as error:
        logger.warning("a factor was bound, and its proof was not kept: %s; trace %s", error.reason, trace)


async def _proven_if_needed(core: Core, caller: Caller, user: UserFactors) -> bool:
    """Whether the caller has proven a factor; asks the store only where that matters."""
    proven = bool(user.live) and await has_proven(core, caller)
    require_proof(user, proven)
    return proven


async def _enrol(core: Core, caller: Caller, factor: str) -> Enrolment:
    if core.is_backup(factor):
        raise InvalidRequest("a backup factor", [("factor", "it comes with your first authenticator by itself")])
    if isinstance(core.factor(factor), Challenging):
        await limits.count_sending(core, caller.user_id)
    enrolling = Enrolling(caller.user_id, caller.name or caller.user_id, caller.issuer)
    enrolment = await guarded(factor, core.factor(factor).enrol(enrolling))
    if not isinstance(enrolment, Enrolment):
        raise Unavailable(f"the factor {factor} made no enrolment")
    require_text(factor, enrolment.shown)
    return enrolment


async def _begun(
    core: Core, caller: Caller, row: Authenticator, enrolment: Enrolment, codes: tuple[str, ...], trace: str
) -> Binding:
    await core.events.emit(
        BindingBegun(user_id=caller.user_id, trace_id=trace, factor=row.factor, authenticator_id=row.id)
    )
    return Binding(row.id, row.factor, PENDING_SECONDS, enrolment.shown, codes)

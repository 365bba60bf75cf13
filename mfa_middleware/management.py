"""Use-cases on live authenticators: list, change, unbind, new recovery codes; for admins also reset, import, unlock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mfa_middleware.callers import Caller, has_proven, require_proof
from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidRequest, NotFound
from mfa_middleware.events import Changed, CodesRegenerated, Imported, Reset, Unbound, Unlocked
from mfa_middleware.factor import BackupCodes, Importing
from mfa_middleware.keyring import user_tag
from mfa_middleware.models import Authenticator, Changes, UserFactors
from mfa_middleware.rows import live_row, new_live_row


@dataclass(frozen=True, slots=True)
class Overview:
    """A user's live authenticators (backups aside) and the number of recovery codes left."""

    authenticators: tuple[Authenticator, ...]
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a user's logins need a second factor, whether everyone's do, and which factors this user has."""

    enabled: bool
    required: bool
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedSecret:
    """What another system knows of a user's authenticator."""

    factor: str
    secret: str = field(repr=False)
    label: str | None = None
    recovery_codes: Sequence[str] = field(default=(), repr=False)


async def overview(core: Core, user_id: str) -> Overview:
    """A user's live authenticators. Never a secret."""
    user = await core.authenticator_store.load(user_id)
    return Overview(tuple(one for one in user.live if not one.backup), _codes_left(core, user))


def _codes_left(core: Core, user: UserFactors) -> int:
    left = 0
    for one in user.live:
        factor = core.factors.get(one.factor)
        if isinstance(factor, BackupCodes):
            state = core.open_state(one.state or b"", user_id=user.user_id, authenticator_id=one.id)
            left += factor.left(state, one.spent)
    return left


async def status(core: Core, user_id: str) -> Status:
    """Whether a user is challenged at login, and by what."""
    user = await core.authenticator_store.load(user_id)
    factors = dict.fromkeys(one.factor for one in user.authenticators if one.gates)
    return Status(user.gated, core.settings.enrolment == "required", tuple(factors))


async def change(
    core: Core, caller: Caller, authenticator_id: str, *, enabled: bool | None, label: str | None, trace: str
) -> Authenticator:
    """Enable, disable or relabel a live authenticator.

    :raises NotFound: when the user has no such live authenticator.
    :raises StepUpRequired: without a fresh proof.
    """
    proven = await has_proven(core, caller)
    changed: list[Authenticator] = []

    def decide(user: UserFactors) -> Changes:
        row = live_row(user, authenticator_id)
        require_proof(user, proven)
        changed[:] = [
            replace(
                row,
                enabled=row.enabled if enabled is None else enabled,
                label=row.label if label is None else label,
            )
        ]
        return Changes(put=tuple(changed))

    await core.authenticator_store.change(caller.user_id, decide)
    row = changed[0]
    await core.events.emit(
        Changed(
            user_id=caller.user_id,
            trace_id=trace,
            factor=row.factor,
            authenticator_id=row.id,
            enabled=row.enabled,
        )
    )
    return row


async def unbind(core: Core, caller: Caller, authenticator_id: str, trace: str) -> None:
    """Remove an authenticator, pending or live. With the last live one the recovery codes go; logins are free again.

    :raises NotFound: when the user has no such authenticator.
    :raises StepUpRequired: for who has a live one, without a fresh proof.
    """
    proven = await has_proven(core, caller)
    removed: list[Authenticator] = []
    last = False

    def decide(user: UserFactors) -> Changes:
        nonlocal last
        row = user.find(authenticator_id)
        if row is None or row.backup:
            raise NotFound("the user has no such authenticator")
        require_proof(user, proven)
        removed[:] = [row]
        others = [one for one in user.live if one.id != row.id and not one.backup]
        last = row.live and not others
        backups = [one.id for one in user.live if one.backup] if last else []
        return Changes(remove=(row.id, *backups))

    await core.authenticator_store.change(caller.user_id, decide)
    row = removed[0]
    await core.events.emit(Unbound(user_id=caller.user_id, trace_id=trace, factor=row.factor, authenticator_id=row.id))
    if last:
        await core.token_store.forget(user_tag(caller.user_id))


async def regenerate_codes(core: Core, caller: Caller, trace: str) -> tuple[str, ...]:
    """Issue new recovery codes; the former ones are void.

    :raises NotFound: when the user has no authenticator, or no factor with such codes is in use.
    :raises StepUpRequired: without a fresh proof.
    """
    if core.backup is None:
        raise NotFound("no factor with recovery codes is in use")
    name, factor = core.backup
    proven = await has_proven(core, caller)
    state, codes = factor.issue()
    row = new_live_row(core, caller.user_id, name, state, backup=True)

    def decide(user: UserFactors) -> Changes:
        if not any(not one.backup for one in user.live):
            raise NotFound("the user has no authenticator", "Bind a second factor first.")
        require_proof(user, proven)
        return Changes(put=(row,), remove=tuple(one.id for one in user.authenticators if one.backup))

    await core.authenticator_store.change(caller.user_id, decide)
    await core.events.emit(CodesRegenerated(user_id=caller.user_id, trace_id=trace))
    return tuple(codes)


async def reset(core: Core, user_id: str, trace: str) -> None:
    """Remove all of a user's authenticators, the failures and the lock; held logins are destroyed."""

    def decide(user: UserFactors) -> Changes:
        return Changes(remove=tuple(one.id for one in user.authenticators), forgive=True)

    await core.authenticator_store.change(user_id, decide)
    await core.events.emit(Reset(user_id=user_id, trace_id=trace))
    await core.token_store.forget(user_tag(user_id), forgive=True)


async def unlock(core: Core, user_id: str, trace: str) -> None:
    """End a user's lock and failures."""
    await core.authenticator_store.forgive(user_id)
    await core.token_store.prove(user_tag(user_id), (), ttl=1, forgive=True)
    await core.events.emit(Unlocked(user_id=user_id, trace_id=trace))


async def import_secret(core: Core, user_id: str, imported: ImportedSecret, trace: str) -> Authenticator:
    """Make a secret of another system live and enabled at once. Recovery codes, if given, replace the user's.

    :raises InvalidRequest: when the factor cannot import, or the secret or a code cannot be used.
    """
    factor = core.factor(imported.factor)
    if not isinstance(factor, Importing):
        raise InvalidRequest("cannot import", [("factor", "secrets of this factor cannot be imported")])
    try:
        state = factor.adopt(imported.secret)
    except ValueError as error:
        raise InvalidRequest("an unusable secret", [("secret", str(error))]) from None
    row = new_live_row(core, user_id, imported.factor, state, label=imported.label)
    codes = _imported_codes(core, user_id, imported.recovery_codes)

    def decide(user: UserFactors) -> Changes:
        former = tuple(one.id for one in user.authenticators if one.backup) if codes else ()
        return Changes(put=(row, *codes), remove=former)

    await core.authenticator_store.change(user_id, decide)
    await core.events.emit(Imported(user_id=user_id, trace_id=trace, factor=row.factor, authenticator_id=row.id))
    return row


def _imported_codes(core: Core, user_id: str, codes: Sequence[str]) -> tuple[Authenticator, ...]:
    if not codes:
        return ()
    if core.backup is None:
        raise InvalidRequest("no backup factor", [("recoveryCodes", "no factor with recovery codes is in use")])
    name, factor = core.backup
    try:
        state = factor.adopt_codes(codes)
    except ValueError as error:
        raise InvalidRequest("unusable codes", [("recoveryCodes", str(error))]) from None
    return (new_live_row(core, user_id, name, state, backup=True),)

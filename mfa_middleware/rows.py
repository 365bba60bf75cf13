"""The rows that use-cases write: pending and live authenticators, and the recovery codes beside them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mfa_middleware.core import Core, encoded
from mfa_middleware.errors import NotFound
from mfa_middleware.factor import IssuedAtBinding, State
from mfa_middleware.models import Authenticator, Counter, Proof, UserFactors

#: Where recovery codes stand in a pending state, beside what is the factor's.
_CODES = "mfa_middleware:recovery_codes"


def sealed_pending(core: Core, state: State, *, user_id: str, row: str) -> tuple[bytes, tuple[str, ...]]:
    """A pending state as it is kept, and the recovery codes in it, where those are shown at the binding."""
    codes: tuple[str, ...] = ()
    if core.backup is not None and isinstance(core.backup[1], IssuedAtBinding):
        kept, new = core.backup[1].issue()
        codes = tuple(new)
        # The codes as well: a page shows them at the confirmation.
        state = {**json.loads(encoded(state)), _CODES: {"state": dict(kept), "codes": codes}}
    return core.seal_state(state, user_id=user_id, authenticator_id=row), codes


def opened_pending(core: Core, row: Authenticator) -> tuple[bytes, Mapping[str, Any] | None]:
    """The factor's own pending state, sealed, and the recovery codes that stood beside it."""
    sealed = row.pending or b""
    state = dict(core.open_state(sealed, user_id=row.user_id, authenticator_id=row.id))
    codes = state.pop(_CODES, None)
    if codes is None:
        return sealed, None
    return core.seal_state(state, user_id=row.user_id, authenticator_id=row.id), codes


def live_row(user: UserFactors, authenticator_id: str) -> Authenticator:
    """The user's live authenticator of that id, backups aside.

    :raises NotFound: when there is none.
    """
    row = user.find(authenticator_id)
    if row is None or not row.live or row.backup:
        raise NotFound("the user has no such live authenticator")
    return row


def pending_row(user: UserFactors, authenticator_id: str) -> Authenticator:
    """The user's authenticator of that id for which a secret is pending.

    :raises NotFound: when there is none.
    """
    row = user.find(authenticator_id)
    if row is None or row.pending is None or row.pending_until <= time.time():
        raise NotFound("nothing of that id is pending")
    return row


def made_live(row: Authenticator, state: bytes, proof: Proof | None) -> Authenticator:
    """A pending row after its confirmation; what that spent is spent."""
    return replace(
        row,
        state=state,
        pending=None,
        pending_until=0.0,
        enabled=True,
        revision=row.revision + 1,
        counter=proof.value if isinstance(proof, Counter) else -1,
    )


def backup_codes(
    core: Core, user_id: str, shown: Mapping[str, Any] | None
) -> tuple[Sequence[str], Authenticator | None]:
    """Recovery codes and their row: those that were shown, else new ones; none where no backup factor is in use."""
    if core.backup is None:
        return (), None
    name, factor = core.backup
    state, codes = (shown["state"], shown["codes"]) if shown else factor.issue()
    return codes, new_live_row(core, user_id, name, state, backup=True)


def new_live_row(
    core: Core,
    user_id: str,
    factor: str,
    state: State,
    *,
    label: str | None = None,
    backup: bool = False,
    row_id: str | None = None,
) -> Authenticator:
    """A row that is live at once: of recovery codes, or of a secret that another system knew."""
    row_id = row_id or uuid.uuid4().hex
    return Authenticator(
        id=row_id,
        user_id=user_id,
        factor=factor,
        backup=backup,
        label=label or core.factor(factor).title,
        enabled=True,
        state=core.seal_state(state, user_id=user_id, authenticator_id=row_id),
        pending=None,
        pending_until=0.0,
        revision=1,
        counter=-1,
        created_at=time.time(),
    )

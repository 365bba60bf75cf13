"""Use-case of key rotation: what an older key has sealed is sealed anew, with the newest. Servers go on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from mfa_middleware.core import Core
from mfa_middleware.models import Authenticator, Changes, Decide, UserFactors


async def count(core: Core) -> int:
    """How many authenticators there are to go through."""
    return sum([len(batch) async for batch in core.authenticator_store.scan()])


async def reseal(core: Core) -> AsyncIterator[bool]:
    """Go through all authenticators; tells of each whether it had to be sealed anew.

    Each is a change of its own, under its user's lock: it may be stopped at any point and begun again. A proof in
    flight still spends, since neither the secret nor the revision changes.

    :raises Misconfigured: for one that no key on the ring opens.
    """
    async for batch in core.authenticator_store.scan():
        for row in batch:
            old = _is_old(core, row)
            if old:
                await core.authenticator_store.change(row.user_id, _resealing(core, row.id))
            yield old


def _is_old(core: Core, row: Authenticator) -> bool:
    return any(sealed and not core.keyring.sealed_with_newest(sealed) for sealed in (row.state, row.pending))


def _resealing(core: Core, row_id: str) -> Decide:
    def decide(user: UserFactors) -> Changes:
        row = user.find(row_id)
        if row is None or not _is_old(core, row):
            return Changes()
        return Changes(put=(replace(row, state=_anew(core, row, row.state), pending=_anew(core, row, row.pending)),))

    return decide


def _anew(core: Core, row: Authenticator, sealed: bytes | None) -> bytes | None:
    if sealed is None:
        return None
    state = core.open_state(sealed, user_id=row.user_id, authenticator_id=row.id)
    return core.seal_state(state, user_id=row.user_id, authenticator_id=row.id)

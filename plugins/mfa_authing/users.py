"""A user's one TOTP, as Authing knows it: whatever there is of that factor."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from mfa_authing.settings import AuthingSettings
from mfa_middleware import MFA
from mfa_middleware.models import Authenticator, UserFactors

TOTP = "totp"
_ID = 32  # letters of an authenticator's id


async def factors_of(mfa: MFA, user_id: str) -> UserFactors:
    """All of a user's authenticators."""
    core = await mfa.open()
    return await core.authenticator_store.load(user_id)


def live_totps(user: UserFactors) -> Sequence[Authenticator]:
    """The confirmed ones, those that gate a login first."""
    found = [one for one in user.live if one.factor == TOTP]
    return sorted(found, key=lambda one: not one.gates)


def pending_totp(user: UserFactors) -> Authenticator | None:
    """The one that was made last and awaits its confirmation; a live one that is being refreshed is such, too."""
    now = time.time()
    found = [one for one in user.authenticators if one.factor == TOTP and one.pending and one.pending_until > now]
    return max(found, key=lambda one: one.pending_until, default=None)


class Revealed:
    """What ``MFA_AUTHING_REVEAL_SECRETS`` lets be shown again; without it nothing is."""

    def __init__(self, mfa: MFA, settings: AuthingSettings) -> None:
        self._mfa = mfa
        self._on = settings.reveal_secrets

    async def secret(self, row: Authenticator) -> str:
        """The secret of a TOTP; empty where it may not be shown."""
        return await self._kept(row, "secret")

    async def recovery_code(self, user: UserFactors) -> str:
        """The recovery code in force; empty where it may not be shown, or was not kept."""
        unused = (one for one in user.live if one.backup and not one.spent)
        for row in unused:
            return await self._kept(row, "shown")
        return ""

    async def _kept(self, row: Authenticator, name: str) -> str:
        if not self._on or row.state is None:
            return ""
        core = await self._mfa.open()
        state = core.open_state(row.state, user_id=row.user_id, authenticator_id=row.id)
        return str(state.get(name) or "")


def public_id(row: Authenticator) -> str:
    """``_id``: the authenticator's own, and whose it is, so that an owner can ask by it alone. It proves nothing."""
    return row.id + base64.urlsafe_b64encode(row.user_id.encode()).decode().rstrip("=")


def owner_of(text: str) -> tuple[str, str] | None:
    """The user's and the authenticator's id in an ``_id``; None for what is none."""
    row, owner = text[:_ID], text[_ID:]
    try:
        user_id = base64.b64decode(owner + "=" * (-len(owner) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return (user_id, row) if user_id else None


def iso(seconds: float) -> str:
    """A time as Authing writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def described(row: Authenticator) -> dict[str, object]:
    """An authenticator as Authing lists it, without its secrets."""
    return {
        "id": row.id,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.last_used_at or row.created_at),
        "userId": row.user_id,
        "enable": row.enabled,
        "authenticatorType": TOTP,
    }

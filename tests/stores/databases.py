"""What the tests of the database engine share: rows, settings, changes."""

from __future__ import annotations

from typing import Any

from mfa_middleware.models import Authenticator, Changes, Decide, UserFactors
from mfa_middleware.settings import Settings

NOW = 1_800_000_000.0


def authenticator(user_id: str = "alice", authenticator_id: str = "one", **fields: Any) -> Authenticator:
    """A live, enabled authenticator that never expires."""
    usual: dict[str, Any] = {
        "id": authenticator_id,
        "user_id": user_id,
        "factor": "totp",
        "backup": False,
        "label": "phone",
        "enabled": True,
        "state": b"sealed",
        "pending": None,
        "pending_until": 0.0,
        "revision": 1,
        "counter": -1,
        "created_at": NOW,
    }
    return Authenticator(**usual | fields)


def putting(*authenticators: Authenticator) -> Decide:
    return lambda _: Changes(put=authenticators)


class Watch:
    """A ``decide`` that changes nothing and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[UserFactors] = []

    def __call__(self, factors: UserFactors) -> Changes:
        self.seen.append(factors)
        return Changes()


def settings(url: str, engine_timeout: float = 10) -> Settings:
    return Settings(database_url=url, engine_timeout=engine_timeout)

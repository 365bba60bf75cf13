"""What the tests of the database engine share: rows, settings, a count of statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest

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


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All statements that the drivers are given by stores that are made in here, with what they add of their own."""
    seen: list[str] = []
    connect, create_pool = sqlite3.connect, asyncpg.create_pool

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.append)
        return connection

    async def watch(connection: Any) -> None:
        connection.add_query_logger(lambda query: seen.append(query.query))

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", watched)
        patch.setattr(asyncpg, "create_pool", partial(create_pool, init=watch))
        yield seen

"""What a flow costs on any machine: round trips to Redis, SQL statements, and bytes that Redis holds of a login."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
from redis import Redis

from benchmarks import enrolment, people
from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.passage import App


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one complete flow, once all is warm."""

    round_trips: int
    statements: int
    bytes_held: int


async def count(app: App, redis_url: str, database_url: str) -> Counts:
    """Make one complete flow, of a login of user 1, and count. Users 0 and 1 are to be there."""
    settings = Settings(
        redis_url=redis_url, database_url=database_url, login_user="json:/user", secret_key=enrolment.SECRET_KEY
    )
    with watched_drivers() as statements, Redis.from_url(redis_url) as observer:
        wrapped = MFAMiddleware(app, settings=settings)
        transport = httpx2.ASGITransport(wrapped)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            await _verify(client, 0, await _hold(client, 0))
            statements.clear()
            trips, used = _calls(observer), _kept(observer)
            token = await _hold(client, 1)
            bytes_held = _kept(observer) - used
            await _verify(client, 1, token)
            trips = _calls(observer) - trips
        await wrapped.mfa.close()
        return Counts(trips, len(statements), bytes_held)


async def _hold(client: httpx2.AsyncClient, number: int) -> str:
    held = await client.post("/login", headers={"x-name": people.name(number)})
    token: str = held.json()["mfaToken"]
    return token


async def _verify(client: httpx2.AsyncClient, number: int, token: str) -> None:
    answer = {"mfaToken": token, "factor": "totp", "code": people.code(number)}
    released = await client.post("/mfa/verify", json=answer)
    assert released.status_code == 200, released.text


def _calls(observer: Redis) -> int:
    """How many commands clients have sent: what a script calls is not sent. (The server counts those, too.)"""
    stats: Any = observer.info("commandstats")
    sent = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall")
    return sum(stats[name]["calls"] for name in sent if name in stats)


def _kept(observer: Redis) -> int:
    """Bytes of all keys with their values."""
    sizes: Any = [observer.memory_usage(key) or 0 for key in observer.scan_iter("mfa:*")]
    return int(sum(sizes))


@contextmanager
def watched_drivers() -> Iterator[list[str]]:
    """All statements that the database drivers are given, with what they add of their own.

    But for the bounds of SQLite's transactions: those who ask at the same time share them, and no server is asked.
    """
    seen: list[str] = []
    sqlite_connect, make_pool = sqlite3.connect, asyncpg.create_pool

    def see(statement: str) -> None:
        if statement not in ("BEGIN IMMEDIATE", "COMMIT"):
            seen.append(statement)

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401  the driver's own
        connection: sqlite3.Connection = sqlite_connect(*args, **kwargs)
        connection.set_trace_callback(see)
        return connection

    async def watch(connection: asyncpg.Connection[Any]) -> None:
        connection.add_query_logger(lambda query: seen.append(query.query))

    def create_pool(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the driver's own
        return make_pool(*args, **{"init": watch, **kwargs})

    sqlite3.connect, asyncpg.create_pool = connect, create_pool  # type: ignore[assignment]
    try:
        yield seen
    finally:
        sqlite3.connect, asyncpg.create_pool = sqlite_connect, make_pool

"""What one complete second factor costs: a login that is held, and a ``POST /verify`` with a TOTP code, in-process.

    python -m benchmarks.second_factor [--flows 200]

For each pair of engines: round trips to Redis and SQL statements of one flow, counted at the server and at the drivers,
and the CPU of this process (application, middleware, clients; not the servers) for each flow, beside that of the app's
plain login.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx2
import redis.asyncio

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.keyring import new_key
from mfa_middleware.management import ImportedSecret
from mfa_middleware.passage import Receive, Scope, Send
from mfa_middleware.stores import sql
from mfa_middleware.testing import VirtualAuthenticator
from tests.engines import PostgreSQL, Valkey

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ANSWER = b'{"user_id":"%s","access_token":"0123456789"}'


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Signs in whoever is named in the header X-Name."""
    if scope["type"] != "http":
        raise RuntimeError("HTTP alone")
    await receive()
    name = dict(scope["headers"]).get(b"x-name", b"")
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"session=0123456789; Path=/; HttpOnly")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER % name})


async def flow(client: httpx2.AsyncClient, user: str) -> None:
    """One login, held and released."""
    held = (await client.post("/login", headers={"x-name": user})).json()
    code = VirtualAuthenticator(SECRET).code()
    body = {"mfaToken": held["mfaToken"], "factor": "totp", "code": code}
    released = await client.post("/mfa/verify", json=body)
    assert released.status_code == 200, released.text


async def cpu(work: Callable[[str], Awaitable[object]], flows: int) -> float:
    """Milliseconds of CPU of this process for each flow, each with a user of its own: a code is good once."""
    started = time.process_time()
    for number in range(flows):
        await work(f"user{number}")
    return (time.process_time() - started) / flows * 1e3


async def measure(name: str, redis_url: str, database_url: str, flows: int, statements: list[str]) -> None:
    """One line of the table."""
    settings = Settings(
        redis_url=redis_url, database_url=database_url, login_user="json:/user_id", secret_key=new_key()
    )
    if database_url.startswith("postgresql"):
        await sql.migrate(settings)
    wrapped = MFAMiddleware(app, settings=settings)
    for number in range(flows):
        await wrapped.mfa.import_secret(f"user{number}", ImportedSecret("totp", SECRET))
    transport = httpx2.ASGITransport(wrapped)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://app") as client,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app") as bare,
    ):
        plain = await cpu(lambda user: bare.post("/login", headers={"x-name": user}), flows)
        await wrapped.mfa.import_secret("counted", ImportedSecret("totp", SECRET))
        await wrapped.mfa.import_secret("counted2", ImportedSecret("totp", SECRET))
        await flow(client, "counted")  # loads the scripts
        before = await scripts_run(redis_url)
        statements.clear()
        await flow(client, "counted2")
        counted, trips = len(statements), await scripts_run(redis_url) - before
        whole = await cpu(lambda user: flow(client, user), flows)
    await wrapped.mfa.close()
    seen = str(trips) if trips else "-"
    print(f"{name:24}{seen:>14}{counted:>16}{plain:>16.2f}{whole:>18.2f}")


async def scripts_run(redis_url: str) -> int:
    """How many scripts the server has run: each verb of the store is one round trip with one script."""
    if redis_url.startswith("memory"):
        return 0
    async with redis.asyncio.from_url(redis_url) as client:
        found = await client.info("commandstats")
    ran = {
        name: stats["calls"] for name, stats in found.items() if name not in ("cmdstat_info", "cmdstat_client|setinfo")
    }
    top_level = ("cmdstat_evalsha", "cmdstat_eval")
    return sum(calls for name, calls in ran.items() if name in top_level)


@contextmanager
def watched_drivers() -> Iterator[list[str]]:
    """All statements that the database drivers are given."""
    seen: list[str] = []
    sqlite_connect, pool_init = sqlite3.connect, asyncpg.create_pool

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401  the driver's own
        connection = sqlite_connect(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    async def watch(connection: asyncpg.Connection[Any]) -> None:
        connection.add_query_logger(lambda query: seen.append(query.query))

    def create_pool(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the driver's own
        return pool_init(*args, **{"init": watch, **kwargs})

    sqlite3.connect, asyncpg.create_pool = connect, create_pool  # type: ignore[assignment]
    try:
        yield seen
    finally:
        sqlite3.connect, asyncpg.create_pool = sqlite_connect, pool_init


async def main(flows: int) -> None:
    """Measure and print."""
    print(f"{'':24}{'Redis trips':>14}{'SQL statements':>16}{'plain login ms':>16}{'second factor ms':>18}")
    with Valkey() as valkey, PostgreSQL() as postgresql, tempfile.TemporaryDirectory() as folder:
        pairs = [
            ("memory + SQLite", "memory://", f"sqlite:///{folder}/a.sqlite3"),
            ("Valkey + SQLite", valkey.url, f"sqlite:///{folder}/b.sqlite3"),
            ("Valkey + PostgreSQL", valkey.url, postgresql.url),
        ]
        with watched_drivers() as statements:
            for name, redis_url, database_url in pairs:
                await measure(name, redis_url, database_url, flows, statements)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=int, default=200)
    asyncio.run(main(parser.parse_args().flows))

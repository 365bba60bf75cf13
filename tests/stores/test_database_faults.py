"""Every statement of the store, and each way in which a database fails it: unavailable, nothing half-done, well soon.

The faults are real: a proxy on the wire, another client's locks, a disk that is full, a server that may only be read.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from benchmarks.counts import watched_drivers
from mfa_middleware.errors import Unavailable
from mfa_middleware.models import Changes, Counter, Once, Spend, UserFactors
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy
from mfa_middleware.stores.sql import migrate, open_store
from mfa_middleware.stores.sql.postgresql import POOL, PostgreSQLStore, connect_arguments
from mfa_middleware.stores.sql.schema import metadata
from mfa_middleware.stores.sql.statements import Statement
from mfa_middleware.stores.sql.store import SQLStore
from tests.engines import PostgreSQL, wait_until
from tests.fault_proxy import Fault, FaultProxy, holding
from tests.stores.databases import NOW, authenticator, settings

Contents = dict[str, list[tuple[object, ...]]]
Call = Callable[[AuthenticatorStore], Awaitable[object]]
ONE = Spend("alice", "one", 1, Counter(1))
OTHER = authenticator(authenticator_id="other", backup=True)


def everything(_: UserFactors) -> Changes:
    """A change in which every statement of a change has something to do."""
    put = (authenticator(label="laptop", revision=2), authenticator(authenticator_id="new"))
    return Changes(put=put, remove=("other",), spend=(("one", b"confirmed"),), forgive=True)


#: Every verb, so that each of its statements runs. Those that only read are told apart.
WRITES: dict[str, Call] = {
    "spend a counter": lambda store: store.spend(ONE, at=NOW, hard=100),
    "spend once": lambda store: store.spend(replace(ONE, proof=Once(b"new")), at=NOW, hard=100),
    "fail": lambda store: store.fail("alice", at=NOW, policy=LockPolicy(budget=4)),
    "forgive": lambda store: store.forgive("alice"),
    "change": lambda store: store.change("alice", everything),
    "block_session": lambda store: store.block_session(b"new", NOW + 10, at=NOW),
    "free_session": lambda store: store.free_session(b"blocked"),
}
READS: dict[str, Call] = {
    "load": lambda store: store.load("alice"),
    "scan": lambda store: anext(store.scan()),
    "session_blocked": lambda store: store.session_blocked([b"blocked"], NOW),
}
CALLS = WRITES | READS


async def fill(store: AuthenticatorStore) -> None:
    """Alice as every test finds her: two authenticators, a spent proof, three failures, a blocked session."""
    await store.change("alice", lambda was: Changes(remove=tuple(one.id for one in was.authenticators), forgive=True))
    await store.change("alice", lambda _: Changes(put=(authenticator(), OTHER), spend=(("other", b"old"),)))
    for _ in range(3):
        await store.fail("alice", at=NOW, policy=LockPolicy())
    await store.free_session(b"new")
    await store.block_session(b"blocked", NOW + 10, at=NOW)


@pytest.fixture(scope="module")
def proxy(server: PostgreSQL) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def database(server: PostgreSQL) -> str:
    """The URL of a database with tables, for this module alone."""
    server.sql("CREATE DATABASE mfa_faults")
    url = server.database_url("mfa_faults")
    asyncio.run(migrate(settings(url)))
    return url


@asynccontextmanager
async def opened(url: str, timeout: float = 10) -> AsyncIterator[AuthenticatorStore]:
    store = open_store(settings(url, engine_timeout=timeout))
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(database: str, proxy: FaultProxy) -> AsyncIterator[AuthenticatorStore]:
    """A store whose connections go through the proxy."""
    proxy.heal()
    url = make_url(database).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    async with opened(url, timeout=1) as store:
        await fill(store)
        yield store
        proxy.heal()


@pytest.fixture
async def other(database: str) -> AsyncIterator[Any]:
    """Another client of the same database."""
    connection = await asyncpg.connect(**connect_arguments(make_url(database)))
    yield connection
    await connection.close()


async def is_unavailable(call: Awaitable[object]) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await call


# -------------------------------------------------------------------------------------------------- what is looked at


def test_every_verb_of_the_store_is_tried():
    verbs = {name for name, one in vars(AuthenticatorStore).items() if inspect.isfunction(one) and name[0] != "_"}
    assert verbs - {"open", "close"} == {"spend" if name.startswith("spend") else name for name in CALLS}


async def test_every_statement_is_run_by_one_of_them(database: str):
    """A new statement needs a call here, and has all the faults below with it."""
    with watched_drivers() as seen:
        async with opened(database) as store:
            assert isinstance(store, SQLStore)
            for call in CALLS.values():
                await fill(store)
                await call(store)
    named = {name: one.sql for name, one in vars(store._sql).items() if isinstance(one, Statement)}
    assert {name for name, sql in named.items() if sql not in seen} == set()


# ---------------------------------------------------------------------------------------------------------- the wire


class Number:
    """Matches the request of that number, from 1 on."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seen = 0

    def __call__(self, _: bytes) -> bool:
        self._seen += 1
        return self._seen == self._number


async def contents(other: Any) -> Contents:
    """All that the tables hold; times of the clock aside."""
    return {
        name: sorted(tuple(row[column.name] for column in table.c if column.name != "spent_at") for row in rows)
        for name, table in metadata.tables.items()
        if (rows := await other.fetch(f"SELECT * FROM {name}")) is not None
    }


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.LOSE_REPLY])
@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_that_is_lost_at_any_statement_is_unavailable_and_leaves_all_or_nothing(
    store: AuthenticatorStore, database: str, other: Any, proxy: FaultProxy, name: str, fault: Fault
):
    """Nothing, but for a reply that was lost after the last statement: then all. The next call finds all well."""
    async with opened(database) as direct:
        before = await contents(other)
        await CALLS[name](store)  # the statements are prepared then: each is one request
        after = await contents(other)
        await fill(direct)
        assert await contents(other) == before
        asked = len(proxy.requests)
        await CALLS[name](store)
        steps = len(proxy.requests) - asked
        for number in range(1, steps + 1):
            await fill(direct)
            proxy.set(fault, matching=Number(number), times=1)
            await is_unavailable(CALLS[name](store))
            done = fault is Fault.LOSE_REPLY and number == steps
            assert await contents(other) == (after if done else before)
            await fill(direct)
            await CALLS[name](store)
            assert await contents(other) == after


async def test_a_proof_whose_spending_was_not_heard_of_is_spent(store: AuthenticatorStore, proxy: FaultProxy):
    for proof in (Counter(7), Once(b"seven")):
        spend = replace(ONE, proof=proof)
        proxy.set(Fault.LOSE_REPLY, matching=holding(b"seven", (7).to_bytes(8, "big")), times=1)
        await is_unavailable(store.spend(spend, at=NOW, hard=100))
        assert proxy.struck
        assert not await store.spend(spend, at=NOW, hard=100)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.MUTE])
async def test_an_end_of_a_change_that_hangs_is_unavailable_and_leaves_all_or_nothing(
    store: AuthenticatorStore, other: Any, proxy: FaultProxy, fault: Fault
):
    """A server that was stopped may still do what it was told before."""
    before = await contents(other)
    await store.change("alice", everything)
    after = await contents(other)
    await fill(store)
    proxy.set(fault, matching=holding(b"COMMIT\0"), times=1)
    await is_unavailable(store.change("alice", everything))
    assert proxy.struck
    proxy.heal()
    assert await contents(other) in ((before, after) if fault is Fault.HANG else (after,))
    assert (await store.load("alice")).authenticators


@pytest.mark.slow
async def test_answers_that_are_slow_are_unavailable_when_all_of_them_take_too_long(
    store: AuthenticatorStore, other: Any, proxy: FaultProxy
):
    before = await contents(other)
    proxy.set(Fault.SLOW, seconds=0.3)
    await is_unavailable(store.change("alice", everything))
    proxy.heal()
    assert await contents(other) == before
    await store.change("alice", everything)


async def test_nobody_listening_is_unavailable_for_every_verb_and_then_found(
    store: AuthenticatorStore, proxy: FaultProxy
):
    proxy.set(Fault.REFUSE)
    for call in CALLS.values():
        await is_unavailable(call(store))
    proxy.heal()
    for call in CALLS.values():
        await call(store)


async def test_one_answer_in_vain_is_all_that_dead_connections_cost(
    store: AuthenticatorStore, other: Any, server: PostgreSQL
):
    """Those that were idle while the way to the server broke know nothing of it."""
    await asyncio.gather(*(store.load("alice") for _ in range(POOL)))
    others = "datname = 'mfa_faults' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    pids = [row[0] for row in await other.fetch(f"SELECT pid FROM pg_stat_activity WHERE {others}")]
    assert len(pids) > 1
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await is_unavailable(store.load("alice"))
        assert all(await asyncio.gather(*(store.load("alice") for _ in range(POOL))))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


# -------------------------------------------------------------------------------------------------------- the server

REFUSALS = {"disk full": "53100", "serialization failure": "40001", "deadlock": "40P01", "shutting down": "57P01"}


@asynccontextmanager
async def refusing(other: Any, state: str, *, late: bool) -> AsyncIterator[None]:
    """Every write is refused with that SQLSTATE: at once, or when it is committed."""
    await other.execute(f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                        f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$")  # fmt: skip
    how = "CREATE CONSTRAINT TRIGGER refuse AFTER" if late else "CREATE TRIGGER refuse BEFORE"
    each = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW" if late else "FOR EACH STATEMENT"
    try:
        for table in metadata.tables:
            await other.execute(f"{how} INSERT OR UPDATE OR DELETE ON {table} {each} EXECUTE FUNCTION refuse()")
        yield
    finally:
        for table in metadata.tables:
            await other.execute(f"DROP TRIGGER IF EXISTS refuse ON {table}")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "at the end"])
@pytest.mark.parametrize("state", REFUSALS.values(), ids=REFUSALS)
async def test_a_write_that_the_server_refuses_is_unavailable_and_changes_nothing(
    store: AuthenticatorStore, other: Any, state: str, late: bool
):
    before = await contents(other)
    async with refusing(other, state, late=late):
        for call in WRITES.values():
            await is_unavailable(call(store))
        assert await contents(other) == before
        for call in READS.values():
            await call(store)
    for call in WRITES.values():
        await call(store)


@asynccontextmanager
async def configured(server: PostgreSQL, setting: str, value: str) -> AsyncIterator[None]:
    """What new sessions find set."""
    server.sql(f"ALTER DATABASE mfa_faults SET {setting} = '{value}'")
    try:
        yield
    finally:
        server.sql(f"ALTER DATABASE mfa_faults RESET {setting}")


async def test_a_server_that_may_only_be_read_is_unavailable_for_every_write_and_left_for_the_primary(
    database: str, server: PostgreSQL, other: Any
):
    """Connections to what was the primary once are not kept."""
    async with opened(database) as store:
        await fill(store)
    before = await contents(other)
    async with configured(server, "default_transaction_read_only", "on"):
        store = open_store(settings(database))
        await store.open()
        for call in WRITES.values():
            await is_unavailable(call(store))
        assert (await store.load("alice")).authenticators
        assert await contents(other) == before
        await is_unavailable(store.forgive("alice"))
    for call in WRITES.values():
        await call(store)
    await store.close()


@pytest.mark.slow
async def test_a_deadlock_is_unavailable_and_changes_nothing(database: str, server: PostgreSQL, other: Any):
    """Provoked by a client that locks what a change locks, the other way round."""
    async with configured(server, "deadlock_timeout", "2s"), opened(database) as store:
        await fill(store)
        before = await contents(other)
        await other.execute("SET deadlock_timeout = '30s'")
        async with other.transaction():
            await other.execute("SELECT 1 FROM mfa_authenticator WHERE user_id = 'alice' FOR UPDATE")
            changing = asyncio.ensure_future(store.change("alice", everything))
            await until_somebody_waits(server)
            await other.execute("SELECT 1 FROM mfa_user WHERE user_id = 'alice' FOR UPDATE")
            with pytest.raises(Unavailable, match="not available") as raised:
                await changing
        assert raised.value.reason == "database: DeadlockDetectedError"
        assert await contents(other) == before
        await store.change("alice", everything)


async def test_a_serialization_failure_is_unavailable_and_spends_nothing(database: str, server: PostgreSQL, other: Any):
    """On a server that is set to more isolation than is asked for."""
    async with configured(server, "default_transaction_isolation", "repeatable read"), opened(database) as store:
        await fill(store)
        async with other.transaction():
            await other.execute("UPDATE mfa_authenticator SET label = 'tablet' WHERE id = 'one'")
            spending = asyncio.ensure_future(store.spend(ONE, at=NOW, hard=100))
            await until_somebody_waits(server)
        with pytest.raises(Unavailable) as raised:
            await spending
        assert raised.value.reason == "database: SerializationError"
        assert await store.spend(ONE, at=NOW, hard=100)


async def until_somebody_waits(server: PostgreSQL) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await asyncio.to_thread(wait_until, lambda: server.sql(waiting) != "0")


async def test_a_pool_whose_connections_are_all_busy_is_unavailable_and_well_when_they_are_not(
    store: AuthenticatorStore,
):
    assert isinstance(store, PostgreSQLStore)
    pool = await store._pool_here()
    busy = [await pool.acquire() for _ in range(POOL)]
    await is_unavailable(store.load("alice"))
    for one in busy:
        await pool.release(one)
    loaded = await asyncio.gather(*(store.load("alice") for _ in range(2 * POOL)))
    assert all(one.authenticators for one in loaded)


# -------------------------------------------------------------------------------------------------------------- SQLite


@contextmanager
def disk_full(_: Path) -> Iterator[None]:
    """No file may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes, for too long."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("fault", [disk_full, locked])
@pytest.mark.parametrize("name", WRITES)
async def test_a_sqlite_file_that_cannot_be_written_is_unavailable_and_unchanged(
    tmp_path: Path, name: str, fault: Callable[[Path], AbstractContextManager[None]]
):
    path = tmp_path / "mfa.sqlite3"
    async with opened(f"sqlite:///{path}", timeout=0.2) as store:
        await fill(store)
        before = dump(path)
        with fault(path):
            await is_unavailable(WRITES[name](store))
            assert (await store.load("alice")).authenticators
        assert dump(path) == before
        await WRITES[name](store)
        assert dump(path) != before


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())

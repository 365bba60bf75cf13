"""SQLite under many callers: those who wait for the writer share one transaction, and readers wait for nobody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from mfa_middleware.errors import Unavailable
from mfa_middleware.models import Counter, Spend
from mfa_middleware.stores.sql import open_store
from mfa_middleware.stores.sql.sqlite import SQLiteStore
from tests.stores.databases import NOW, authenticator, putting, settings

NAMES = [f"user-{number}" for number in range(5)]
PATIENCE = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mfa.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    opened = open_store(settings(f"sqlite:///{path}", engine_timeout=1))
    assert isinstance(opened, SQLiteStore)
    await opened.open()
    for name in NAMES:
        await opened.change(name, putting(authenticator(name, id=name)))
    yield opened
    await opened.close()


async def together(store: SQLiteStore, values: Sequence[int]) -> list[bool | str]:
    """What spending each value comes to, when all are asked while the writer is busy; a refusal as its reason."""
    gate = threading.Event()
    assert store._thread is not None
    store._thread.submit(gate.wait, PATIENCE)
    tasks = [asyncio.create_task(spend(store, name, value)) for name, value in zip(NAMES, values, strict=True)]
    while len(store._queue) < len(tasks):
        await asyncio.sleep(0)
    gate.set()
    return await asyncio.gather(*tasks)


async def spend(store: SQLiteStore, name: str, value: int) -> bool | str:
    one = authenticator(name, id=name)
    try:
        return await store.spend(Spend(name, name, one.revision, Counter(value)), at=NOW, hard=100)
    except Unavailable as error:
        return error.reason


async def test_those_who_wait_share_one_transaction(store: SQLiteStore) -> None:
    statements: list[str] = []
    assert store._connection is not None
    store._connection.set_trace_callback(statements.append)
    assert await together(store, [7] * 5) == [True] * 5
    assert [one for one in statements if one in ("BEGIN IMMEDIATE", "COMMIT")] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert await together(store, [7] * 5) == [False] * 5


async def test_who_is_alone_has_one_statement(store: SQLiteStore) -> None:
    statements: list[str] = []
    assert store._connection is not None
    store._connection.set_trace_callback(statements.append)
    assert await spend(store, NAMES[0], 7) is True
    assert len(statements) == 1


async def test_a_statement_that_fails_fails_alone(store: SQLiteStore) -> None:
    assert await together(store, [7, 7, 2**70, 7, 7]) == [True, True, "database: OverflowError", True, True]
    assert await together(store, [7] * 5) == [False, False, True, False, False]


@pytest.mark.slow
async def test_whatever_a_lock_did_a_proof_is_good_once_at_most(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = await together(store, [7] * 5)
    other.execute("ROLLBACK")
    other.close()
    assert set(refused) <= {"database: SQLITE_BUSY", "database: TimeoutError"}
    await together(store, [7] * 5)  # some were perhaps written after all, too late for who had asked
    assert await together(store, [7] * 5) == [False] * 5


async def test_who_has_left_spends_nothing(store: SQLiteStore) -> None:
    gate = threading.Event()
    assert store._thread is not None
    store._thread.submit(gate.wait, PATIENCE)
    task = asyncio.create_task(spend(store, NAMES[0], 7))
    while not store._queue:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await spend(store, NAMES[0], 7) is True


async def test_a_reader_waits_for_no_writer(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE mfa_authenticator SET label = 'not yet'")
    found = await store.load(NAMES[0])
    assert [one.label for one in found.authenticators] == [authenticator(NAMES[0], id=NAMES[0]).label]
    other.execute("ROLLBACK")
    other.close()


async def test_a_reader_who_must_wait_waits_in_the_thread(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        def execute(self, *_: object) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

        def close(self) -> None: ...

    monkeypatch.setattr(store, "_reader", Busy())
    assert [one.id for one in (await store.load(NAMES[0])).authenticators] == [NAMES[0]]


async def test_what_is_written_is_read_at_once(store: SQLiteStore) -> None:
    for value in range(1, 20):
        assert await spend(store, NAMES[0], value) is True
        assert (await store.load(NAMES[0])).authenticators[0].counter == value


async def test_the_reader_cannot_write(store: SQLiteStore) -> None:
    assert store._reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM mfa_authenticator")

"""SQLite under many callers: those who ask together share one transaction, and readers wait for nobody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfa_middleware.errors import Unavailable
from mfa_middleware.models import Changes, Counter, Spend, UserFactors
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


@contextmanager
def busy(store: SQLiteStore) -> Iterator[None]:
    """While somebody else has the turn to write."""
    writer = store._writer
    assert writer is not None
    assert writer._turn.acquire(timeout=PATIENCE)
    yield
    writer._turn.release()
    writer._go_on()


async def together(store: SQLiteStore, values: Sequence[int]) -> list[bool | str]:
    """What spending each value comes to, when all are asked while the writer is busy; a refusal as its reason."""
    with busy(store):
        tasks = [asyncio.create_task(spend(store, name, value)) for name, value in zip(NAMES, values, strict=True)]
        await until_queued(store, len(tasks))
    return await asyncio.gather(*tasks)


async def until_queued(store: SQLiteStore, count: int = 1) -> None:
    assert store._writer is not None
    async with asyncio.timeout(PATIENCE):
        while len(store._writer._queue) < count:
            await asyncio.sleep(0)


async def some_rounds() -> None:
    """Of the event loop: time for whatever is not waiting."""
    for _ in range(50):
        await asyncio.sleep(0)


def traced(store: SQLiteStore) -> list[str]:
    """The statements that the writer runs from now on."""
    statements: list[str] = []
    assert store._writer is not None
    store._writer._connection.set_trace_callback(statements.append)
    return statements


async def spend(store: SQLiteStore, name: str, value: int) -> bool | str:
    one = authenticator(name, id=name)
    try:
        return await store.spend(Spend(name, name, one.revision, Counter(value)), at=NOW, hard=100)
    except Unavailable as error:
        return error.reason


async def test_those_who_wait_share_one_transaction(store: SQLiteStore) -> None:
    statements = traced(store)
    assert await together(store, [7] * 5) == [True] * 5
    assert [one for one in statements if "UPDATE" not in one] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert await together(store, [7] * 5) == [False] * 5


async def test_those_who_come_in_one_round_of_the_loop_share_one_transaction(store: SQLiteStore) -> None:
    statements = traced(store)
    await asyncio.gather(*(spend(store, name, 7) for name in NAMES))
    assert [one for one in statements if "UPDATE" not in one] == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_nobody_hears_before_it_is_written_through(store: SQLiteStore) -> None:
    assert store._writer is not None
    gate = threading.Event()
    store._writer._thread.submit(gate.wait, PATIENCE)
    task = asyncio.create_task(spend(store, NAMES[0], 7))
    async with asyncio.timeout(PATIENCE):
        while not store._writer._turn.locked():
            await asyncio.sleep(0)
    await some_rounds()
    assert not task.done()
    assert (await store.load(NAMES[0])).authenticators[0].counter < 7
    gate.set()
    assert await task is True
    assert (await store.load(NAMES[0])).authenticators[0].counter == 7


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


async def test_a_transaction_that_fails_fails_alone(store: SQLiteStore) -> None:
    def relabel(before: UserFactors) -> Changes:
        return Changes(put=tuple(replace(one, label="new") for one in before.authenticators))

    def refuse_late(before: UserFactors) -> Changes:
        return Changes(put=tuple(replace(one, user_id="another") for one in before.authenticators))

    with busy(store):
        asked = [
            asyncio.create_task(store.change(name, decide))
            for name, decide in zip(NAMES, [relabel, refuse_late, relabel, refuse_late, relabel], strict=True)
        ]
        await until_queued(store, len(asked))
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, ValueError) for one in done] == [False, True, False, True, False]
    labels = [(await store.load(name)).authenticators[0].label for name in NAMES]
    assert [label == "new" for label in labels] == [True, False, True, False, True]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
async def test_what_cannot_be_written_through_is_told_to_nobody_as_done(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    error = sqlite3.OperationalError("the disk is full, or gone")
    error.sqlite_errorcode = code
    break_writer(store, monkeypatch, "COMMIT", error)
    assert {str(one)[:10] for one in await together(store, [7] * 5)} == {"database: "}
    assert await together(store, [7] * 5) == [True] * 5


async def test_who_has_left_spends_nothing(store: SQLiteStore) -> None:
    with busy(store):
        task = asyncio.create_task(spend(store, NAMES[0], 7))
        await until_queued(store)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await spend(store, NAMES[0], 7) is True


async def test_a_loop_that_ends_while_somebody_waits_in_it_stops_nobody_else(store: SQLiteStore) -> None:
    def ask_and_leave() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(spend(store, NAMES[0], 7))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.close()

    with busy(store):
        await asyncio.to_thread(ask_and_leave)
        task = asyncio.create_task(spend(store, NAMES[1], 7))
        await until_queued(store)
    assert await task is True


@pytest.mark.slow
async def test_many_loops_write_at_once(store: SQLiteStore) -> None:
    """Each value of a user's is taken by one loop alone, and none is lost."""

    async def spend_all() -> list[tuple[str, int]]:
        asked = [(name, value) for value in range(1, 40) for name in NAMES]
        done = await asyncio.gather(*(spend(store, name, value) for name, value in asked))
        return [one for one, is_done in zip(asked, done, strict=True) if is_done is True]

    taken = await asyncio.gather(*(asyncio.to_thread(asyncio.run, spend_all()) for _ in range(4)))
    every = [one for each in taken for one in each]
    assert len(every) == len(set(every))
    assert [(await store.load(name)).authenticators[0].counter for name in NAMES] == [39] * len(NAMES)


async def test_who_asks_while_it_is_closed_is_refused(store: SQLiteStore) -> None:
    with busy(store):
        task = asyncio.create_task(spend(store, NAMES[0], 7))
        await until_queued(store)
        await store.close()
    assert "database" in str(await task)
    await store.open()
    assert await spend(store, NAMES[0], 7) is True


async def test_it_waits_for_another_process_that_writes(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tasks = [asyncio.create_task(spend(store, name, 7)) for name in NAMES]
    await some_rounds()  # which the event loop goes, though the writer waits
    assert not any(task.done() for task in tasks)
    other.execute("COMMIT")
    other.close()
    assert await asyncio.gather(*tasks) == [True] * 5


async def test_a_reader_waits_for_no_writer(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE mfa_authenticator SET label = 'not yet'")
    found = await store.load(NAMES[0])
    assert [one.label for one in found.authenticators] == [authenticator(NAMES[0], id=NAMES[0]).label]
    other.execute("ROLLBACK")
    other.close()


async def test_a_reader_who_must_wait_waits_as_a_writer_does(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
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


class Faulty:
    """A connection that fails ``times`` at the statements that begin so."""

    def __init__(self, connection: sqlite3.Connection, begins: str, error: Exception, times: int = 1) -> None:
        self._connection = connection
        self._begins = begins
        self._error = error
        self._times = times

    def execute(self, sql: str, *arguments: Any) -> object:
        if self._times and sql.startswith(self._begins):
            self._times -= 1
            raise self._error
        return self._connection.execute(sql, *arguments)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def break_writer(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, begins: str, error: Exception) -> None:
    assert store._writer is not None
    monkeypatch.setattr(store._writer, "_connection", Faulty(store._writer._connection, begins, error))


def io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@pytest.mark.parametrize("statement", ["BEGIN", "UPDATE", "COMMIT"])
@pytest.mark.parametrize("error", [MemoryError(), io_error(), RuntimeError("something else")], ids=repr)
async def test_whatever_fails_once_stops_nothing_that_comes_later(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, statement: str, error: Exception
) -> None:
    """For want of memory sqlite3 raises a MemoryError, which is none of its own errors."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    break_writer(store, monkeypatch, statement, error)
    try:
        assert await spend(store, NAMES[0], 5) is not True
    except RuntimeError:
        assert isinstance(error, RuntimeError)
    assert [await spend(store, NAMES[1], value) for value in (6, 7)] == [True, True]


async def test_want_of_memory_while_another_process_writes_stops_nothing_that_comes_later(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(spend(store, NAMES[0], 5))
    await some_rounds()
    break_writer(store, monkeypatch, "BEGIN", MemoryError())
    assert await task == "database: MemoryError"
    other.execute("ROLLBACK")
    other.close()
    assert await spend(store, NAMES[1], 6) is True


async def test_a_change_that_cannot_be_taken_back_alone_takes_all_back(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(before: UserFactors) -> Changes:
        (one,) = before.authenticators
        return Changes(put=(replace(one, label="half", revision=one.revision + 1), replace(one, user_id="another")))

    break_writer(store, monkeypatch, "ROLLBACK TO", io_error())
    with busy(store):
        asked = asyncio.create_task(store.change(NAMES[0], half)), asyncio.create_task(spend(store, NAMES[1], 7))
        await until_queued(store, 2)
    changed, spent = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(changed, Unavailable)
    assert spent == "database: OperationalError"
    assert (await store.load(NAMES[0])).authenticators[0].label != "half"
    assert await spend(store, NAMES[1], 7) is True


async def test_without_a_thread_for_the_writer_it_does_not_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first write: its transaction would be left open."""
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if "mfa-sqlite" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    store = open_store(settings(f"sqlite:///{path}"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(Unavailable):
            await store.open()
    await store.open()
    await store.change(NAMES[0], putting(authenticator(NAMES[0], id=NAMES[0])))
    await store.close()

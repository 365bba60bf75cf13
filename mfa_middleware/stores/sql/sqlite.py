"""SQLite: one connection that writes, kept in one thread, and one that only reads.

Whichever event loop asks, and however many do, what writes queues at that thread; what waits there together is written
through together. Other processes are held off by SQLite's own locks. Reading waits for nobody (write-ahead log).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from sqlalchemy import URL, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.schema import CreateIndex, CreateTable

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.stores.sql.schema import REVISION, metadata, version
from mfa_middleware.stores.sql.statements import Statement, Statements, Value, compiled
from mfa_middleware.stores.sql.store import Result, Row, SQLStore, Step, Transaction, refuse_other_version

Returned = TypeVar("Returned")
_Reply = asyncio.Future[Sequence[Row]]
_Outcome = Sequence[Row] | Exception
_Queued = tuple[Statement, Mapping[str, Value], _Reply]

_DIALECT = SQLiteDialect_pysqlite(paramstyle="qmark")
#: What ends when another connection does something else.
_WAITS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
#: What a file is that will be no better when asked again.
_UNUSABLE = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB}


class SQLiteStore(SQLStore):
    """The store in a file, or in memory (``sqlite://``). ``upgrade`` brings a file of an older release up to date."""

    def __init__(self, url: URL, *, timeout: float, upgrade: Callable[[URL], None]) -> None:
        super().__init__(Statements(_DIALECT, insert))
        self._url = url.set(drivername="sqlite")
        self._timeout = timeout
        self._upgrade = upgrade
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._queue: deque[_Queued] = deque()
        self._called = False  #: whether the thread will look at the queue
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mfa-sqlite")
        self._called = False
        self._queue.clear()
        try:
            # Not bounded by the time-out, as a request is: an upgrade may take long.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except (OSError, sqlite3.Error) as error:
            raise _at_start(error) from error

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def _run(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        """Queue a statement: the thread runs all that wait in one transaction, which is written through once."""
        if self._thread is None:
            raise Unavailable("database: not open")
        reply: asyncio.Future[Sequence[Row]] = asyncio.get_running_loop().create_future()
        self._queue.append((statement, values, reply))
        if not self._called:
            self._called = True
            self._thread.submit(self._run_queue)
        with _told():
            async with asyncio.timeout(self._timeout):
                return await reply

    async def _read(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        """Here and now, on a connection of its own: it takes less than the way to the thread and back.

        In the write-ahead log a reader waits for no writer; should it have to all the same, the thread does.
        """
        reader = self._reader
        if reader is not None:
            try:
                with self._reading:
                    return reader.execute(statement.sql, statement.arguments(values)).fetchall()
            except sqlite3.Error as error:
                if _code(error) not in _WAITS:
                    raise Unavailable(f"database: {_kind(error)}") from error
        return await self._run(statement, values)

    async def _transact(self, transaction: Transaction[Result]) -> Result:
        return await self._in_thread(partial(self._drive, transaction))

    async def _in_thread(self, work: Callable[[], Returned]) -> Returned:
        if self._thread is None:
            raise Unavailable("database: not open")
        with _told():
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # What follows runs in the thread.

    def _open(self) -> None:
        self._connection = self._connect()
        try:
            found = self._drive(self._make_tables())
            if found != REVISION:
                self._upgrade(self._url)
                ((found,),) = self._execute(self._sql.version, {})
            refuse_other_version(found)
            if self._connection.execute("PRAGMA database_list").fetchone()[2]:  # in memory there is but one
                self._reader = self._connect(timeout=0)
                self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self._close()
            raise

    def _connect(self, timeout: float | None = None) -> sqlite3.Connection:
        timeout = self._timeout if timeout is None else timeout
        try:
            (path,), options = _DIALECT.create_connect_args(self._url)
        except ArgumentError as error:
            text = "MFA_DATABASE_URL: a SQLite URL is sqlite:///file or sqlite:////folder/file, without host or user."
            raise ConfigurationError(text) from error
        if path != ":memory:" and not options.get("uri"):
            _make_private(path)
        options.update(timeout=timeout, isolation_level=None, check_same_thread=False)
        connection: sqlite3.Connection = sqlite3.connect(path, **options)
        try:
            _configure(connection, timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        with self._reading:
            opened = self._reader, self._connection
            self._reader = self._connection = None
        for connection in opened:
            if connection is not None:
                connection.close()

    def _run_queue(self) -> None:
        self._called = False
        waiting: list[_Queued] = []
        while self._queue:
            waiting.append(self._queue.popleft())
        waiting = [one for one in waiting if not one[2].cancelled()]
        outcomes = self._run_all([(statement, values) for statement, values, _ in waiting])
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_Reply, _Outcome]]] = {}
        for (_, _, reply), outcome in zip(waiting, outcomes, strict=True):
            loops.setdefault(reply.get_loop(), []).append((reply, outcome))
        for loop, answered in loops.items():
            with suppress(RuntimeError):  # who asked is gone, and its loop as well
                loop.call_soon_threadsafe(_answer, answered)

    def _run_all(self, steps: Sequence[Step]) -> Sequence[_Outcome]:
        """All or none is written through; a statement that fails by itself fails alone."""
        try:
            if len(steps) == 1:
                return [self._execute(*steps[0])]
            self._opened.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [self._outcome(*step) for step in steps]
                self._opened.execute("COMMIT")
            except BaseException:
                self._opened.rollback()
                raise
        except (sqlite3.Error, OverflowError, Unavailable) as error:
            return [error] * len(steps)
        return outcomes

    def _outcome(self, statement: Statement, values: Mapping[str, Value]) -> _Outcome:
        try:
            return self._execute(statement, values)
        except (sqlite3.Error, OverflowError) as error:
            if not self._opened.in_transaction:  # what failed has taken all with it
                raise
            return error

    def _execute(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        return self._opened.execute(statement.sql, statement.arguments(values)).fetchall()

    def _drive(self, transaction: Transaction[Result]) -> Result:
        self._opened.execute("BEGIN IMMEDIATE")
        try:
            result = self._steps(transaction)
            self._opened.execute("COMMIT")
        except BaseException:
            self._opened.rollback()
            raise
        return result

    def _steps(self, transaction: Transaction[Result]) -> Result:
        try:
            step = next(transaction)
            while True:
                step = transaction.send(self._execute(*step))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _make_tables(self) -> Transaction[str]:
        """Make the tables in a new file, as the migrations would but without their slow import; tells the version."""
        yield compiled(CreateTable(version, if_not_exists=True), _DIALECT), {}
        # Written and not just read: a file that may only be read would otherwise open, and then refuse every login.
        written = update(version).values(version_num=version.c.version_num).returning(version.c.version_num)
        if rows := (yield compiled(written, _DIALECT), {}):
            found: str = rows[0][0]
            return found
        for table in metadata.sorted_tables:
            yield compiled(CreateTable(table), _DIALECT), {}
            for index in table.indexes:
                yield compiled(CreateIndex(index), _DIALECT), {}
        yield compiled(insert(version), _DIALECT), {"version_num": REVISION}
        return REVISION

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable("database: not open")
        return self._connection


@contextmanager
def _told() -> Iterator[None]:
    """What the thread or the time-out raised, as our error."""
    try:
        yield
    except (sqlite3.Error, OverflowError, TimeoutError) as error:
        raise Unavailable(f"database: {_kind(error)}") from error


def _answer(answered: Sequence[tuple[_Reply, _Outcome]]) -> None:
    for reply, outcome in answered:
        if reply.done():  # it took too long
            continue
        if isinstance(outcome, Exception):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)


def _make_private(path: str) -> None:
    """Create the file, readable by its owner alone; SQLite gives its companions (-wal, -shm) the same mode.

    A file that is there is not touched: to close it would end the locks that this process has on it (fcntl(2)), and
    another process could then take away the write-ahead log that is still in use here.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _configure(connection: sqlite3.Connection, timeout: float) -> None:
    """Write-ahead log, so that readers wait for nobody, and written through at every commit: a code works once."""
    connection.execute("PRAGMA synchronous = FULL")
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself when two processes switch the mode of a new file.
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _at_start(error: OSError | sqlite3.Error) -> ConfigurationError | Unavailable:
    if isinstance(error, OSError) or _code(error) in _UNUSABLE:
        return ConfigurationError(
            f"MFA_DATABASE_URL: the SQLite file cannot be opened for writing ({_kind(error)});"
            " name a database file in a folder that exists and is writable."
        )
    return Unavailable(f"database: {_kind(error)}")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; -1 for an error of the driver's own."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def _kind(error: Exception) -> str:
    """What kind of failure it was; never its text, which could tell what was being written."""
    name: str = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return name

"""SQLite: one connection, kept in one thread, through which all statements of this process go one after another.

Whichever event loop asks, and however many do, they queue at that thread. Other processes are held off by SQLite's own
locks.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from mfa_middleware.stores.sql.store import Result, Row, SQLStore, Transaction, refuse_other_version

Returned = TypeVar("Returned")

_DIALECT = SQLiteDialect_pysqlite(paramstyle="qmark")
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

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mfa-sqlite")
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
        return await self._in_thread(partial(self._execute, statement, values))

    async def _transact(self, transaction: Transaction[Result]) -> Result:
        return await self._in_thread(partial(self._drive, transaction))

    async def _in_thread(self, work: Callable[[], Returned]) -> Returned:
        if self._thread is None:
            raise Unavailable("database: not open")
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OverflowError, TimeoutError) as error:
            raise Unavailable(f"database: {_kind(error)}") from error

    # What follows runs in the thread.

    def _open(self) -> None:
        self._connection = self._connect()
        try:
            found = self._drive(self._make_tables())
            if found != REVISION:
                self._upgrade(self._url)
                ((found,),) = self._execute(self._sql.version, {})
            refuse_other_version(found)
        except BaseException:
            self._close()
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            (path,), options = _DIALECT.create_connect_args(self._url)
        except ArgumentError as error:
            text = "MFA_DATABASE_URL: a SQLite URL is sqlite:///file or sqlite:////folder/file, without host or user."
            raise ConfigurationError(text) from error
        if path != ":memory:" and not options.get("uri"):
            _make_private(path)
        options.update(timeout=self._timeout, isolation_level=None, check_same_thread=False)
        connection: sqlite3.Connection = sqlite3.connect(path, **options)
        try:
            _configure(connection, self._timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

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


def _make_private(path: str) -> None:
    """Create the file, readable by its owner alone; SQLite gives its companions (-wal, -shm) the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


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

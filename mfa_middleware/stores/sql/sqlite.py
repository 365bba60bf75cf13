"""SQLite: one connection that writes, for all who ask, and one that only reads.

What writes is run together and written through together (:mod:`~mfa_middleware.stores.sql.group_commit`), whichever
event loop asks. Other processes are held off by SQLite's own locks. Reading waits for nobody (write-ahead log).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sqlalchemy import URL, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.schema import CreateIndex, CreateTable

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.stores.sql.group_commit import GroupCommit, execute, is_locked, primary_code, steps
from mfa_middleware.stores.sql.schema import REVISION, metadata, version
from mfa_middleware.stores.sql.statements import Statement, Statements, Value, compiled
from mfa_middleware.stores.sql.store import Result, Row, SQLStore, Step, Transaction, refuse_other_version

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
        self._writer: GroupCommit | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()

    async def open(self) -> None:
        if self._writer is not None:  # the other engine is away, and it is tried again
            return
        try:
            # In a thread, and not bounded by the time-out as a request is: an upgrade may take long.
            self._writer, self._reader = await asyncio.to_thread(self._open)
        except (OSError, sqlite3.Error, RuntimeError) as error:  # the last for want of a thread
            raise _at_start(error) from error

    async def close(self) -> None:
        with self._reading:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def _run(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        return await self._written((statement, values))

    async def _transact(self, transaction: Transaction[Result]) -> Result:
        return await self._written(transaction)

    async def _written(self, work: Step | Transaction[Result]) -> Result:
        if self._writer is None:
            raise Unavailable("database: not open")
        try:
            return await self._writer.run(work)
        except (sqlite3.Error, OverflowError, MemoryError, TimeoutError) as error:
            raise Unavailable(f"database: {_kind(error)}") from error

    async def _read(self, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
        """Here and now, on a connection of its own. Should it have to wait for a writer all the same, it is one itself.

        In the write-ahead log it need not.
        """
        reader = self._reader
        if reader is not None:
            try:
                with self._reading:
                    return execute(reader, statement, values)
            except sqlite3.Error as error:
                if not is_locked(error):
                    raise Unavailable(f"database: {_kind(error)}") from error
        return await self._run(statement, values)

    def _open(self) -> tuple[GroupCommit, sqlite3.Connection | None]:
        """What writes, the tables made, and what reads: in memory there is but one connection."""
        opened = self._connect()
        try:
            found = _alone(opened, _make_tables())
            if found != REVISION:
                self._upgrade(self._url)
                ((found,),) = execute(opened, self._sql.version, {})
            refuse_other_version(found)
            in_memory = not opened.execute("PRAGMA database_list").fetchone()[2]
            opened.execute("PRAGMA busy_timeout = 0")  # from now on the event loop calls
            reader = None if in_memory else self._connect_reader()
            return GroupCommit(opened, self._timeout), reader
        except BaseException:
            opened.close()
            raise

    def _connect_reader(self) -> sqlite3.Connection:
        reader = self._connect(timeout=0)
        reader.execute("PRAGMA query_only = ON")
        return reader

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


def _alone(connection: sqlite3.Connection, transaction: Transaction[Result]) -> Result:
    """Run a transaction, and write it through."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = steps(connection, transaction)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result


def _make_tables() -> Transaction[str]:
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
            ((mode,),) = connection.execute("PRAGMA journal_mode = WAL").fetchall()
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself when two processes switch the mode of a new file.
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode not in ("wal", "memory"):
        raise ConfigurationError(
            "MFA_DATABASE_URL: SQLite cannot keep a write-ahead log there, as on file systems of a network;"
            " name a database file on a disk of this machine, or a PostgreSQL."
        )


def _at_start(error: Exception) -> ConfigurationError | Unavailable:
    if isinstance(error, OSError) or primary_code(error) in _UNUSABLE:
        return ConfigurationError(
            f"MFA_DATABASE_URL: the SQLite file cannot be opened for writing ({_kind(error)});"
            " name a database file in a folder that exists and is writable."
        )
    return Unavailable(f"database: {_kind(error)}")


def _kind(error: Exception) -> str:
    """What kind of failure it was; never its text, which could tell what was being written."""
    name: str = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return name

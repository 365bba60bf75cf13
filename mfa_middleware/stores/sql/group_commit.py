"""Group commit on one connection of SQLite: what is asked runs where it is asked, and a thread writes it through.

To run a statement takes microseconds; to wait for the disk takes a hundred times as long, and is the thread's. What is
asked meanwhile runs together next, in one transaction, which is written through once. A thread that ran the statements
as well would fight with the event loop for the interpreter's lock at every one of them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mfa_middleware.errors import Unavailable
from mfa_middleware.stores.sql.statements import Statement, Value
from mfa_middleware.stores.sql.store import Result, Row, Step, Transaction

#: What came of a work: its result, or what it raised.
_Outcome = Any
_Answers = list[tuple["asyncio.Future[Any]", _Outcome]]

#: For want of memory sqlite3 raises an error that is none of its own.
_FAILURES = (sqlite3.Error, MemoryError)
#: So many at once take less than a millisecond of the event loop.
_MOST_TOGETHER = 100
#: How long the thread waits before it looks again whether another process has ended its transaction, in seconds.
_PAUSE = 0.001


@dataclass(frozen=True, slots=True)
class _Asked:
    """A statement, or a transaction of several; and who waits for what comes of it."""

    work: Step | Transaction[Any]
    reply: asyncio.Future[Any]


class GroupCommit:
    """Runs statements and transactions of any event loops on ``connection``, which shall wait for no lock by itself.

    ``timeout``, in seconds, is for each of them from when it is asked until it is written through.
    """

    def __init__(self, connection: sqlite3.Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mfa-sqlite")
        self._thread.submit(threading.get_ident)  # starts it now: were there none later, a turn would not end
        self._queue: deque[_Asked] = deque()
        self._queueing = threading.Lock()
        self._turn = threading.Lock()  #: held from BEGIN, in a loop, to COMMIT, in the thread
        self._using = threading.Lock()  #: held while a loop runs statements: the connection is not closed then
        self._closed = False

    async def run(self, work: Step | Transaction[Result]) -> Result:
        """The rows of a statement, or the result of a transaction, once they are written through.

        :raises sqlite3.Error: as the database refused; then it has changed nothing.
        :raises TimeoutError: when it was not written in time; it may have been written all the same.
        :raises Exception: whatever the transaction raises, which rolls it back.
        """
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Result] = loop.create_future()
        with self._queueing:
            self._queue.append(_Asked(work, reply))
        loop.call_soon(self._go_on)  # after what else is asked in this round of the loop
        async with asyncio.timeout(self._timeout):
            return await reply

    async def close(self) -> None:
        """Write through what has run, and close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _go_on(self) -> None:
        """Run all that is asked; unless a turn is not over, which ends with this."""
        if not (self._queue and self._turn.acquire(blocking=False)):
            return
        with self._queueing:
            together = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_TOGETHER))]
        try:
            with self._using:
                if not self._closed:
                    self._thread.submit(self._write_through, together, self._run_all(together))
                    return
        except BaseException:  # KeyboardInterrupt, say
            with suppress(Exception):
                self._connection.rollback()
            self._turn.release()
            raise
        self._turn.release()
        self._tell(together, [Unavailable("database: closed")] * len(together))

    def _run_all(self, together: Sequence[_Asked]) -> Sequence[_Outcome] | None:
        """Run them in one transaction, and leave it open; None when another process is in one."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except _FAILURES as error:
            return None if is_locked(error) else [error] * len(together)
        try:
            return [self._outcome(one) for one in together]
        except _FAILURES as error:  # it has taken the whole transaction with it
            return [error] * len(together)
        except BaseException:
            self._connection.rollback()
            raise

    def _outcome(self, one: _Asked) -> _Outcome:
        """What comes of one of them. One that fails by itself fails alone, and one that is too late is not run."""
        if one.reply.cancelled():
            return None
        try:
            if isinstance(one.work, tuple):
                return execute(self._connection, *one.work)
            return self._whole(one.work)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            return error

    def _whole(self, transaction: Transaction[Result]) -> Result:
        """A transaction among others: all of it or nothing."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = steps(self._connection, transaction)
            self._connection.execute("RELEASE one")
        except BaseException:
            if self._connection.in_transaction:
                self._undo()
            raise
        return result

    def _undo(self) -> None:
        """Take back one transaction; where that fails all of them, rather than leave half of one to be written."""
        try:
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
        except Exception:
            self._connection.rollback()
            raise

    # What follows runs in the thread, but for _hear.

    def _write_through(self, together: Sequence[_Asked], outcomes: Sequence[_Outcome] | None) -> None:
        try:
            if outcomes is None:
                outcomes = self._run_when_unlocked(together)
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  whatever it is, the turn must end, and each be told
            outcomes = [error] * len(together)
            with suppress(Exception):
                self._connection.rollback()
        self._turn.release()
        self._tell(together, outcomes)

    def _run_when_unlocked(self, together: Sequence[_Asked]) -> Sequence[_Outcome]:
        deadline = time.monotonic() + self._timeout
        while (outcomes := self._run_all(together)) is None:
            if time.monotonic() > deadline:
                return [TimeoutError("another process keeps the database locked")] * len(together)
            time.sleep(_PAUSE)
        return outcomes

    def _tell(self, together: Sequence[_Asked], outcomes: Sequence[_Outcome]) -> None:
        """Answer each in its own loop, and let a loop go on in which somebody waits."""
        with self._queueing:
            answers: dict[asyncio.AbstractEventLoop, _Answers] = {
                one.reply.get_loop(): [] for one in (*together, *self._queue)
            }
        for one, outcome in zip(together, outcomes, strict=True):
            answers[one.reply.get_loop()].append((one.reply, outcome))
        for loop, of_loop in answers.items():
            with suppress(RuntimeError):  # it is closed, and whoever asked in it is gone
                loop.call_soon_threadsafe(self._hear, of_loop)

    def _hear(self, answers: _Answers) -> None:
        for reply, outcome in answers:
            if reply.done():  # it took too long
                continue
            if isinstance(outcome, Exception):
                reply.set_exception(outcome)
            else:
                reply.set_result(outcome)
        asyncio.get_running_loop().call_soon(self._go_on)

    def _close(self) -> None:
        with self._using:
            self._closed = True
            self._connection.close()


def execute(connection: sqlite3.Connection, statement: Statement, values: Mapping[str, Value]) -> Sequence[Row]:
    """The rows of a statement."""
    return connection.execute(statement.sql, statement.arguments(values)).fetchall()


def steps(connection: sqlite3.Connection, transaction: Transaction[Result]) -> Result:
    """Run the statements of a transaction, each when the one before is answered; BEGIN and COMMIT are the caller's."""
    try:
        step = next(transaction)
        while True:
            step = transaction.send(execute(connection, *step))
    except StopIteration as end:
        result: Result = end.value
        return result


def is_locked(error: Exception) -> bool:
    """Whether it ends when another connection has done what it does."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def primary_code(error: Exception) -> int:
    """SQLite's primary result code; 255 for an error of the driver's own."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF

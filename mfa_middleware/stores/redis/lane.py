"""One connection for all calls of an event loop: commands go out as they come, and replies come back in that order.

A pool gives each call a connection of its own, and looks at it before and after; that costs more than the call. Here
many calls share one. A reply does not tell what it answers, so should one be late, or one too many, the connection is
given up at once: what came after it would be taken for another's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol, cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TooLate

from mfa_middleware.stores.redis.demotion import NotPrimary, demoted
from mfa_middleware.stores.redis.wire import Wire

Value = bytes | str | int


class Commands(Protocol):
    """What carries a command to the server, and its reply back, or fails within a time of its own."""

    def execute_command(self, *command: Value) -> Awaitable[object]: ...


class Lane:
    """Sends commands over a connection of ``pool``'s kind, made when it is first wanted, and again when it was lost.

    ``timeout``, in seconds, is how long connecting may take, and how long a reply.
    """

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._connecting: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it belongs to."""
        return self._loop

    def execute_command(self, *command: Value) -> Awaitable[object]:
        """Send a command; what is awaited is its reply.

        :raises RedisError: as the server answered, or when its answer cannot come any more.
        """
        line = self._line
        return self._connect_and_ask(command) if line is None or line.ended else line.ask(command)

    async def _connect_and_ask(self, command: tuple[Value, ...]) -> object:
        return await (await self._connected()).ask(command)

    async def close(self) -> None:
        """End the connection, and refuse who still waits."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._line is not None:
            await self._line.close()

    async def _connected(self) -> _Line:
        """Whoever comes while it is being connected shares what comes of it, and nobody who leaves stops it."""
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        connecting, caller = self._connecting, asyncio.current_task()
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if connecting.cancelled() and caller is not None and not caller.cancelling():
                raise LostConnection("closed") from None
            raise

    async def _connect(self) -> _Line:
        wire = cast("Wire", self._pool.make_connection())  # type: ignore[no-untyped-call]  # so redis-py has it
        try:
            async with asyncio.timeout(self._timeout):
                await wire.connect()  # type: ignore[no-untyped-call]  # so redis-py has it
            self._line = _Line(wire, self._timeout)
        except TimeoutError as error:
            raise TooLate("no connection in time") from error
        finally:
            if self._line is None or self._line.ended:
                wire.end()
        return self._line

    def _has_connected(self, connecting: asyncio.Task[_Line]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()  # has been seen, even if all who waited have left


class _Line:
    """A connection from when it is made to when it ends, and who waits for a reply on it."""

    def __init__(self, wire: Wire, timeout: float) -> None:
        self._wire = wire
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[object], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self.ended = False
        self._reading = self._loop.create_task(self._read())

    def ask(self, command: tuple[Value, ...]) -> asyncio.Future[object]:
        """Send a command. Nothing is awaited, so that the order of those who wait is that of what is written."""
        if self.ended:
            raise LostConnection("the connection has ended")
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # typed as if of one element
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(packed)
        reply: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((reply, self._loop.time() + self._timeout))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)
        return reply

    def _send(self) -> None:
        """Write what was asked in this round of the loop at once: each write is a call of the system."""
        packed, self._unsent = self._unsent, []
        if not (self.ended or self._wire.write(b"".join(packed))):
            self._end(LostConnection("the connection has ended"))

    async def close(self) -> None:
        """End it in good order."""
        self._end(LostConnection("closed"))
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        """Hand out replies, as long as the connection lives."""
        try:
            while not self.ended:
                self._hand_out(await self._reply())
        except (LostConnection, TooLate) as error:
            self._end(error)
        except (RedisError, OSError) as error:
            self._end(LostConnection(str(error)))
        finally:
            self._end(LostConnection("nobody reads any more"))

    async def _reply(self) -> object:
        """The next reply; an error is one as well, which whoever asked may hear."""
        try:
            return await self._wire.read_response()
        except ResponseError as error:
            if demoted(error):
                raise NotPrimary(str(error)) from error
            return error

    def _hand_out(self, reply: object) -> None:
        if not self._waiting:
            raise LostConnection("a reply to nothing")
        waiting, _ = self._waiting.popleft()
        if waiting.done():  # who asked has left
            return
        if isinstance(reply, Exception):
            _refuse(waiting, reply)
        else:
            waiting.set_result(reply)

    def _look(self) -> None:
        """End when the oldest reply is late; else look again when it would be."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] - self._loop.time()
        if left <= 0:
            self._end(TooLate("no reply in time"))
        else:
            self._watch = self._loop.call_later(left, self._look)

    def _end(self, error: Exception) -> None:
        """Nobody who waits here will get a reply any more."""
        if self.ended:
            return
        self.ended = True
        self._wire.end()
        if self._watch is not None:
            self._watch.cancel()
        # Whoever was late may be late again: the others go first when they ask anew.
        self._waiting.rotate(-1)
        while self._waiting:
            _refuse(self._waiting.popleft()[0], error)


def _refuse(waiting: asyncio.Future[object], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # has been seen, even if who asked leaves before it hears

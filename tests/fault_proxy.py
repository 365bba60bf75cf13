"""A wire to a server on which faults can be made: for Redis, PostgreSQL or anything else over TCP or a unix socket.

    with FaultProxy(("127.0.0.1", server.port)) as proxy:      # or FaultProxy("/folder/of/the/socket")
        client = connect(port=proxy.port)
        proxy.set(Fault.LOSE_REPLY, matching=holding(b"EVALSHA"), times=1)
        ...
        assert proxy.struck == 1
        proxy.heal()

It serves in a thread of its own, so it may be steered from a test, from any thread and within any event loop, and
answers while the test's own loop is busy. A *request* is what the client sent at once: one read of its socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self, TypeAlias

#: Host and port, or the path of a unix socket.
Upstream: TypeAlias = tuple[str, int] | str
Matching: TypeAlias = Callable[[bytes], bool]

_CHUNK = 1 << 16
_PATIENCE = 10


class Fault(Enum):
    """What happens to a request, and to its answer."""

    PASS = "pass"
    REFUSE = "refuse"  #: nobody listens: connecting is refused, and what was connected is reset
    RESET = "reset"  #: the connection is reset (RST) in place of passing the request on
    CLOSE = "close"  #: the connection is closed in good order in place of passing the request on
    HANG = "hang"  #: the request is held back, and passed on once the fault is over, as by a server that was stopped
    SLOW = "slow"  #: the answer comes ``seconds`` late
    LOSE_REPLY = "lose reply"  #: the request is passed on; its answer is dropped, and the connection closed
    MUTE = "mute"  #: the request is passed on; its answer is dropped, and the connection stays open
    ANSWER = "answer"  #: the client is told ``answer``; the server hears nothing


def everything(_: bytes) -> bool:
    """Every request matches."""
    return True


def holding(*parts: bytes) -> Matching:
    """Requests in which one of ``parts`` stands, in any case."""
    return lambda request: any(part.lower() in request.lower() for part in parts)


@dataclass(eq=False)
class _Plan:
    """The fault that is on."""

    fault: Fault = Fault.PASS
    matching: Matching = everything
    left: float = float("inf")
    seconds: float = 0.0
    answer: bytes = b""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def strikes(self, request: bytes) -> bool:
        if self.fault is Fault.PASS or self.left <= 0 or not self.matching(request):
            return False
        self.left -= 1
        return True


class FaultProxy:
    """A context manager that listens on a port of the loopback; with ``tls`` it ends the clients' TLS."""

    def __init__(self, upstream: Upstream, *, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._plan = _Plan()
        self._open: set[_Wire] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self.port = 0
        #: What was received, faults or none.
        self.requests: list[bytes] = []
        #: How many requests the faults met.
        self.struck = 0

    def set(
        self,
        fault: Fault,
        *,
        matching: Matching = everything,
        times: float = float("inf"),
        seconds: float = 0.0,
        answer: bytes = b"",
    ) -> None:
        """Make ``fault`` of the next ``times`` requests that match; it ends the one before."""
        self._do(self._switch(_Plan(fault, matching, times, seconds, answer)))

    def heal(self) -> None:
        """End the fault."""
        self.set(Fault.PASS)

    def lead_to(self, upstream: Upstream) -> None:
        """Let new connections lead elsewhere, as a name or an address that has moved; those there are stay."""
        self._upstream = upstream

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *exception: object) -> None:
        self._do(self._switch(_Plan(Fault.REFUSE)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def _do(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _switch(self, plan: _Plan) -> None:
        before, self._plan = self._plan, plan
        before.over.set()
        if plan.fault is Fault.REFUSE:
            if self._server:
                self._server.close()
                self._server = None
            await self._drop()
        elif self._server is None:
            await self._listen()

    async def _drop(self) -> None:
        wires = [*self._open]
        for wire in wires:
            wire.reset()
        await asyncio.gather(*(wire.gone.wait() for wire in wires))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = _Wire(self, reader, writer)
        self._open.add(wire)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await wire.carry(self._upstream)
        finally:
            self._open.discard(wire)
            wire.gone.set()

    def plan_for(self, request: bytes) -> _Plan | None:
        """The fault that this request meets."""
        self.requests.append(request)
        plan = self._plan
        if not plan.strikes(request):
            return None
        self.struck += 1
        return plan


class _Wire:
    """One client's connection, and ours to the server for it."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._late: _Plan | None = None
        self.gone = asyncio.Event()

    async def carry(self, upstream: Upstream) -> None:
        try:
            answers, server = await _connect(upstream)
        except OSError:  # the server is away: so are we
            self.reset()
            return
        pumps = [asyncio.create_task(self._requests(server)), asyncio.create_task(self._answers(answers))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            server.close()
            self._writer.close()

    def reset(self) -> None:
        raw = self._writer.get_extra_info("socket")
        if raw is None:  # TLS has ended it by itself
            return
        with suppress(OSError):  # the client may have been faster
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _requests(self, server: asyncio.StreamWriter) -> None:
        while request := await self._reader.read(_CHUNK):
            plan = self._proxy.plan_for(request)
            if plan is not None and not await self._passes(plan):
                return
            if plan is None or plan.fault is not Fault.ANSWER:
                server.write(request)
                await server.drain()

    async def _passes(self, plan: _Plan) -> bool:
        """Do to a request what the fault does to it; False when that ends the connection."""
        match plan.fault:
            case Fault.RESET:
                self.reset()
                return False
            case Fault.CLOSE:
                return False
            case Fault.HANG:
                await plan.over.wait()
            case Fault.ANSWER:
                self._writer.write(plan.answer)
                await self._writer.drain()
            case _:
                self._late = plan
        return True

    async def _answers(self, answers: asyncio.StreamReader) -> None:
        while answer := await answers.read(_CHUNK):
            plan, self._late = self._late, None
            match plan and plan.fault:
                case Fault.LOSE_REPLY:
                    return
                case Fault.MUTE:
                    continue
                case Fault.SLOW:
                    assert plan
                    await asyncio.sleep(plan.seconds)
            self._writer.write(answer)
            await self._writer.drain()


async def _connect(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, str):
        return await asyncio.open_unix_connection(upstream)
    return await asyncio.open_connection(*upstream)

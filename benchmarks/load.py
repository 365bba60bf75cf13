"""Many callers at once against one server, and what it cost."""

from __future__ import annotations

import asyncio
import importlib
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

from benchmarks import kernel
from benchmarks.serving import AppServer
from benchmarks.wire import Connection, Exchange

Result = TypeVar("Result")
_MOST_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cost:
    """What ``count`` exchanges cost, in milliseconds each: CPU of the server; and how long they took, of which."""

    count: int
    cpu: float
    per_second: float
    p50: float
    p99: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def measure(server: AppServer, exchange: Callable[[int], Exchange], numbers: range, callers: int) -> Cost:
    """Let ``callers`` at a time make an exchange for each of the numbers."""
    before = kernel.cpu_of_each(server.pids)
    started = time.perf_counter()
    try:
        took = _run(_all(server.port, exchange, numbers, callers))
    except ExceptionGroup as error:
        raise RuntimeError(f"{error.exceptions[0]}\n{server.log()}") from None
    seconds = time.perf_counter() - started
    used = sum(cpu - before.get(pid, 0.0) for pid, cpu in kernel.cpu_of_each(server.pids).items())
    took.sort()
    return Cost(
        count=len(took),
        cpu=used / len(took) * 1e3,
        per_second=len(took) / seconds,
        p50=statistics.median(took) * 1e3,
        p99=took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
    )


def _run(work: Coroutine[None, None, Result]) -> Result:
    """On uvloop, where it is installed: it makes the driver cheaper, and is not needed."""
    try:
        run = importlib.import_module("uvloop").run
    except ImportError:
        run = asyncio.run
    result: Result = run(work)
    return result


async def _all(port: int, exchange: Callable[[int], Exchange], numbers: range, callers: int) -> list[float]:
    took: list[float] = []
    waiting = iter(numbers)
    async with asyncio.timeout(_MOST_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(min(callers, len(numbers))):
            group.create_task(_caller(Connection(port), exchange, waiting, took))
    return took


async def _caller(
    connection: Connection, exchange: Callable[[int], Exchange], numbers: Iterator[int], took: list[float]
) -> None:
    for number in numbers:
        started = time.perf_counter()
        work = exchange(number)
        try:
            raw = next(work)
            while True:
                raw = work.send(await connection.request(raw))
        except StopIteration:
            took.append(time.perf_counter() - started)
    connection.close()

"""Event loops beside the test's own, each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")
_PATIENCE = 20  # seconds


class OtherLoop:
    """A loop that runs until the test is done with it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, Result]) -> asyncio.Future[Result]:
        """Begin it there; what is awaited here is its result."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Its result."""
        return await asyncio.wait_for(self.begin(work), _PATIENCE)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()


@contextmanager
def other_loops(count: int) -> Iterator[list[OtherLoop]]:
    """So many loops."""
    loops = [OtherLoop() for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.end()

"""Ours, with a look every 2 ms of CPU at what is running. The samples are written when the server ends."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

from benchmarks.apps import ours
from mfa_middleware.passage import Message, Receive, Scope, Send

_SECONDS = 0.002
_DEEPEST = 60

stacks: Counter[str] = Counter()


def look(_: int, frame: FrameType | None) -> None:
    """Note the stack, innermost function first."""
    seen: list[str] = []
    while frame is not None and len(seen) < _DEEPEST:
        code = frame.f_code
        seen.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    stacks["\n".join(seen)] += 1


def write() -> None:
    """Keep what was seen."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    Path(os.environ["BENCH_SAMPLES"]).write_text(json.dumps(stacks))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Ours; from the server's start to its end the looking goes on."""
    if scope["type"] != "lifespan":
        await ours.app(scope, receive, send)
        return

    async def until_the_end() -> Message:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            write()
        return message

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
    await ours.app(scope, until_the_end, send)

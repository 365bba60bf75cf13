"""Ours, in a process that tells the garbage collector not to look again at what start-up has made."""

from __future__ import annotations

import gc

from benchmarks.apps import ours
from mfa_middleware.passage import Message, Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """As an app's own start-up may do it."""

    async def freezing(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            gc.collect()
            gc.freeze()
        await send(message)

    await ours.app(scope, receive, freezing if scope["type"] == "lifespan" else send)

"""The steps of a process: every statement that it gives a database, every verb that it asks of Redis.

At one of them something may happen: the process kills itself, or the engine fails, before the step or after its work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import asyncpg
import time_machine
import uvicorn

from mfa_middleware import MFA, MFAMiddleware, Settings
from mfa_middleware.errors import Unavailable
from mfa_middleware.stores.protocols import TokenStore
from tests.rules.flows import FLOWS, Facts, Flow
from tests.world import NOON, LoginApp

#: What a process does last: give its answer.
ANSWER = "answer"
LOST = "the reply is lost"
RESET = "the connection is reset"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Steps:
    """Counts steps while ``armed``. At number ``at``, from 1, the process ends, or its engine fails by ``fault``."""

    at: int = 0
    fault: str = ""
    armed: bool = False
    names: list[str] = field(default_factory=list)

    def before(self, name: str) -> None:
        if self.armed:
            self.names.append(name)
            if self.struck and not self.fault:
                die()

    @property
    def struck(self) -> bool:
        return self.armed and len(self.names) == self.at

    async def statement(self, connection: Any, query: str, run: Callable[[], Any]) -> Any:
        """A statement on a connection to PostgreSQL."""
        self.before(query.partition("\n")[0])
        if self.struck:
            if self.fault == LOST:
                await run()
            connection.terminate()
            self.armed = False
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return await run()

    async def verb(self, name: str, run: Callable[[], Any]) -> Any:
        """A verb of the token store."""
        self.before(name)
        if self.struck:
            if self.fault == LOST:
                await run()
            self.armed = False
            raise Unavailable("redis: ConnectionError")
        return await run()

    def watch(self, mfa: MFA) -> None:
        """Count what this ``MFA`` asks of Redis."""
        core = mfa.parts.core
        mfa.parts.core = replace(core, token_store=_Watched(core.token_store, self))

    @contextmanager
    def watching_databases(self) -> Iterator[None]:
        """Count what is given to databases from here on."""
        fetch, execute, connect = asyncpg.Connection.fetch, asyncpg.Connection.execute, sqlite3.connect

        async def fetched(connection: Any, query: str, *arguments: Any) -> Any:
            return await self.statement(connection, query, lambda: fetch(connection, query, *arguments))

        async def executed(connection: Any, query: str) -> Any:
            return await self.statement(connection, query, lambda: execute(connection, query))

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda query: self.before(query.partition("\n")[0]))
            return connection

        with (
            patch.object(asyncpg.Connection, "fetch", fetched),
            patch.object(asyncpg.Connection, "execute", executed),
            patch.object(sqlite3, "connect", connected),
        ):
            yield


class _Watched:
    """A token store whose verbs are steps."""

    def __init__(self, store: TokenStore, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name in ("open", "close", "check"):
            return verb
        return lambda *given, **named: self._steps.verb(name, lambda: verb(*given, **named))


# --------------------------------------------------------------------------------------- what runs in another process


def go_through(flow: str, settings: dict[str, Any], orders: Connection) -> None:
    """Go through a flow as often as ordered, each time in a process of its own that kills itself before a step.

    An order is what the user knows, and the step's number. It is answered with the steps, if there were fewer; else
    with None. All that takes long to make is made once, and forked.
    """
    steps = Steps()
    with steps.watching_databases(), time_machine.travel(NOON, tick=False):
        mfa = MFA(Settings(**settings))
        steps.watch(mfa)
        while order := orders.recv():
            facts, steps.at = order
            child = os.fork()
            if not child:
                try:
                    asyncio.run(_act(FLOWS[flow], mfa, facts, steps))
                    orders.send(steps.names)
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status):
                orders.send(None if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "failed")


async def _act(flow: Flow, mfa: MFA, facts: Facts, steps: Steps) -> None:
    await mfa.open(alone=False)
    steps.armed = True
    await flow.act(mfa, facts)
    steps.before(ANSWER)
    steps.armed = False
    await mfa.close()


def serve(settings: dict[str, Any], port: int, at: int, names: Any) -> None:
    """A server that kills itself before step ``at`` of its first answer to a code."""
    steps = Steps(at)
    app = MFAMiddleware(LoginApp(), settings=Settings(**settings))
    steps.watch(app.mfa)

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        steps.armed = scope["type"] == "http" and scope["path"] == "/mfa/verify" and not steps.names

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                steps.before(ANSWER)
                if steps.armed:
                    names.put(steps.names)
            await send(message)

        await app(scope, receive, sending)

    with steps.watching_databases(), time_machine.travel(NOON, tick=False):
        uvicorn.run(answering, port=port, log_level="critical", lifespan="off")

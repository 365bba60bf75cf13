"""Rules 1 to 4 and 7: whatever a process was about to do when it was killed, or when an engine failed it.

Each flow is gone through once to learn its steps, and then once for each of them.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx2
import pytest
import time_machine
from redis import Redis

from mfa_middleware import MFA, Settings
from mfa_middleware.stores.sql import migrate
from tests.engines import EngineMissing, PostgreSQL, Valkey, free_port, wait_until
from tests.forking import context
from tests.rules import steps
from tests.rules.conftest import KEY
from tests.rules.flows import FLOWS, RELEASED, Facts, Flow, Seen, look, outcome
from tests.rules.steps import ANSWER, LOST, RESET, Steps
from tests.world import HELD

pytestmark = pytest.mark.slow

PATIENCE = 30
numbers = itertools.count()


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[str, str]]:
    """The URLs of a Valkey and of a PostgreSQL."""
    try:
        valkey, postgresql = Valkey(), PostgreSQL()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey, postgresql:
        asyncio.run(migrate(Settings(database_url=postgresql.url)))
        yield valkey.url, postgresql.url


@dataclass
class World:
    """A server that was there all the time, and the settings that all share."""

    mfa: MFA
    redis: Redis
    settings: dict[str, Any]

    async def prepare(self, flow: Flow) -> Facts:
        return await flow.prepare(self.mfa, f"user-{next(numbers)}")

    async def look(self, facts: Facts) -> Seen:
        return await look(self.mfa, self.redis, facts)


@pytest.fixture(params=["postgresql"])
async def world(
    request: pytest.FixtureRequest, engines: tuple[str, str], flow: str, tmp_path: Path, clock: time_machine.Traveller
) -> AsyncIterator[World]:
    database = engines[1] if request.param == "postgresql" else f"sqlite:///{tmp_path}/mfa.sqlite3"
    settings = {
        "redis_url": engines[0],
        "database_url": database,
        "secret_key": KEY,
        "login_user": "json:/user_id",
        "request_user": "header:X-User",
        "engine_timeout": 10,
        **FLOWS[flow].settings,
    }
    mfa = MFA(Settings(**settings))
    await mfa.open(alone=False)
    with Redis.from_url(engines[0]) as redis:
        yield World(mfa, redis, settings)
    await mfa.close()


async def until_it_ends(process: BaseProcess) -> int | None:
    """How the process ended; 0 when by itself."""
    await asyncio.to_thread(process.join, PATIENCE)
    return process.exitcode


async def killed_at_every_step(world: World, name: str) -> None:
    flow, seen, complete = FLOWS[name], list[Seen](), None
    orders, given = context.Pipe()
    process = context.Process(target=steps.go_through, args=(name, world.settings, given))
    process.start()
    for at in itertools.count(1):
        facts = await world.prepare(flow)
        orders.send((facts, at))
        assert await asyncio.to_thread(orders.poll, PATIENCE)
        complete = orders.recv()
        seen.append(await world.look(facts))
        await flow.check(world.mfa, facts, seen[-1])
        if complete is not None:
            break
    orders.send(None)
    assert await until_it_ends(process) == 0
    assert complete is not None
    assert len(complete) == at - 1 > 1
    assert complete[-1] == ANSWER
    assert [state for state, _ in itertools.groupby(seen)] == flow.states


@pytest.mark.parametrize("flow", FLOWS)
async def test_killed_before_any_step_it_leaves_what_some_steps_explain(world: World, flow: str):
    """Every state is seen, each in its turn, and no other."""
    await killed_at_every_step(world, flow)


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("flow", ["RightCode", "RecoveryCode", "Confirm", "Unbind"])
async def test_killed_before_any_step_on_sqlite_it_leaves_what_some_steps_explain(world: World, flow: str):
    await killed_at_every_step(world, flow)


@pytest.mark.parametrize("flow", FLOWS)
async def test_an_engine_that_fails_at_any_step_is_unavailable_and_leaves_what_some_steps_explain(
    world: World, flow: str
):
    """Whether it failed before the step, or after its work was done; the same server goes on."""
    steps, expected = Steps(), FLOWS[flow]
    mfa = MFA(Settings(**world.settings))
    with steps.watching_databases():
        steps.watch(mfa)
        await mfa.open(alone=False)
        for steps.fault in (RESET, LOST):
            for steps.at in itertools.count(1):
                facts = await world.prepare(expected)
                steps.names, steps.armed = [], True
                found = await outcome(expected.act(mfa, facts))
                complete, steps.armed = steps.armed, False
                state = await world.look(facts)
                assert found == "unavailable" or state in expected.states[-expected.answered :]
                assert state in expected.states
                await expected.check(mfa, facts, state)
                if complete:
                    break
            assert steps.at == len(steps.names) + 1 > 2
            assert found == RELEASED
        await mfa.close()


# ----------------------------------------------------------------------------------------------------- over a server


@pytest.mark.parametrize("flow", ["RightCode"])
async def test_a_server_that_is_killed_before_any_step_of_an_answer_gives_no_login(world: World, flow: str):
    """And the next one takes over where it was."""
    done: list[str] = []
    for at in itertools.count(1):
        facts = await world.prepare(FLOWS[flow])
        names, port = context.SimpleQueue(), free_port()
        process = context.Process(target=steps.serve, args=(world.settings, port, at, names))
        process.start()
        try:
            answer = await answered(port, facts)
        finally:
            process.kill()
        await until_it_ends(process)
        state = await world.look(facts)
        assert state in FLOWS[flow].states
        await FLOWS[flow].check(world.mfa, facts, state)
        if answer is not None:
            done = names.get()
            break
    assert answer is not None
    assert answer.content == HELD.body
    assert len(done) == at - 1 > 4


async def answered(port: int, facts: Facts) -> httpx2.Response | None:
    """The server's answer to the right code; None when it has died over it."""
    await asyncio.to_thread(until_it_listens, port)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        try:
            body = {"mfaToken": facts.token, "factor": "totp", "code": facts.code()}
            return await client.post("/mfa/verify", json=body)
        except httpx2.TransportError:
            return None


def until_it_listens(port: int) -> None:
    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    wait_until(listens)

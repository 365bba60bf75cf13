"""Several processes on one database, all starting each round at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

from mfa_middleware.models import Changes, Counter, Once, Proof, Spend, UserFactors
from mfa_middleware.stores.protocols import AuthenticatorStore, LockPolicy
from mfa_middleware.stores.sql import migrate, open_store
from tests.forking import context
from tests.stores.databases import NOW, authenticator, settings

PROCESSES = 4
ROUNDS = 25

#: What one process does in one round: the process's number and the round's are given.
Turn = Callable[[AuthenticatorStore, int, int], Awaitable[object]]


def race(turn: Turn, url: str) -> list[list[Any]]:
    """For each round what the processes' turns returned. ``turn`` must be a function of a module."""
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        barrier = manager.Barrier(PROCESSES)
        futures = [pool.submit(_run, turn, url, number, barrier) for number in range(PROCESSES)]
        runs = [future.result(100) for future in futures]
    return [list(results) for results in zip(*runs, strict=True)]


def _run(turn: Turn, url: str, process: int, barrier: Barrier) -> list[object]:
    return asyncio.run(_turns(turn, url, process, barrier))


async def _turns(turn: Turn, url: str, process: int, barrier: Barrier) -> list[object]:
    store = open_store(settings(url))
    barrier.wait(60)
    await store.open()
    results = []
    for number in range(ROUNDS):
        barrier.wait(60)
        results.append(await turn(store, process, number))
    await store.close()
    return results


def upgrade(url: str) -> str:
    return asyncio.run(migrate(settings(url)))


async def spend_counter(store: AuthenticatorStore, _: int, number: int) -> bool:
    return await _spend(store, Counter(number))


async def spend_once(store: AuthenticatorStore, _: int, number: int) -> bool:
    return await _spend(store, Once(str(number).encode()))


async def fail(store: AuthenticatorStore, _: int, number: int) -> int:
    return (await store.fail("alice", at=NOW + number, policy=LockPolicy())).failures


async def block(store: AuthenticatorStore, _: int, number: int) -> bool:
    return await store.block_session(str(number).encode(), NOW + 10, at=NOW)


async def lengthen(store: AuthenticatorStore, _: int, number: int) -> object:
    def longer(was: UserFactors) -> Changes:
        return Changes(put=(authenticator(label=f"{was.authenticators[0].label}+"),))

    return await store.change("alice", longer)


async def bind_first(store: AuthenticatorStore, process: int, number: int) -> int:
    """Bind an authenticator to a new user, if none is there; tells how many were."""
    user = f"user-{number}"

    def first(was: UserFactors) -> Changes:
        return Changes() if was.authenticators else Changes(put=(authenticator(user, f"{process}-{number}"),))

    return len((await store.change(user, first)).authenticators)


async def spend_or_rename(store: AuthenticatorStore, process: int, number: int) -> bool:
    """One process spends step after step, the others write the whole row meanwhile."""
    if process == 0:
        return await _spend(store, Counter(number))
    await store.change("alice", lambda was: Changes(put=was.authenticators))
    return False


async def spend_or_renew(store: AuthenticatorStore, process: int, number: int) -> bool:
    """One process renews the secret, the others spend a proof of the secret that they saw."""
    if process:
        return await _spend(store, Once(f"{process}-{number}".encode()), revision=number + 1)
    await store.change("alice", lambda _: Changes(put=(authenticator(revision=number + 2),)))
    return await _spend(store, Once(f"late-{number}".encode()), revision=number + 1)


async def _spend(store: AuthenticatorStore, proof: Proof, revision: int = 1) -> bool:
    return await store.spend(Spend("alice", "one", revision, proof), at=NOW, hard=100)

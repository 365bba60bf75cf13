"""The token store on a Cluster of three: one slot for a user, slots that move, and a node that dies."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from tests.engines import Valkey, ValkeyCluster, ask
from tests.stores.token_verbs import VERBS, begin, login, opened, reason, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    """It serves what is left when a node is away, so that the tests can tell whom that concerns."""
    with ValkeyCluster("--cluster-require-full-coverage", "no") as made:
        yield made


def slot(cluster: ValkeyCluster, key: str) -> str:
    return ask(cluster.nodes[0], "CLUSTER", "KEYSLOT", key)


def user_on(cluster: ValkeyCluster, node: Valkey) -> str:
    """A new user, whose keys belong to a node."""
    while cluster.owner(f"{{{(user := secrets.token_hex(8))}}}") is not node:
        pass
    return user


def give(cluster: ValkeyCluster, slot: str, owner: Valkey) -> None:
    """Let a slot be a node's; that one must know it first."""
    for node in sorted(cluster.nodes, key=lambda node: node is not owner):
        ask(node, "CLUSTER", "SETSLOT", slot, "NODE", cluster.id(owner))


def keys_of(node: Valkey, user: str) -> list[str]:
    return [key for key in ask(node, "KEYS", "*").split("\n") if user in key]


async def test_all_keys_of_a_user_are_in_one_slot(cluster: ValkeyCluster) -> None:
    """And those of many users are in many, on every node."""
    users = [user_on(cluster, node) for node in cluster.nodes]
    async with opened(cluster.url) as store:
        for user, home in zip(users, cluster.nodes, strict=True):
            for verb in (name for name in VERBS if name != "forget"):
                await begin(store, user)
                await VERBS[verb](store, user)
                await store.issue(user, verb, b"record", ttl=300, pending=3, failures=1, locked_for=0)
            kept = {node.port: keys_of(node, user) for node in cluster.nodes}
            assert [port for port, keys in kept.items() if keys] == [home.port]
            kinds = {key.split(":")[2] for key in kept[home.port]}
            assert kinds == {"t", "pending", "failures", "proofs", "taken", "r", "sendings"}
            assert {slot(cluster, key) for key in kept[home.port]} == {slot(cluster, f"{{{user}}}")}
            await store.forget(user, forgive=True)


async def test_a_slot_that_has_moved_is_followed(cluster: ValkeyCluster) -> None:
    """The real MOVED, to every verb."""
    one, other = cluster.nodes[:2]
    async with opened(cluster.url) as store:
        for verb in VERBS:
            user = user_on(cluster, one)
            moved = slot(cluster, f"{{{user}}}")
            give(cluster, moved, other)
            await VERBS[verb](store, user)
            await begin(store, user)
            assert not keys_of(one, user)
            assert keys_of(other, user)
            ask(other, "FLUSHALL")
            give(cluster, moved, one)


async def test_while_a_slot_moves_its_users_wait_and_nothing_is_lost(cluster: ValkeyCluster) -> None:
    """The real ASK and TRYAGAIN: what is kept is on two nodes, so some verbs cannot be done."""
    source, target = cluster.nodes[0], cluster.nodes[1]
    user, other = user_on(cluster, source), user_on(cluster, source)
    moving = slot(cluster, f"{{{user}}}")
    async with opened(cluster.url) as store:
        await begin(store, user)
        await VERBS["charge"](store, user)
        ask(target, "CLUSTER", "SETSLOT", moving, "IMPORTING", cluster.id(source))
        ask(source, "CLUSTER", "SETSLOT", moving, "MIGRATING", cluster.id(target))
        token = next(key for key in keys_of(source, user) if ":t:" in key)
        ask(source, "MIGRATE", "127.0.0.1", str(target.port), token, "0", "5000")
        state = await store.read(user, "token")
        assert state is not None
        assert state.attempts == 1
        assert "redis: " in await reason(VERBS["take"](store, user))
        assert await login(store, other)
        for key in keys_of(source, user):
            ask(source, "MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000")
        give(cluster, moving, target)
        assert await VERBS["take"](store, user)
        assert not await store.take(user, "token", request="another", proofs=[], ttl=600, forgive=True)
        ask(target, "FLUSHALL")
        give(cluster, moving, source)


async def test_a_node_that_dies_concerns_its_own_users_alone_and_until_it_is_back(cluster: ValkeyCluster) -> None:
    """Also when the other nodes have forgotten the scripts."""
    dead, living = cluster.nodes[2], cluster.nodes[:2]
    async with opened(cluster.url, timeout=2) as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(20))))
        user = user_on(cluster, dead)
        await begin(store, user)
        dead.kill()
        said = [await reason(VERBS[verb](store, user)) for verb in VERBS]
        assert all(one.startswith("redis: ") for one in said)
        for node in living:
            ask(node, "SCRIPT", "FLUSH")
            assert await login(store, user_on(cluster, node))
        dead.start()

        async def whole() -> bool:
            return cluster.well()

        await until(whole)
        assert await login(store, user_on(cluster, dead))


async def test_a_cluster_that_was_killed_is_well_again_without_reopening(cluster: ValkeyCluster) -> None:
    async with opened(cluster.url, timeout=2) as store:
        assert await login(store)
        for node in cluster.nodes:
            node.kill()
        assert [(await reason(verb(store))).startswith("redis: ") for verb in VERBS.values()] == [True] * len(VERBS)
        for node in cluster.nodes:
            node.start()

        async def whole() -> bool:
            return cluster.well()

        await until(whole)
        assert all(await asyncio.gather(*(login(store, user_on(cluster, node)) for node in cluster.nodes)))

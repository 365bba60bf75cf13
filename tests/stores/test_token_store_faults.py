"""The token store when its server is away, hung, full, read-only, or loses its answers: every fault on every verb."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast

import pytest
from redis.asyncio import Redis

from mfa_middleware.errors import Unavailable
from mfa_middleware.stores.protocols import Gate, TokenStore
from mfa_middleware.stores.redis.scripts import VERBS as SCRIPTS
from mfa_middleware.stores.redis.scripts import source
from tests.engines import Valkey
from tests.fault_proxy import Fault, FaultProxy, Matching, holding
from tests.stores.token_verbs import ADDING, POLICY, READING, VERBS, begin, login, make, opened, reason, until

#: What the verbs are asked by, beside what opens a connection.
ASKED = holding(b"EVAL", b"HMGET")
#: Seconds, where a test waits for the time-out.
SHORT = 1.0
ANSWERS = {
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "MOVED": b"-MOVED 1 127.0.0.1:1\r\n",
    "ASK": b"-ASK 1 127.0.0.1:1\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
    "TRYAGAIN": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    "NOSCRIPT": b"-NOSCRIPT No matching script.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "READONLY in a script of Redis 6": b"-ERR Error running script (call to f_1): @user_script:1: -READONLY You\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down\r\n",
    "MISCONF": b"-MISCONF Errors writing to the AOF file\r\n",
    "BUSY": b"-BUSY Redis is busy running a script\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
    "NOPERM": b"-NOPERM this user has no permissions\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "ERR": b"-ERR unknown command\r\n",
    "no protocol": b"no protocol\r\n",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Valkey]:
    """For tests that leave it as it was."""
    with Valkey() as running:
        yield running


@pytest.fixture
def proxy(shared: Valkey) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", shared.port)) as made:
        yield made


@pytest.fixture
async def behind(shared: Valkey) -> AsyncIterator[Redis]:
    """A client of the server behind the proxy."""
    async with Redis.from_url(shared.url) as client:
        yield client


@pytest.fixture
def server() -> Iterator[Valkey]:
    """For tests that kill it, hang it or change it."""
    with Valkey() as running:
        yield running


@pytest.fixture
async def raw(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


def url(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


async def begun(store: TokenStore) -> dict[str, str]:
    """For each verb a user of its own, who has something for it to work on."""
    users = {verb: secrets.token_hex(8) for verb in VERBS}
    await asyncio.gather(*(begin(store, user) for user in users.values()))
    return users


@asynccontextmanager
async def one_for_each(url: str, timeout: float = 5) -> AsyncIterator[Mapping[str, TokenStore]]:
    """A store for each verb: what befalls a connection befalls all calls on it, and so each verb has one of its own."""
    async with AsyncExitStack() as stack:
        yield {verb: await stack.enter_async_context(opened(url, timeout)) for verb in VERBS}


Stores = TokenStore | Mapping[str, TokenStore]


def _calls(stores: Stores, users: Mapping[str, str]) -> list[Awaitable[object]]:
    each = stores if isinstance(stores, Mapping) else dict.fromkeys(VERBS, stores)
    return [VERBS[verb](each[verb], user) for verb, user in users.items()]


async def call_all(stores: Stores, users: Mapping[str, str]) -> dict[str, object]:
    """What all verbs answer that are called at once."""
    answers = await asyncio.gather(*_calls(stores, users))
    return dict(zip(users, answers, strict=True))


async def refuse_all(stores: Stores, users: Mapping[str, str]) -> list[str]:
    """The reasons of the refusals that all verbs must end in."""
    return await asyncio.gather(*(reason(call) for call in _calls(stores, users)))


async def kept(client: Redis, users: Mapping[str, str]) -> dict[str, object]:
    """What the server keeps of each user, but for what is random and what is the time."""
    return {verb: [await _value(client, key) for key in await _keys(client, user)] for verb, user in users.items()}


async def _keys(client: Redis, user: str) -> Sequence[bytes]:
    return sorted([key async for key in client.scan_iter(f"mfa:{{{user}}}:*", count=10_000)])


async def _value(client: Redis, key: bytes) -> tuple[str, object]:
    kind, name = await client.type(key), key.decode().split(":", 2)[2]
    match kind:
        case b"hash":
            fields = cast("dict[bytes, bytes]", await client.hgetall(key))
            return name, {re.sub(rb"^w:.*", b"w:", field): value for field, value in fields.items()}
        case b"zset":
            return name, await client.zrange(key, 0, -1)
        case b"set":
            return name, await client.scard(key)
        case b"list":
            return name, await client.lrange(key, 0, -1)
        case _:
            return name, await client.get(key)


async def record(store: TokenStore, user: str) -> bytes | None:
    """What the user's token holds."""
    state = await store.read(user, "token")
    return None if state is None else state.record


def first_of_each(users: Mapping[str, str]) -> Matching:
    """The first request about each user."""
    left = {user.encode() for user in users.values()}

    def matching(request: bytes) -> bool:
        found = {user for user in left if user in request}
        left.difference_update(found)
        return bool(found)

    return matching


# ----------------------------------------------------------------------------------------------------- what is covered


def test_no_verb_is_left_out() -> None:
    """A new verb comes with its faults."""
    public = {name for name, _ in inspect.getmembers(TokenStore, inspect.isfunction) if not name.startswith("_")}
    assert public - {"open", "close", "check"} == VERBS.keys()


async def test_no_script_is_left_out(proxy: FaultProxy) -> None:
    async with opened(url(proxy)) as store:
        proxy.requests.clear()
        await call_all(store, await begun(store))
    sent = b"".join(proxy.requests)
    assert [verb for verb in SCRIPTS if hashlib.sha1(source(verb).encode()).hexdigest().encode() not in sent] == []


async def test_every_verb_is_one_round_trip(proxy: FaultProxy) -> None:
    async with opened(url(proxy)) as store:
        users = await begun(store)
        await call_all(store, users)
        proxy.requests.clear()
        for verb, user in users.items():
            await VERBS[verb](store, user)
    assert len(proxy.requests) == len(VERBS)


# ------------------------------------------------------------------------------------------- away, and well again


#: Those that only the time-out ends.
SILENT = (Fault.HANG, Fault.SLOW)
FAULTS: Mapping[str, Mapping[str, object]] = {
    "connection refused": {"fault": Fault.REFUSE},
    "reset": {"fault": Fault.RESET},
    "closed": {"fault": Fault.CLOSE},
    "every reply lost": {"fault": Fault.LOSE_REPLY, "matching": ASKED},
    "hung": {"fault": Fault.HANG},
    "hung, but connecting": {"fault": Fault.HANG, "matching": ASKED},
    "too slow": {"fault": Fault.SLOW, "seconds": 20, "matching": ASKED},
    **{name: {"fault": Fault.ANSWER, "answer": answer, "matching": ASKED} for name, answer in ANSWERS.items()},
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=[pytest.mark.slow] * (plan["fault"] in SILENT)) for name, plan in FAULTS.items()],
)
async def test_while_the_server_fails_every_verb_is_unavailable_and_afterwards_well_at_once(
    proxy: FaultProxy, fault: str
) -> None:
    """With the same client; and the reason does not tell where the server is."""
    async with one_for_each(url(proxy), SHORT if FAULTS[fault]["fault"] in SILENT else 5) as stores:
        users = await begun(stores["issue"])
        proxy.set(**FAULTS[fault])  # type: ignore[arg-type]
        said = await refuse_all(stores, users)
        assert all(re.fullmatch(r"redis: \w+", one) for one in said), said
        assert fault == "connection refused" or proxy.struck >= len(VERBS)
        proxy.heal()
        assert all([await login(store) for store in stores.values()])
        await call_all(stores, users)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.MUTE, Fault.RESET, Fault.CLOSE, Fault.SLOW])
async def test_what_is_lost_or_late_once_is_done_once_and_answered(
    proxy: FaultProxy, behind: Redis, fault: Fault
) -> None:
    """An attempt is charged once, a token issued once, and the winner is told so."""
    async with one_for_each(url(proxy), timeout=2) as stores:
        expected, users = await begun(stores["issue"]), await begun(stores["issue"])
        answers = await call_all(stores, expected)
        proxy.set(fault, matching=first_of_each(users), seconds=0.1)
        assert await call_all(stores, users) == answers
        assert proxy.struck == len(VERBS)
        assert await kept(behind, users) == await kept(behind, expected)


@pytest.mark.slow
async def test_what_the_server_carries_out_after_all_is_done_once(proxy: FaultProxy, behind: Redis) -> None:
    """Both requests of each verb hang, the caller is refused, and then the server goes on."""

    async def served() -> int:
        stats = await behind.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "hmget"))

    async with one_for_each(url(proxy), SHORT) as stores:
        expected, users = await begun(stores["issue"]), await begun(stores["issue"])
        await call_all(stores, expected)
        before = await served()
        proxy.set(Fault.HANG, matching=ASKED)
        await refuse_all(stores, users)
        held = proxy.struck
        assert held > len(VERBS)
        proxy.heal()

        async def all_done() -> bool:
            return await served() - before >= held

        # Reading what is kept is asked of `behind` in other ways than the verbs are.
        await until(all_done)
        assert await kept(behind, users) == await kept(behind, expected)


@pytest.mark.slow
async def test_an_answer_that_comes_too_late_is_given_to_nobody_else(proxy: FaultProxy) -> None:
    """Who waits behind it asks again on another connection; and if it is late there as well, is refused with it."""
    async with opened(url(proxy), SHORT) as store:
        users = await begun(store)
        await store.issue("slow", "token", b"the slow one", ttl=300, pending=10, failures=0, locked_for=0)
        proxy.set(Fault.SLOW, matching=holding(b"{slow}"), seconds=SHORT * 0.75)
        late = asyncio.create_task(reason(store.read("slow", "token")))
        while not late.done():
            for user in users.values():
                with suppress(Unavailable):
                    assert await record(store, user) == b"record"
            await asyncio.sleep(0.01)
        assert await late == "redis: TimeoutError"
        proxy.heal()
        assert {await record(store, user) for user in users.values()} == {b"record"}


# --------------------------------------------------------------------------------------------- real servers that fail


async def test_a_killed_server_is_unavailable_and_well_again_without_reopening(server: Valkey) -> None:
    async with opened(server.url) as store:
        server.kill()
        for verb in VERBS.values():
            assert "ConnectionError" in await reason(verb(store))
        assert "ConnectionError" in await reason(store.open())
        assert "ConnectionError" in await reason(store.check())
        server.start()
        assert await login(store)


async def test_a_hung_server_is_unavailable_within_the_time_out_and_well_again(server: Valkey) -> None:
    async with opened(server.url, timeout=0.4) as store:
        assert await login(store)
        server.pause()
        said = await asyncio.gather(*(reason(verb(store)) for verb in [*VERBS.values()] * 10))
        assert {one.removeprefix("redis: ") for one in said} <= {"TimeoutError", "ConnectionError"}
        server.resume()
        assert await login(store)


@pytest.mark.slow
async def test_many_calls_at_once_share_one_connection(server: Valkey, raw: Redis) -> None:
    """A ``max_connections`` in the URL is taken, and limits nothing."""
    async with opened(f"{server.url}?max_connections=1", timeout=20) as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(300))))
        assert len(await raw.client_list()) == 2  # and the test's own


async def test_on_a_full_server_every_verb_is_done_or_left_undone(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        expected, users = await begun(store), await begun(store)
        await call_all(store, expected)
        before = await kept(raw, users)
        await raw.config_set("maxmemory", "1")
        refused = {}
        for verb, user in users.items():
            try:
                await VERBS[verb](store, user)
            except Unavailable as error:
                refused[verb] = error.reason
        await raw.config_set("maxmemory", "0")
        done = await kept(raw, expected)
        assert await kept(raw, users) == {verb: (before if verb in refused else done)[verb] for verb in VERBS}
        assert refused == dict.fromkeys(ADDING, "redis: OutOfMemoryError")
        assert await login(store)


async def test_a_server_that_has_become_a_replica_is_unavailable_and_well_as_a_primary(
    server: Valkey, raw: Redis
) -> None:
    async with opened(server.url) as store:
        users = await begun(store)
        await raw.execute_command("REPLICAOF", "127.0.0.1", "1")
        for verb, user in users.items():
            if verb not in READING:
                assert await reason(VERBS[verb](store, user)) == "redis: NotPrimary", verb
        assert any("replica" in sentence for sentence in await store.check())
        await raw.execute_command("REPLICAOF", "NO", "ONE")
        await call_all(store, users)


async def test_when_the_address_moves_to_a_new_primary_the_old_ones_connection_is_left(server: Valkey) -> None:
    """As behind a name or an address of the primary: nobody need restart, and not one of many callers is refused."""
    with Valkey() as successor, FaultProxy(("127.0.0.1", server.port)) as address:
        async with opened(url(address)) as store, Redis.from_url(server.url) as old:
            assert all(await asyncio.gather(*(login(store) for _ in range(40))))
            address.lead_to(("127.0.0.1", successor.port))
            await old.execute_command("REPLICAOF", "127.0.0.1", str(successor.port))
            assert all(await asyncio.gather(*(login(store) for _ in range(40))))


async def test_scripts_that_are_forgotten_are_told_again(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        expected, users = await begun(store), await begun(store)
        answers = await call_all(store, expected)
        for verb, user in users.items():
            await raw.script_flush()
            assert await VERBS[verb](store, user) == answers[verb]
        assert await kept(raw, users) == await kept(raw, expected)


async def test_a_flush_ends_tokens_and_lets_nobody_in(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await begin(store)
        await raw.flushall()
        await raw.script_flush()
        charged = await store.charge(
            "user", "token", request="r", factor="totp", attempts=5, backup=False, policy=POLICY
        )
        assert charged.gate is Gate.GONE
        assert await store.read("user", "token") is None
        assert not await VERBS["take"](store)
        assert not await VERBS["proven"](store)
        assert not await VERBS["prepare"](store)
        assert not await VERBS["prove_token"](store)
        assert await login(store)


async def test_a_flush_between_any_two_steps_of_a_login_releases_nothing_twice(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await begin(store)
        assert await VERBS["take"](store)
        await raw.flushall()
        assert not await VERBS["take"](store)
        await begin(store, "other")
        await VERBS["charge"](store, "other")
        await raw.flushall()
        assert not await VERBS["take"](store, "other")


async def test_a_password_that_is_changed_while_it_runs_is_unavailable(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await raw.config_set("requirepass", "new")
        await raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await reason(login(store)) == "redis: AuthenticationError"


async def test_a_server_that_was_never_there_is_unavailable_until_it_is(server: Valkey) -> None:
    server.kill()
    store = make(server.url)
    assert await reason(store.open()) == "redis: ConnectionError"
    server.start()
    assert await login(store)
    await store.close()

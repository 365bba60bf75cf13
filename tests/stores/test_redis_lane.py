"""The connection to Redis that all calls share: each is given its own reply, or none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TooLate

from mfa_middleware.errors import Unavailable
from mfa_middleware.stores.protocols import TokenStore
from mfa_middleware.stores.redis.connect import connect
from mfa_middleware.stores.redis.lane import Lane
from mfa_middleware.stores.redis.wire import Wire
from tests.engines import Valkey
from tests.fault_proxy import Fault, FaultProxy, holding
from tests.other_loops import other_loops
from tests.stores.token_verbs import POLICY, VERBS, begin, login, make, opened

#: Seconds; longer than any test takes that does not wait for it.
LONG = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
def proxy(server: Valkey) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.port)) as made:
        yield made


@pytest.fixture
async def raw(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def lane(proxy: FaultProxy) -> AsyncIterator[Lane]:
    made = lane_to(proxy)
    yield made
    await made.close()


def lane_to(proxy: FaultProxy, timeout: float = LONG) -> Lane:
    client = connect(f"redis://127.0.0.1:{proxy.port}/0", timeout * 2)
    assert isinstance(client, Redis)
    return Lane(client.connection_pool, timeout)


async def echo(lane: Lane, said: str) -> object:
    return await asyncio.wait_for(lane.execute_command("ECHO", said), 3 * LONG)


def connections(proxy: FaultProxy) -> int:
    return sum(b"HELLO" in request for request in proxy.requests)


async def test_each_of_many_callers_hears_its_own_reply_though_half_of_them_leave(
    proxy: FaultProxy, lane: Lane
) -> None:
    """Some leave before they have written, some while they wait, and some when their reply is there."""
    calls = [asyncio.create_task(echo(lane, f"{number}" * 50)) for number in range(1000)]
    for number, call in enumerate(calls):
        if number % 50 == 0:
            await asyncio.sleep(0)
        if number % 2:
            call.cancel()
    said = await asyncio.gather(*calls, return_exceptions=True)
    assert all(one == (f"{number}" * 50).encode() for number, one in enumerate(said) if number % 2 == 0)
    assert await echo(lane, "afterwards") == b"afterwards"
    assert connections(proxy) == 1


async def test_what_is_asked_in_one_round_of_the_loop_is_written_once(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await echo(lane, "connect")
    written: list[bytes] = []
    write = Wire.write

    def counted(wire: Wire, packed: bytes) -> bool:
        written.append(packed)
        return write(wire, packed)

    monkeypatch.setattr(Wire, "write", counted)
    assert await asyncio.gather(*(echo(lane, str(number)) for number in range(50))) == [
        str(number).encode() for number in range(50)
    ]
    assert len(written) == 1


async def test_large_commands_that_fill_the_socket_keep_their_order(lane: Lane) -> None:
    """Also when who wrote leaves before all of it is sent."""
    calls = [asyncio.create_task(echo(lane, f"{number:04}" * 50_000)) for number in range(60)]
    while not (await asyncio.wait(calls[:1], timeout=0))[0]:
        await asyncio.sleep(0)
    for call in calls[1::2]:
        call.cancel()
    said = await asyncio.gather(*calls, return_exceptions=True)
    assert all(one == (f"{number:04}" * 50_000).encode() for number, one in enumerate(said) if number % 2 == 0)
    assert await echo(lane, "afterwards") == b"afterwards"


async def test_an_error_is_told_to_who_asked_and_to_nobody_else(proxy: FaultProxy, lane: Lane) -> None:
    asked = echo(lane, "before"), lane.execute_command("NOTHING"), echo(lane, "after")
    before, wrong, after = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(wrong, ResponseError)
    assert (before, after) == (b"before", b"after")
    assert connections(proxy) == 1


async def test_a_reply_too_many_ends_the_connection(proxy: FaultProxy, lane: Lane) -> None:
    proxy.set(Fault.ANSWER, matching=holding(b"ECHO"), times=1, answer=b"+one\r\n+two\r\n")
    assert await echo(lane, "first") == b"one"
    assert await echo(lane, "second") == b"second"
    assert connections(proxy) == 2


async def test_a_late_reply_is_given_to_nobody(proxy: FaultProxy) -> None:
    """Nor to who asks on after it: the connection ends, and all who wait on it are told."""
    lane = lane_to(proxy, 0.2)
    assert await echo(lane, "connect") == b"connect"
    proxy.set(Fault.SLOW, matching=holding(b"late"), seconds=0.5, times=1)
    said = await asyncio.gather(*(echo(lane, one) for one in ("late", "behind it")), return_exceptions=True)
    assert {type(one) for one in said} == {TooLate}
    assert [await echo(lane, str(number)) for number in range(10)] == [str(number).encode() for number in range(10)]
    await lane.close()


async def test_callers_who_come_at_once_share_one_attempt_to_connect(proxy: FaultProxy, lane: Lane) -> None:
    assert await asyncio.gather(*(echo(lane, "a") for _ in range(100))) == [b"a"] * 100
    assert connections(proxy) == 1


async def test_callers_share_an_attempt_that_fails_and_the_next_tries_anew(proxy: FaultProxy, lane: Lane) -> None:
    proxy.set(Fault.RESET)
    said = await asyncio.gather(*(echo(lane, "a") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(one, LostConnection) for one in said)
    assert connections(proxy) == 1
    proxy.heal()
    assert await echo(lane, "again") == b"again"


async def test_an_attempt_that_hangs_is_given_up(proxy: FaultProxy) -> None:
    lane = lane_to(proxy, 0.2)
    proxy.set(Fault.HANG)
    said = await asyncio.gather(*(echo(lane, "a") for _ in range(10)), return_exceptions=True)
    assert {type(one) for one in said} == {TooLate}
    proxy.heal()
    assert await echo(lane, "again") == b"again"
    await lane.close()


async def test_who_leaves_while_it_is_being_connected_stops_nobody_else(proxy: FaultProxy, lane: Lane) -> None:
    leaving, staying = (asyncio.create_task(echo(lane, name)) for name in ("leaving", "staying"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"staying"
    assert connections(proxy) == 1


async def test_closing_refuses_who_waits(proxy: FaultProxy) -> None:
    """Also who waits for the connection."""
    lane, hung = lane_to(proxy), lane_to(proxy)
    await echo(lane, "connect")
    proxy.set(Fault.HANG)
    calls = [asyncio.create_task(echo(one, "a")) for one in (lane, hung) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.gather(lane.close(), hung.close())
    said = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, RedisError) for one in said)


async def test_when_the_connection_dies_each_who_waits_is_served_once_or_refused(proxy: FaultProxy, raw: Redis) -> None:
    """Over and over, under 50 callers: nobody's attempt is counted twice, and who was told so was counted."""
    users = [f"dies-{number}" for number in range(50)]
    async with opened(f"redis://127.0.0.1:{proxy.port}/0") as store:
        await asyncio.gather(*(begin(store, user) for user in users))
        served: Counter[str] = Counter()

        async def call(user: str) -> None:
            for request in range(10):
                with suppress(Unavailable):
                    await store.charge(
                        user, "token", request=str(request), factor="totp", attempts=99, backup=False, policy=POLICY
                    )
                    served[user] += 1

        calls = [asyncio.create_task(call(user)) for user in users]
        for fault in (Fault.LOSE_REPLY, Fault.RESET, Fault.CLOSE) * 3:
            struck = proxy.struck
            proxy.set(fault, matching=holding(b"EVAL"), times=1)
            while proxy.struck == struck and not all(one.done() for one in calls):
                await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
        assert proxy.struck > 1
        assert served.total() > 0
        for user in users:
            counted = int(await raw.hget(f"mfa:{{{user}}}:t:token", "attempts") or 0)
            assert served[user] <= counted <= 10


async def test_a_server_that_is_killed_under_load_is_well_again_at_once() -> None:
    with Valkey() as server:
        async with opened(server.url) as store:
            calls = [asyncio.create_task(login(store)) for _ in range(50)]
            await asyncio.sleep(0)
            server.kill()
            said = await asyncio.gather(*calls, return_exceptions=True)
            assert all(one is True or isinstance(one, Unavailable) for one in said)
            server.start()
            assert all(await asyncio.gather(*(login(store) for _ in range(50))))


def test_event_loops_one_after_another_use_one_store(server: Valkey) -> None:
    """And closing it in yet another leaves nothing open."""
    store = make(server.url)
    for _ in range(3):
        asyncio.run(store.open())
        assert asyncio.run(_all_verbs(store))
    asyncio.run(store.close())


async def _all_verbs(store: TokenStore) -> bool:
    await asyncio.gather(*(verb(store) for verb in VERBS.values()))
    return await login(store)


async def test_each_of_several_loops_has_a_connection_and_closing_ends_them_all(server: Valkey, raw: Redis) -> None:
    store = make(server.url)
    before = len(await raw.client_list())
    with other_loops(2) as loops:
        for number in range(20):
            assert await loops[number % 2].run(login(store))
        assert len(await raw.client_list()) == before + 2
        await loops[0].run(store.close())
        async with asyncio.timeout(LONG):
            while len(await raw.client_list()) > before:
                await asyncio.sleep(0.01)


async def test_several_loops_at_once_get_their_own_replies(server: Valkey) -> None:
    store = make(server.url)

    async def some() -> list[bool]:
        return [await login(store) for _ in range(50)]

    with other_loops(3) as loops:
        done = await asyncio.gather(*(loop.run(some()) for loop in loops))
        assert done == [[True] * 50] * 3
        await loops[0].run(store.close())


async def test_a_call_that_is_cut_off_by_closing_is_not_asked_again(proxy: FaultProxy) -> None:
    store = make(f"redis://127.0.0.1:{proxy.port}/0")
    await begin(store)
    proxy.set(Fault.SLOW, matching=holding(b"HMGET"), times=1, seconds=1.0)
    call = asyncio.create_task(store.read("user", "token"))
    async with asyncio.timeout(LONG):
        while not any(b"HMGET" in request for request in proxy.requests):
            await asyncio.sleep(0)
    await asyncio.wait_for(store.close(), LONG)
    with pytest.raises(Unavailable):
        await call
    assert connections(proxy) == 1
    with pytest.raises(Unavailable) as refused:
        await store.read("user", "token")
    assert refused.value.reason == "redis: RedisError"


async def test_a_script_that_is_unknown_gives_a_call_no_more_time(proxy: FaultProxy, raw: Redis) -> None:
    """It is sent in full then: a second command. Connecting and both would each be in time, and are not together."""
    store = make(f"redis://127.0.0.1:{proxy.port}/0", timeout=1)
    await raw.script_flush()
    proxy.set(Fault.SLOW, matching=lambda sent: b"HELLO" in sent or b"EVAL" in sent, times=3, seconds=0.4)
    with pytest.raises(Unavailable):
        await store.prove_token("user", "token")
    await store.close()

"""The verbs of the token store, in this process and on a real server."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from redis.asyncio import Redis

from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import Attempt, Gate, LockPolicy, TokenStore
from mfa_middleware.stores.redis import open_store
from mfa_middleware.stores.redis.scripts import VERBS, source
from mfa_middleware.stores.redis.store import RedisTokenStore
from tests.engines import EngineMissing
from tests.stores.redis_engines import ENGINES, SLOW_TO_START, valkey

POLICY = LockPolicy()
RECORD = bytes(range(256)) * 4
DAY = 86_400


@pytest.fixture(scope="module")
def real_url() -> Iterator[str]:
    with valkey() as url:
        yield url


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW_TO_START)) for name in ENGINES],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server, of each kind in turn."""
    try:
        with ENGINES[request.param]() as url:
            yield url
    except EngineMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def store(url: str) -> AsyncIterator[RedisTokenStore]:
    made = open_store(Settings(redis_url=url, engine_timeout=10))
    assert isinstance(made, RedisTokenStore)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def memory() -> AsyncIterator[RedisTokenStore]:
    made = open_store(Settings(redis_url="memory://"))
    assert isinstance(made, RedisTokenStore)
    yield made
    await made.close()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until a test shifts it, and the store in this process with it."""
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def user() -> str:
    return secrets.token_hex(8)


async def issue(store: TokenStore, user: str, token: str = "token", **changed: Any) -> None:
    arguments: dict[str, Any] = {"ttl": 300, "pending": 1000, "failures": 0, "locked_for": 0.0} | changed
    await store.issue(user, token, arguments.pop("record", RECORD), **arguments)


async def charge(store: TokenStore, user: str, token: str = "token", **changed: Any) -> Attempt:
    arguments: dict[str, Any] = {"factor": "totp", "attempts": 1000, "backup": False, "policy": POLICY} | changed
    request = arguments.pop("request", None) or secrets.token_hex(8)
    return await store.charge(user, token, request=request, **arguments)


async def charge_user(store: TokenStore, user: str, **changed: Any) -> Attempt:
    arguments: dict[str, Any] = {"backup": False, "failures": 0, "locked_for": 0.0, "policy": POLICY} | changed
    request = arguments.pop("request", None) or secrets.token_hex(8)
    return await store.charge_user(user, request=request, **arguments)


async def take(store: TokenStore, user: str, token: str = "token", **changed: Any) -> bool:
    arguments: dict[str, Any] = {"request": "right", "proofs": [], "ttl": 600, "forgive": True} | changed
    return await store.take(user, token, **arguments)


async def guess(store: TokenStore, user: str, times: int, **changed: Any) -> list[Gate]:
    """So many wrong answers, one after the other."""
    return [(await charge(store, user, **changed)).gate for _ in range(times)]


# ------------------------------------------------------------------------------------------------------------- tokens


async def test_a_record_comes_back_byte_for_byte(store: TokenStore, user: str) -> None:
    await issue(store, user)
    state = await store.read(user, "token")
    assert state is not None
    assert (state.record, state.proven, state.attempts) == (RECORD, False, 0)
    assert (await charge(store, user)).record == RECORD


async def test_an_unknown_token_is_gone_and_counts_nothing(store: TokenStore, user: str) -> None:
    assert await store.read(user, "token") is None
    assert await charge(store, user) == Attempt(Gate.GONE)
    assert not await take(store, user)
    assert (await charge_user(store, user)).failures == 1


async def test_a_token_is_one_users(store: TokenStore, user: str) -> None:
    await issue(store, user)
    assert (await charge(store, "another")).gate is Gate.GONE
    assert not await take(store, "another")


async def test_a_token_lives_for_its_ttl(memory: TokenStore, user: str, clock: time_machine.Traveller) -> None:
    await issue(memory, user, ttl=300)
    clock.shift(300)
    assert await memory.read(user, "token")
    clock.shift(0.001)
    assert await memory.read(user, "token") is None
    assert (await charge(memory, user)).gate is Gate.GONE
    assert not await take(memory, user)


async def test_an_issue_that_comes_late_brings_no_used_token_back(store: TokenStore, user: str) -> None:
    """As one that was held up on its way, asked for again, and carried out after all."""
    await issue(store, user)
    assert await take(store, user)
    await issue(store, user)
    assert await store.read(user, "token") is None


async def test_no_verb_brings_a_dead_token_back(store: TokenStore, user: str) -> None:
    assert not await store.prepare(user, "token", "mail", b"kept")
    assert not await store.prove_token(user, "token")
    await store.found_wrong(user, "token", attempts=5)
    assert await store.read(user, "token") is None


async def test_what_a_factor_prepared_comes_back_to_that_factor_alone(store: TokenStore, user: str) -> None:
    await issue(store, user)
    assert await store.prepare(user, "token", "mail", b"first")
    assert await store.prepare(user, "token", "mail", b"\xff second")
    assert (await charge(store, user, factor="mail")).prepared == b"\xff second"
    assert (await charge(store, user, factor="totp")).prepared is None


async def test_a_token_remembers_that_its_binding_is_confirmed(store: TokenStore, user: str) -> None:
    await issue(store, user)
    assert await store.prove_token(user, "token")
    state = await store.read(user, "token")
    assert state is not None
    assert state.proven


async def test_beyond_the_pending_logins_the_oldest_token_dies(store: TokenStore, user: str) -> None:
    for token in ("d", "c", "b", "a"):
        await issue(store, user, token, pending=3)
    assert [bool(await store.read(user, token)) for token in ("d", "c", "b", "a")] == [False, True, True, True]


async def test_a_lowered_limit_leaves_the_newest(store: TokenStore, user: str) -> None:
    for token in ("a", "b", "c", "d"):
        await issue(store, user, token)
    await issue(store, user, "e", pending=2)
    assert [token for token in "abcde" if await store.read(user, token)] == ["d", "e"]


async def test_tokens_that_are_used_or_found_wrong_are_not_pending(store: TokenStore, user: str) -> None:
    for token in ("a", "b", "c"):
        await issue(store, user, token, pending=3)
    await take(store, user, "b")
    await store.found_wrong(user, "c", attempts=1)
    for token in ("d", "e"):
        await issue(store, user, token, pending=3)
    assert [token for token in "abcde" if await store.read(user, token)] == ["a", "d", "e"]


async def test_tokens_that_expired_are_not_pending(
    memory: TokenStore, user: str, clock: time_machine.Traveller
) -> None:
    await issue(memory, user, "long", pending=2, ttl=300)
    await issue(memory, user, "short", pending=2, ttl=10)
    clock.shift(11)
    await issue(memory, user, "new", pending=2, ttl=300)
    assert await memory.read(user, "long")
    assert await memory.read(user, "new")


# ----------------------------------------------------------------------------------------------------------- attempts


async def test_attempts_are_counted_on_the_token_and_on_the_user(store: TokenStore, user: str) -> None:
    await issue(store, user, "a")
    await issue(store, user, "b")
    counted = [await charge(store, user, token) for token in ("a", "b", "a")]
    assert [(one.gate, one.attempts, one.failures) for one in counted] == [
        (Gate.OPEN, 1, 1),
        (Gate.OPEN, 1, 2),
        (Gate.OPEN, 2, 3),
    ]


async def test_one_attempt_over_the_limit_touches_neither_token_nor_user(store: TokenStore, user: str) -> None:
    await issue(store, user)
    gates = await guess(store, user, 3, attempts=2)
    assert gates == [Gate.OPEN, Gate.OPEN, Gate.SPENT]
    spent = await charge(store, user, attempts=2)
    assert (spent.gate, spent.attempts, spent.failures, spent.record) == (Gate.SPENT, 2, 2, b"")
    assert 0 < spent.retry_after <= 300
    assert await take(store, user)


async def test_a_token_dies_when_its_last_attempt_was_found_wrong(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await guess(store, user, 2, attempts=2)
    await store.found_wrong(user, "token", attempts=2)
    assert await store.read(user, "token")
    await store.found_wrong(user, "token", attempts=2)
    assert await store.read(user, "token") is None
    assert not await take(store, user)


async def test_a_request_that_asks_again_is_charged_once(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await store.prepare(user, "token", "totp", b"kept")
    first = await charge(store, user, request="one")
    assert await charge(store, user, request="one") == first
    assert first == Attempt(Gate.OPEN, attempts=1, failures=1, record=RECORD, prepared=b"kept")
    assert (await charge(store, user, request="two")).failures == 2


async def test_a_request_that_asks_again_is_not_refused_for_the_lock_that_it_began(
    store: TokenStore, user: str
) -> None:
    await issue(store, user)
    await guess(store, user, 9)
    last = await charge(store, user, request="last")
    assert await charge(store, user, request="last") == last
    assert (await charge(store, user)).gate is Gate.LOCKED


async def test_an_attempt_without_a_token_is_charged_once(store: TokenStore, user: str) -> None:
    first = await charge_user(store, user, request="one")
    assert first == Attempt(Gate.OPEN, failures=1)
    assert await charge_user(store, user, request="one") == first
    assert (await charge_user(store, user, request="two")).failures == 2


# -------------------------------------------------------------------------------------------------------------- locks


@pytest.mark.parametrize("policy", [POLICY, LockPolicy(1, 1, 5, 7), LockPolicy(3, 7, 2), LockPolicy(7, DAY, DAY)])
async def test_the_script_locks_by_the_table_of_the_policy(store: RedisTokenStore, policy: LockPolicy) -> None:
    script = source("charge").split("-- KEYS")[0] + (
        "local all = {} for n = 0, 200 do all[n + 1] = lock_ms(policy_at(1), n) end return all"
    )
    arguments = (policy.budget, policy.seconds, policy.longest, policy.hard, 0)
    table = await store._client.eval(script, 0, *arguments)
    assert table == [policy.lock_seconds(n) * 1000 for n in range(201)]


async def test_of_many_wrong_answers_at_once_exactly_the_budget_is_looked_at(store: TokenStore, user: str) -> None:
    for token in "abcd":
        await issue(store, user, token)
    answered = await asyncio.gather(*(charge(store, user, "abcd"[i % 4]) for i in range(100)))
    assert Counter(one.gate for one in answered) == {Gate.OPEN: POLICY.budget, Gate.LOCKED: 90}
    assert sorted(one.failures for one in answered if one.gate is Gate.OPEN) == list(range(1, 11))
    assert all(not one.record for one in answered if one.gate is Gate.LOCKED)


async def test_attempts_with_and_without_a_token_meet_one_budget(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await guess(store, user, 6)
    gates = [(await charge_user(store, user)).gate for _ in range(5)]
    assert gates == [Gate.OPEN] * 4 + [Gate.LOCKED]
    assert (await charge(store, user)).gate is Gate.LOCKED


async def test_a_new_token_does_not_reset_the_count(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await guess(store, user, 10)
    await issue(store, user, "new")
    locked = await charge(store, user, "new")
    assert (locked.gate, locked.failures) == (Gate.LOCKED, 10)
    assert 0 < locked.retry_after <= POLICY.seconds


async def test_a_locked_users_refusals_count_nothing(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await guess(store, user, 15)
    state = await store.read(user, "token")
    assert state is not None
    assert state.attempts == 10
    assert (await charge(store, user)).failures == 10


async def test_a_right_answer_ends_the_lock_that_it_began(store: TokenStore, user: str) -> None:
    await issue(store, user)
    assert await guess(store, user, 10) == [Gate.OPEN] * 10
    assert await take(store, user)
    await issue(store, user, "new")
    assert (await charge(store, user, "new")).failures == 1


async def test_locks_double_up_to_a_day(memory: TokenStore, user: str, clock: time_machine.Traveller) -> None:
    lasted = []
    for _ in range(9):
        await issue(memory, user)
        assert await guess(memory, user, 10) == [Gate.OPEN] * 10
        locked = await charge(memory, user)
        lasted.append(locked.retry_after)
        clock.shift(timedelta(seconds=locked.retry_after - 0.001))
        await issue(memory, user)
        assert (await charge(memory, user)).gate is Gate.LOCKED
        clock.shift(timedelta(seconds=0.001))
    assert lasted == [900, 1800, 3600, 7200, 14400, 28800, 57600, DAY, DAY]


async def test_a_node_whose_clock_is_ahead_does_not_end_a_lock(real_url: str, user: str) -> None:
    store = open_store(Settings(redis_url=real_url, engine_timeout=10))
    await issue(store, user)
    await guess(store, user, 10)
    with time_machine.travel("2100-01-01T00:00:00Z"):
        assert (await charge(store, user)).gate is Gate.LOCKED
    await store.close()


async def test_a_hard_locked_user_is_refused_for_all_but_a_backup(store: TokenStore, user: str) -> None:
    await issue(store, user, failures=100)
    refused = await charge(store, user)
    assert (refused.gate, refused.failures, refused.retry_after) == (Gate.LOCKED, 100, POLICY.longest)
    backup = await charge(store, user, backup=True)
    assert (backup.gate, backup.failures) == (Gate.OPEN, 101)
    assert (await charge_user(store, user)).gate is Gate.LOCKED
    assert (await charge_user(store, user, backup=True)).failures == 102


async def test_a_backup_waits_for_the_timed_lock_and_locks_on(store: TokenStore, user: str) -> None:
    await issue(store, user, failures=100, locked_for=500)
    waiting = await charge(store, user, backup=True)
    assert waiting.gate is Gate.LOCKED
    assert 0 < waiting.retry_after <= 500
    await store.forget(user, forgive=True)
    await issue(store, user, failures=109)
    assert await guess(store, user, 2, backup=True) == [Gate.OPEN, Gate.LOCKED]


async def test_the_guess_that_makes_the_hundredth_failure_is_the_last(
    memory: TokenStore, user: str, clock: time_machine.Traveller
) -> None:
    await issue(memory, user, failures=99)
    assert await guess(memory, user, 1) == [Gate.OPEN]
    clock.shift(timedelta(days=29))
    await issue(memory, user)
    assert (await charge(memory, user)).retry_after == POLICY.longest


# ------------------------------------------------------------------------------------------ what the database knows


async def test_of_two_counts_of_failures_the_greater_counts(store: TokenStore, user: str) -> None:
    await issue(store, user, "a", failures=7)
    assert (await charge(store, user, "a")).failures == 8
    await issue(store, user, "b", failures=3)
    assert (await charge(store, user, "b")).failures == 9


async def test_of_two_locks_the_longer_counts(store: TokenStore, user: str) -> None:
    await issue(store, user, locked_for=1000.5)
    await issue(store, user, "b", locked_for=3)
    locked = await charge(store, user)
    assert locked.gate is Gate.LOCKED
    assert 900 < locked.retry_after <= 1000.5


async def test_an_attempt_without_a_token_is_told_what_the_database_knows(store: TokenStore, user: str) -> None:
    assert (await charge_user(store, user, failures=9, locked_for=50)).gate is Gate.LOCKED
    assert (await charge_user(store, user, failures=9)).failures == 10
    assert (await charge_user(store, user)).gate is Gate.LOCKED


# -------------------------------------------------------------------------------------------------------------- taking


async def test_of_many_right_answers_exactly_one_takes_the_token(store: TokenStore, user: str) -> None:
    await issue(store, user)
    told = await asyncio.gather(*(take(store, user, request=f"r{i}") for i in range(100)))
    assert Counter(told) == {True: 1, False: 99}


async def test_of_many_processes_exactly_one_takes_each_token(real_url: str, user: str) -> None:
    store = open_store(Settings(redis_url=real_url, engine_timeout=10))
    tokens = [f"token{i}" for i in range(50)]
    for token in tokens:
        await issue(store, user, token)
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        racing = [pool.submit(_take_all, real_url, user, tokens) for _ in range(4)]
        taken = [token for one in racing for token in await asyncio.wrap_future(one)]
    assert sorted(taken) == sorted(tokens)
    await store.close()


def _take_all(url: str, user: str, tokens: list[str]) -> list[str]:
    return asyncio.run(_take_all_at_once(url, user, tokens))


async def _take_all_at_once(url: str, user: str, tokens: list[str]) -> list[str]:
    store = open_store(Settings(redis_url=url, engine_timeout=10))
    await _line_up(url, f"start:{user}", 4)
    me = secrets.token_hex(8)
    won = [token for token in tokens if await take(store, user, token, request=me)]
    await store.close()
    return won


async def _line_up(url: str, name: str, runners: int) -> None:
    async with asyncio.timeout(60), Redis.from_url(url) as client:
        await client.incr(name)
        while int(await client.get(name) or 0) < runners:
            await asyncio.sleep(0.001)


async def test_who_took_a_token_is_told_so_again_and_nobody_else(store: TokenStore, user: str) -> None:
    await issue(store, user)
    assert await take(store, user, request="mine")
    assert not await take(store, user, request="other")
    assert await take(store, user, request="mine")


async def test_taking_ends_the_failures_and_keeps_a_proof_under_each_fingerprint(store: TokenStore, user: str) -> None:
    await issue(store, user)
    await guess(store, user, 5)
    assert await take(store, user, proofs=["cookie", "bearer"])
    assert [await store.proven(user, proof) for proof in ("cookie", "bearer", "other")] == [True, True, False]
    assert not await store.proven("another", "cookie")
    assert (await charge_user(store, user)).failures == 1


async def test_who_takes_nothing_proves_nothing(store: TokenStore, user: str) -> None:
    await charge_user(store, user)
    assert not await take(store, user, proofs=["cookie"])
    assert not await store.proven(user, "cookie")
    assert (await charge_user(store, user)).failures == 2


# -------------------------------------------------------------------------------------------------------------- proofs


async def test_a_proof_is_fresh_for_its_ttl(memory: TokenStore, user: str, clock: time_machine.Traveller) -> None:
    await memory.prove(user, ["long"], ttl=600, forgive=False)
    await memory.prove(user, ["short"], ttl=10, forgive=False)
    clock.shift(10)
    assert [await memory.proven(user, proof) for proof in ("short", "long")] == [False, True]
    clock.shift(589)
    assert await memory.proven(user, "long")
    clock.shift(1)
    assert not await memory.proven(user, "long")


async def test_stale_proofs_are_thrown_away(memory: RedisTokenStore, user: str, clock: time_machine.Traveller) -> None:
    for proof in ("first", "second", "third"):
        await memory.prove(user, [proof], ttl=10, forgive=False)
        clock.shift(6)
    assert await memory._client.zrange(f"mfa:{{{user}}}:proofs", 0, -1) == [b"second", b"third"]


async def test_a_proof_can_be_renewed(memory: TokenStore, user: str, clock: time_machine.Traveller) -> None:
    for _ in range(3):
        await memory.prove(user, ["cookie"], ttl=10, forgive=False)
        clock.shift(9)
    assert await memory.proven(user, "cookie")


@pytest.mark.parametrize(("forgive", "failures"), [(False, 4), (True, 1)])
async def test_a_proof_ends_the_failures_where_it_is_to_forgive(
    store: TokenStore, user: str, forgive: bool, failures: int
) -> None:
    for _ in range(3):
        await charge_user(store, user)
    await store.prove(user, ["cookie"], ttl=600, forgive=forgive)
    assert await store.proven(user, "cookie")
    assert (await charge_user(store, user)).failures == failures


@pytest.mark.parametrize(("forgive", "failures"), [(False, 4), (True, 1)])
async def test_forgetting_destroys_all_tokens_and_proofs_of_one_user(
    store: TokenStore, user: str, forgive: bool, failures: int
) -> None:
    for owner in (user, f"not {user}"):
        for token in ("a", "b"):
            await issue(store, owner, token)
        await store.prove(owner, ["cookie"], ttl=600, forgive=False)
    await guess(store, user, 3, token="a")
    await store.forget(user, forgive=forgive)
    assert [await store.read(user, token) for token in ("a", "b")] == [None, None]
    assert not await store.proven(user, "cookie")
    assert await store.read(f"not {user}", "a")
    assert await store.proven(f"not {user}", "cookie")
    assert (await charge_user(store, user)).failures == failures


async def test_forgetting_finds_a_token_that_outlives_the_newest(
    memory: TokenStore, user: str, clock: time_machine.Traveller
) -> None:
    await issue(memory, user, "long", ttl=300)
    await issue(memory, user, "short", ttl=10)
    clock.shift(20)
    await memory.forget(user)
    assert await memory.read(user, "long") is None


# ------------------------------------------------------------------------------------------------ what is kept, where


async def test_every_key_expires(store: RedisTokenStore, user: str) -> None:
    await issue(store, user, "a")
    await issue(store, user, "b", failures=2, locked_for=1)
    await store.forget(user, forgive=True)
    await issue(store, user, "a")
    await issue(store, user, "b")
    await store.prepare(user, "a", "mail", b"kept")
    await charge(store, user, "a")
    await charge_user(store, user)
    await take(store, user, "b", proofs=["cookie"])
    await charge_user(store, user)
    keys = [key async for key in store._client.scan_iter(f"*{user}*", count=10_000)]
    kinds = {key.decode().split(":")[2] for key in keys}
    assert kinds == {"t", "pending", "failures", "proofs", "taken", "r"}
    assert all([await store._client.pttl(key) > 0 for key in keys])


async def test_stores_in_memory_share_nothing(memory: TokenStore, user: str) -> None:
    await issue(memory, user)
    other = open_store(Settings(redis_url="memory://"))
    assert await other.read(user, "token") is None
    await other.close()


def test_the_store_in_memory_serves_one_event_loop_after_another(user: str) -> None:
    store = open_store(Settings(redis_url="memory://"))

    async def storm(name: str) -> None:
        await asyncio.gather(*(issue(store, user, f"{name}{i}") for i in range(300)))

    for name in ("first", "second"):
        asyncio.run(storm(name))
    assert all(asyncio.run(store.read(user, token)) for token in ("first0", "first299", "second0", "second299"))
    asyncio.run(store.close())


def test_fakeredis_is_not_loaded_beside_a_real_server() -> None:
    program = (
        "import sys; from mfa_middleware.settings import Settings; from mfa_middleware.stores.redis import open_store;"
        "open_store(Settings(redis_url='redis://localhost')); sys.exit(bool({'fakeredis', 'lupa'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_says_what_it_is_given(verb: str) -> None:
    assert "-- KEYS: " in source(verb)
    assert "-- ARGV: " in source(verb)


async def test_what_is_sent_to_a_user_is_counted_before_it_is_sent(store: TokenStore, user: str) -> None:
    """So that a mailbox cannot be flooded; the answer says how long to wait."""
    for _ in range(3):
        assert await store.count_sending(user, most=3, window=60) == 0
    assert 0 < await store.count_sending(user, most=3, window=60) <= 60

"""A fail-over under Sentinel: nothing leaves meanwhile, and afterwards all is well with the same client.

Replication is asynchronous. What the primary had not passed on when it died is lost, and it is shown here what that
costs: never a code that works twice, nor a guess that the database does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from mfa_middleware import MFA, Settings
from mfa_middleware.errors import InvalidCode, TokenInvalid, TooManyAttempts
from tests.engines import ValkeySentinel, ask, free_port, wait_until
from tests.rules.conftest import KEY
from tests.stores.redis_engines import restrict
from tests.stores.token_verbs import POLICY, VERBS, begin, login, make, opened, reason
from tests.world import HELD, enrol, outcomes
from tests.world import login as begin_login

pytestmark = pytest.mark.slow


@pytest.fixture
def sentinel() -> Iterator[ValkeySentinel]:
    with ValkeySentinel() as made:
        yield made


@asynccontextmanager
async def mfa_on(url: str, folder: Path, **given: object) -> AsyncIterator[MFA]:
    database = f"sqlite:///{folder}/mfa.sqlite3"
    mfa = MFA(Settings(redis_url=url, database_url=database, secret_key=KEY, engine_timeout=2, **given))
    await mfa.open()
    try:
        yield mfa
    finally:
        await mfa.close()


def cut_off(sentinel: ValkeySentinel) -> None:
    """Let the replica hear nothing more."""
    wait_until(sentinel.caught_up)
    ask(sentinel.replica, "REPLICAOF", "127.0.0.1", str(free_port()))


def agreed_to_fail_over(sentinel: ValkeySentinel) -> bool:
    """It refuses while it has not heard from the replica lately."""
    try:
        ask(sentinel.sentinels[0], "SENTINEL", "FAILOVER", "main")
    except ResponseError:
        return False
    return True


async def test_sentinel_leads_to_the_primary_past_one_of_its_kind_that_is_away(sentinel: ValkeySentinel) -> None:
    restrict(sentinel.primary)
    url = sentinel.url.replace("//", f"//mfa:pw@127.0.0.1:{free_port()},").removesuffix("/0")
    async with opened(f"{url}/1") as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(100))))
    unknown = make(url.replace("/main", "/unknown"))
    assert await reason(unknown.open()) == "redis: MasterNotFoundError"
    await unknown.close()


async def test_a_login_that_was_held_before_a_fail_over_is_released_once_after_it(tmp_path: Path) -> None:
    """With three Sentinels."""
    with ValkeySentinel(3) as sentinel:
        async with mfa_on(sentinel.url, tmp_path) as mfa:
            person = await enrol(mfa)
            used, held = await begin_login(mfa), await begin_login(mfa)
            await mfa.verify(used.mfa_token, "recovery_code", person.recovery_codes[0])
            wait_until(sentinel.caught_up)
            sentinel.primary.kill()
            code = person.code
            refused = await outcomes(
                mfa.verify(held.mfa_token, "totp", code),
                mfa.verify(held.mfa_token, "totp", person.wrong),
                mfa.begin_login("alice", HELD),
            )
            assert refused == ["Unavailable"] * 3
            wait_until(sentinel.promoted)
            proven = await mfa.verify(held.mfa_token, "totp", code)
            assert proven.held == HELD
            for token in (held.mfa_token, used.mfa_token):
                with pytest.raises(TokenInvalid):
                    await mfa.verify(token, "recovery_code", person.recovery_codes[1])
            again = await begin_login(mfa)
            assert (await mfa.verify(again.mfa_token, "recovery_code", person.recovery_codes[1])).held == HELD


async def test_every_verb_is_unavailable_until_the_promotion_and_well_at_once_after_it(
    sentinel: ValkeySentinel,
) -> None:
    async with opened(sentinel.url, timeout=2) as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(40))))
        await begin(store)
        await VERBS["charge"](store)
        wait_until(sentinel.caught_up)
        sentinel.primary.kill()
        said = await asyncio.gather(*(reason(verb(store)) for verb in VERBS.values()))
        assert all(one.startswith("redis: ") for one in said)
        wait_until(sentinel.promoted)
        state = await store.read("user", "token")
        assert state is not None
        assert state.attempts == 1
        assert all(await asyncio.gather(*(login(store) for _ in range(40))))


async def test_callers_during_a_fail_over_are_served_or_refused(sentinel: ValkeySentinel) -> None:
    """All the while; and who is served has logged in exactly once."""
    ended = asyncio.Event()

    async def caller(number: int) -> list[str]:
        """Logs in as somebody new, time after time, until after the fail-over."""
        came: list[str] = []
        while not ended.is_set() or came[-1] != "ok":
            came += await outcomes(login(store, f"{number}-{len(came)}"))
            await asyncio.sleep(0.01)
        return came

    async with opened(sentinel.url, timeout=2) as store, asyncio.timeout(30):
        calls = [asyncio.create_task(caller(number)) for number in range(8)]
        await asyncio.to_thread(sentinel.fail_over)
        ended.set()
        came = await asyncio.gather(*calls)
    assert {one for outcomes in came for one in outcomes} == {"ok", "Unavailable"}


async def test_the_count_of_attempts_goes_on_after_the_primary_hung(sentinel: ValkeySentinel) -> None:
    """What is connected to it fails by the time-out alone."""
    async with opened(sentinel.url, timeout=2) as store:
        await begin(store)
        first = await VERBS["charge_user"](store)
        wait_until(sentinel.caught_up)
        sentinel.primary.pause()
        wait_until(sentinel.promoted)
        assert await VERBS["charge_user"](store) == first
        second = await store.charge_user("user", request="other", backup=False, failures=0, locked_for=0, policy=POLICY)
        assert second.failures == 3


async def test_a_primary_that_is_demoted_by_hand_is_left(sentinel: ValkeySentinel) -> None:
    """It lives on as a replica, and its connections with it. (Sentinel would demote it after ten seconds.)"""
    async with opened(sentinel.url, timeout=2) as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(40))))
        wait_until(lambda: agreed_to_fail_over(sentinel))
        wait_until(sentinel.promoted)
        ask(sentinel.primary, "REPLICAOF", "127.0.0.1", str(sentinel.replica.port))
        assert all(await asyncio.gather(*(login(store) for _ in range(40))))


async def test_a_token_whose_use_was_not_passed_on_lives_again_and_its_code_does_not(
    sentinel: ValkeySentinel, tmp_path: Path
) -> None:
    """The code was spent in the database before the token was consumed."""
    async with mfa_on(sentinel.url, tmp_path) as mfa:
        person = await enrol(mfa)
        challenge = await begin_login(mfa)
        cut_off(sentinel)
        code = person.code
        assert (await mfa.verify(challenge.mfa_token, "totp", code)).held == HELD
        sentinel.fail_over()
        for old in (code, person.app.code(offset_steps=-1)):
            with pytest.raises(InvalidCode):
                await mfa.verify(challenge.mfa_token, "totp", old)


async def test_guesses_that_were_not_passed_on_are_counted_in_the_database(
    sentinel: ValkeySentinel, tmp_path: Path
) -> None:
    """Nine before the fail-over and one after it are ten: the right code is refused."""
    async with mfa_on(sentinel.url, tmp_path, token_attempts=20) as mfa:
        person = await enrol(mfa)
        challenge = await begin_login(mfa)
        cut_off(sentinel)
        for _ in range(9):
            with pytest.raises(InvalidCode):
                await mfa.verify(challenge.mfa_token, "totp", person.wrong)
        sentinel.fail_over()
        with pytest.raises(InvalidCode):
            await mfa.verify(challenge.mfa_token, "totp", person.wrong)
        with pytest.raises((InvalidCode, TooManyAttempts)):
            await mfa.verify(challenge.mfa_token, "totp", person.code)
        fresh = await begin_login(mfa)
        with pytest.raises(TooManyAttempts):
            await mfa.verify(fresh.mfa_token, "totp", person.code)

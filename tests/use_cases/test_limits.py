"""Attempts: counted before an answer is looked at, one budget for each user, locks that double, a hard lock at last."""

from __future__ import annotations

import asyncio

import pytest

from mfa_middleware import InvalidCode, TooManyAttempts, limits
from mfa_middleware.callers import Caller
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from tests.world import HELD, Listener, Plugin, Word, enrol, login, outcomes

DAY = 86_400


async def spoil(mfa, alice, times: int) -> list[str]:
    """So many wrong answers, each on a fresh token."""
    return [
        (await outcomes(mfa.verify((await login(mfa, alice.user_id)).mfa_token, "totp", alice.wrong)))[0]
        for _ in range(times)
    ]


async def refusal(mfa, alice, code, factor="totp") -> TooManyAttempts:
    with pytest.raises(TooManyAttempts) as refused:
        await mfa.verify((await login(mfa)).mfa_token, factor, code)
    return refused.value


async def failures(mfa, user_id="alice"):
    return (await mfa.parts.core.authenticator_store.load(user_id)).failures


async def test_guesses_over_many_fresh_tokens_meet_one_budget(mfa, clock):
    alice = await enrol(mfa)
    assert await spoil(mfa, alice, 12) == ["InvalidCode"] * 10 + ["TooManyAttempts"] * 2


async def test_of_many_wrong_answers_at_once_exactly_the_budget_is_looked_at(make_mfa, clock):
    word = Word()
    mfa = await make_mfa(Plugin(word), pending_logins=20)
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    tokens = [(await login(mfa)).mfa_token for _ in range(12)]
    found = await outcomes(*(mfa.verify(token, "word", f"guess {n}") for n in range(4) for token in tokens))
    assert word.checks == 10
    assert (found.count("InvalidCode"), found.count("TooManyAttempts")) == (10, 38)
    assert await failures(mfa) == 10


async def test_of_many_wrong_answers_to_one_token_at_once_exactly_its_attempts_are_looked_at(make_mfa, clock):
    word = Word()
    mfa = await make_mfa(Plugin(word))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    await outcomes(*(mfa.verify(token, "word", f"guess {n}") for n in range(30)))
    assert word.checks == 5
    assert await failures(mfa) == 5


async def test_all_ways_to_answer_share_the_budget(mfa, clock):
    alice = await enrol(mfa)
    begun = await mfa.refresh(alice.proven, alice.id)
    pending = VirtualAuthenticator(begun.shown["uri"])
    wrong = next(code for code in ("000000", "111111", "222222") if code != pending.code())
    for _ in range(2):
        await spoil(mfa, alice, 1)
        step_up = (await mfa.begin_step_up("alice")).mfa_token
        assert await outcomes(mfa.verify(step_up, "totp", alice.wrong)) == ["InvalidCode"]
        assert await outcomes(mfa.verify(step_up, "recovery_code", "0000-0000-0000-0000")) == ["InvalidCode"]
        assert await outcomes(mfa.confirm(alice.proven, alice.id, wrong)) == ["InvalidCode"]
    assert await spoil(mfa, alice, 3) == ["InvalidCode"] * 2 + ["TooManyAttempts"]
    assert await outcomes(mfa.confirm(alice.proven, alice.id, pending.code())) == ["TooManyAttempts"]
    step_up = (await mfa.begin_step_up("alice")).mfa_token
    assert await outcomes(mfa.verify(step_up, "totp", alice.code)) == ["TooManyAttempts"]


async def test_locked_right_wrong_and_recovery_codes_are_answered_alike(mfa, clock):
    alice = await enrol(mfa)
    await spoil(mfa, alice, 10)
    answers = set()
    for factor, code in (("totp", alice.code), ("totp", alice.wrong), ("recovery_code", alice.recovery_codes[0])):
        refused = await refusal(mfa, alice, code, factor)
        answers.add((str(refused), refused.retry_after))
    assert answers == {("Too many attempts. Try again later.", 900)}


async def test_a_lock_is_one_user_s_alone(mfa, clock):
    alice, bob = await enrol(mfa, "alice"), await enrol(mfa, "bob")
    await spoil(mfa, alice, 10)
    assert (await mfa.verify((await login(mfa, "bob")).mfa_token, "totp", bob.code)).held == HELD


async def test_refused_answers_do_not_lengthen_the_lock(mfa, clock):
    alice = await enrol(mfa)
    await spoil(mfa, alice, 30)
    assert await failures(mfa) == 10
    clock.shift(900)
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)).held == HELD


async def test_each_further_lock_doubles_up_to_a_day(mfa, clock):
    alice = await enrol(mfa)
    seconds = []
    for _ in range(9):
        assert await spoil(mfa, alice, 10) == ["InvalidCode"] * 10
        seconds.append((await refusal(mfa, alice, alice.code)).retry_after)
        clock.shift(seconds[-1] - 1)
        await refusal(mfa, alice, alice.code)
        clock.shift(1)
    assert seconds == [900, 1800, 3600, 7200, 14_400, 28_800, 57_600, DAY, DAY]


async def hard_locked(mfa, clock):
    alice = await enrol(mfa)
    for _ in range(10):
        await spoil(mfa, alice, 10)
        clock.shift(DAY)
    return alice


async def test_after_a_hundred_failures_only_a_recovery_code_or_an_admin_opens(mfa, clock):
    alice = await hard_locked(mfa, clock)
    assert await failures(mfa) == 100
    for _ in range(3):
        await refusal(mfa, alice, alice.code)
        clock.shift(30 * DAY)
    proven = await mfa.verify((await login(mfa)).mfa_token, "recovery_code", alice.recovery_codes[0])
    assert proven.held == HELD
    assert await failures(mfa) == 0
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)).held == HELD


async def test_a_hard_lock_outlives_a_flush_of_redis(mfa, clock):
    alice = await hard_locked(mfa, clock)
    await mfa.parts.core.token_store._client.flushall()
    await refusal(mfa, alice, alice.code)


async def test_under_a_hard_lock_recovery_codes_meet_timed_locks(mfa, clock):
    alice = await hard_locked(mfa, clock)
    for _ in range(10):
        token = (await login(mfa)).mfa_token
        assert await outcomes(mfa.verify(token, "recovery_code", "0000-0000-0000-0000")) == ["InvalidCode"]
    refused = await refusal(mfa, alice, alice.recovery_codes[0], "recovery_code")
    assert refused.retry_after == DAY
    clock.shift(DAY)
    await mfa.verify((await login(mfa)).mfa_token, "recovery_code", alice.recovery_codes[0])


async def test_an_admin_ends_a_lock(mfa, clock):
    alice = await hard_locked(mfa, clock)
    await mfa.unlock("alice")
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)).held == HELD


async def test_a_right_answer_ends_the_count(mfa, clock):
    alice = await enrol(mfa)
    await spoil(mfa, alice, 9)
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    assert await failures(mfa) == 0
    clock.shift(30)
    assert await spoil(mfa, alice, 10) == ["InvalidCode"] * 10


async def test_a_new_challenge_ends_no_count(mfa, clock):
    alice = await enrol(mfa)
    await spoil(mfa, alice, 9)
    for _ in range(20):
        await login(mfa)
    assert await spoil(mfa, alice, 2) == ["InvalidCode", "TooManyAttempts"]


async def test_a_flush_of_redis_loses_no_count(mfa, clock):
    alice = await enrol(mfa)
    await spoil(mfa, alice, 9)
    await mfa.parts.core.token_store._client.flushall()
    assert await spoil(mfa, alice, 2) == ["InvalidCode", "TooManyAttempts"]
    await mfa.parts.core.token_store._client.flushall()
    assert (await refusal(mfa, alice, alice.code)).retry_after == 900


async def test_a_flush_of_redis_ends_no_lock_of_a_confirmation(mfa, clock):
    caller = Caller("alice")
    begun = await mfa.bind(caller, "totp")
    for _ in range(10):
        assert await outcomes(mfa.confirm(caller, begun.id, "x")) == ["InvalidCode"]
    await mfa.parts.core.token_store._client.flushall()
    code = VirtualAuthenticator(begun.shown["uri"]).code()
    assert await outcomes(mfa.confirm(caller, begun.id, code)) == ["TooManyAttempts"]


async def test_a_caller_who_leaves_after_a_wrong_answer_leaves_the_count(make_mfa, clock):
    """CVE-2026-35597: a count that is rolled back."""
    asked = asyncio.Event()

    async def slowly(state, answer):
        asked.set()
        await asyncio.Event().wait()

    word = Word(slowly)
    mfa = await make_mfa(Plugin(word))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    leaving = asyncio.create_task(mfa.verify(token, "word", "guess"))
    await asked.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    word.checking = None
    with pytest.raises(InvalidCode) as refused:
        await mfa.verify(token, "word", "guess")
    assert refused.value.attempts_left == 3


async def test_a_lock_and_each_failure_leave_an_event_with_the_true_reason(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)), user_failures=2)
    alice = await enrol(mfa)
    await mfa.verify((await login(mfa)).mfa_token, "totp", used := alice.code)
    await outcomes(mfa.verify((await login(mfa)).mfa_token, "totp", used, trace="the-trace"))
    await spoil(mfa, alice, 1)
    events = [one for one in listener.events if one.name in ("failed", "locked")]
    assert [one.name for one in events] == ["failed", "failed", "locked"]
    assert events[0].trace_id == "the-trace"
    assert "used before" in events[0].reason
    assert events[1].reason == "wrong code"
    assert (events[2].failures, events[2].seconds) == (2, 900)


async def test_ten_things_are_sent_to_a_user_in_ten_minutes_and_no_more(mfa, clock):
    core = mfa.parts.core
    for _ in range(10):
        await limits.count_sending(core, "alice")
        clock.shift(10)
    with pytest.raises(TooManyAttempts) as refused:
        await limits.count_sending(core, "alice")
    assert refused.value.retry_after == 500
    await limits.count_sending(core, "bob")
    clock.shift(501)
    await limits.count_sending(core, "alice")


async def test_the_budget_is_met_by_right_answers_too_late(make_mfa, clock):
    """The answer that locks may itself be right; one after it may not."""
    mfa = await make_mfa(user_failures=3)
    alice = await enrol(mfa)
    await spoil(mfa, alice, 2)
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)).held == HELD
    clock.shift(30)
    await spoil(mfa, alice, 3)
    await refusal(mfa, alice, alice.code)

"""Answers: one token, one answer, one login; a code once; whatever changed in between, nothing is released."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mfa_middleware import (
    EnrolmentRequired,
    InvalidCode,
    InvalidRequest,
    Misconfigured,
    Refusal,
    TokenInvalid,
    TooManyAttempts,
    Unavailable,
    checking,
)
from mfa_middleware.callers import Caller
from mfa_middleware.factor import Prepared
from mfa_middleware.management import ImportedSecret
from mfa_middleware.models import Counter, Once
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from tests.world import HELD, NOON, Listener, Plugin, Word, digest, earlier_code, enrol, login, outcomes

REFUSED = (InvalidCode, TokenInvalid, TooManyAttempts)


# ------------------------------------------------------------------------------------------------------ exactly one


@pytest.mark.parametrize("at_once", [2, 5])
async def test_of_many_simultaneous_right_answers_exactly_one_gets_the_login(mfa, clock, at_once):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    found = await outcomes(*(mfa.verify(token, "totp", alice.code) for _ in range(at_once)))
    assert found.count("ok") == 1
    assert set(found) <= {"ok", "InvalidCode", "TokenInvalid"}


async def test_of_more_answers_than_are_allowed_one_right_one_still_gets_the_login(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    found = await outcomes(*(mfa.verify(token, "totp", alice.code) for _ in range(40)))
    assert found.count("ok") == 1


async def test_different_right_answers_to_one_token_get_one_login(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    answers = [("totp", alice.code), *(("recovery_code", code) for code in alice.recovery_codes[:3])]
    found = await outcomes(*(mfa.verify(token, *answer) for answer in answers))
    assert found.count("ok") == 1


async def test_one_code_on_many_tokens_at_once_gets_one_login(mfa, clock):
    alice = await enrol(mfa)
    tokens = [(await login(mfa)).mfa_token for _ in range(8)]
    found = await outcomes(*(mfa.verify(token, "totp", alice.code) for token in tokens))
    assert found.count("ok") == 1
    assert set(found) == {"ok", "InvalidCode"}


async def test_a_recovery_code_on_many_tokens_at_once_gets_one_login(mfa, clock):
    alice = await enrol(mfa)
    tokens = [(await login(mfa)).mfa_token for _ in range(8)]
    found = await outcomes(*(mfa.verify(token, "recovery_code", alice.recovery_codes[0]) for token in tokens))
    assert found.count("ok") == 1


async def test_many_enrolments_released_at_once_are_one_login(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    token = (await login(mfa)).mfa_token
    await bind_by_token(mfa, token)
    found = await outcomes(*(mfa.release(token) for _ in range(8)))
    assert found.count("ok") == 1


# ---------------------------------------------------------------------------------------------------------- attempts


async def test_a_wrong_answer_tells_how_many_are_left_and_the_token_dies_with_the_last(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    left = []
    for _ in range(5):
        with pytest.raises(InvalidCode) as refused:
            await mfa.verify(token, "totp", alice.wrong)
        left.append(refused.value.attempts_left)
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(TokenInvalid):
        await mfa.verify(token, "totp", alice.code)


async def test_the_last_answer_allowed_may_be_right(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    for _ in range(4):
        with pytest.raises(InvalidCode):
            await mfa.verify(token, "totp", alice.wrong)
    assert (await mfa.verify(token, "totp", alice.code)).held == HELD


async def test_over_the_limit_the_token_lives_for_a_right_answer_in_flight(make_mfa, clock):
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(state, answer):
        arrived.set()
        await go_on.wait()
        return Counter(1)

    mfa = await make_mfa(Plugin(Word(slowly)), token_attempts=1)
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    in_flight = asyncio.create_task(mfa.verify(token, "word", "sesame"))
    await arrived.wait()
    with pytest.raises(TooManyAttempts) as refused:
        await mfa.verify(token, "word", "sesame")
    assert 0 < refused.value.retry_after <= 300
    go_on.set()
    assert (await in_flight).held == HELD


@pytest.mark.parametrize(
    "code",
    [
        "",
        " ",
        "12345",
        "1234567",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "٠١٢٣٤٥",
        "-12345",
        "1e5",
        "\0" * 6,
        "x" * 4096,
        "\ud800",
    ],
)
async def test_what_is_no_code_is_wrong_and_counted(mfa, clock, code):
    await enrol(mfa)
    token = (await login(mfa)).mfa_token
    for left in (4, 3):
        with pytest.raises(InvalidCode) as refused:
            await mfa.verify(token, "totp", code)
        assert refused.value.attempts_left == left


async def test_a_factor_that_is_not_in_use_is_refused_and_the_token_lives(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    with pytest.raises(InvalidRequest):
        await mfa.verify(token, "password", "x")
    assert (await mfa.verify(token, "totp", alice.code)).held == HELD


# -------------------------------------------------------------------------------------------------------- a code once


async def used_at_login(mfa, alice):
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)


async def used_at_step_up(mfa, alice):
    await mfa.verify((await mfa.begin_step_up("alice")).mfa_token, "totp", alice.code)


async def used_at_refresh(mfa, alice):
    """The code of the new secret, at its confirmation."""
    begun = await mfa.refresh(alice.proven, alice.id)
    object.__setattr__(alice, "app", VirtualAuthenticator(begun.shown["uri"]))
    await mfa.confirm(alice.proven, alice.id, alice.code)


@pytest.mark.parametrize("again", [used_at_login, used_at_step_up])
@pytest.mark.parametrize("first", [used_at_login, used_at_step_up, used_at_refresh])
async def test_a_code_that_was_used_anywhere_is_used_everywhere(mfa, clock, first, again):
    alice = await enrol(mfa)
    await first(mfa, alice)
    for seconds in (0, 29, 1, 29):  # at any second of the window
        clock.shift(seconds)
        with pytest.raises(InvalidCode):
            await mfa.verify((await login(mfa)).mfa_token, "totp", alice.app.code(1_800_000_000))
    clock.shift(61)
    await again(mfa, alice)


async def test_the_code_that_confirmed_a_binding_does_not_log_in(mfa, clock):
    caller = Caller("alice")
    begun = await mfa.bind(caller, "totp")
    code = VirtualAuthenticator(begun.shown["uri"]).code()
    await mfa.confirm(caller, begun.id, code)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", code)


async def test_a_step_before_one_that_was_used_is_refused(mfa, clock):
    alice = await enrol(mfa)
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.app.code(offset_steps=1))
    for earlier in (0, 1):
        with pytest.raises(InvalidCode):
            await mfa.verify((await login(mfa)).mfa_token, "totp", alice.app.code(offset_steps=earlier))


async def test_a_clock_that_jumps_back_makes_no_code_good_again(mfa, clock):
    alice = await enrol(mfa)
    await used_at_login(mfa, alice)
    used = alice.code
    clock.shift(-40)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", used)


async def test_a_code_with_blanks_is_the_same_code(mfa, clock):
    """CVE-2025-6015: a code with blanks must not pass by the mark of the one without."""
    alice = await enrol(mfa)
    code = alice.code
    await mfa.verify((await login(mfa)).mfa_token, "totp", f" {code[:3]} {code[3:]} ")
    for spelling in (code, f"{code} ", f"{code[:3]}-{code[3:]}", f"\u00a0{code}"):
        with pytest.raises(InvalidCode):
            await mfa.verify((await login(mfa)).mfa_token, "totp", spelling)


async def test_a_proof_that_spends_itself_alone_and_confirmed_a_binding_does_not_log_in(make_mfa, clock):
    async def once(state, answer):
        return Once(digest(answer.code))

    mfa = await make_mfa(Plugin(Word(once)))
    caller = Caller("alice")
    begun = await mfa.bind(caller, "word")
    await mfa.confirm(caller, begun.id, "sesame")
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "word", "sesame")


async def test_used_unknown_and_foreign_recovery_codes_are_answered_alike(mfa, clock):
    alice, bob = await enrol(mfa, "alice"), await enrol(mfa, "bob")
    used = alice.recovery_codes[0]
    await mfa.verify((await login(mfa)).mfa_token, "recovery_code", used)
    answers = set()
    for code in (used, "0000-0000-0000-0000", bob.recovery_codes[0]):
        with pytest.raises(InvalidCode) as refused:
            await mfa.verify((await login(mfa)).mfa_token, "recovery_code", code)
        answers.add((str(refused.value), refused.value.attempts_left))
    assert len(answers) == 1
    assert (await mfa.overview("alice")).recovery_codes_left == 9
    assert (await mfa.overview("bob")).recovery_codes_left == 10


# ------------------------------------------------------------------------------------------------------------ foreign


async def test_another_user_s_authenticator_or_code_is_refused_and_counted_against_the_token_s_user(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)))
    await enrol(mfa, "alice")
    bob = await enrol(mfa, "bob")
    token = (await login(mfa, "alice")).mfa_token
    for left, authenticator_id in ((4, None), (3, bob.id), (2, "nobody's")):
        with pytest.raises(InvalidCode) as refused:
            await mfa.verify(token, "totp", bob.code, authenticator_id)
        assert refused.value.attempts_left == left
    failed = [one for one in listener.events if one.name == "failed"]
    assert [one.user_id for one in failed] == ["alice"] * 3
    assert (await mfa.parts.core.authenticator_store.load("alice")).failures == 3
    assert (await mfa.parts.core.authenticator_store.load("bob")).failures == 0


async def test_the_authenticator_that_is_named_is_the_one_that_is_asked(mfa, clock):
    alice = await enrol(mfa)
    other = await mfa.import_secret("alice", ImportedSecret("totp", "A" * 32))
    token = (await login(mfa)).mfa_token
    with pytest.raises(InvalidCode):
        await mfa.verify(token, "totp", alice.code, other.id)
    assert (await mfa.verify(token, "totp", alice.code, alice.id)).held == HELD


async def test_an_authenticator_of_another_factor_does_not_answer_for_this_one(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    with pytest.raises(InvalidCode):
        await mfa.verify(token, "recovery_code", alice.recovery_codes[0], alice.id)


# -------------------------------------------------------------------------------------------------------- in between


async def reset(mfa, alice):
    await mfa.reset("alice")


async def unbind(mfa, alice):
    await mfa.unbind(alice.proven, alice.id)


async def unbind_beside_another(mfa, alice):
    await mfa.import_secret("alice", ImportedSecret("totp", "A" * 32))
    await mfa.unbind(alice.proven, alice.id)


async def disable(mfa, alice):
    await mfa.change(alice.proven, alice.id, enabled=False)


async def refresh(mfa, alice):
    begun = await mfa.refresh(alice.proven, alice.id)
    await mfa.confirm(alice.proven, alice.id, earlier_code(VirtualAuthenticator(begun.shown["uri"])))


async def reset_and_bind_anew(mfa, alice):
    await mfa.reset("alice")
    await enrol(mfa, "alice")


async def lock(mfa, alice):
    for _ in range(2):
        token = (await login(mfa)).mfa_token
        await outcomes(*(mfa.verify(token, "totp", alice.wrong) for _ in range(5)))


IN_BETWEEN = [reset, unbind, unbind_beside_another, disable, refresh, reset_and_bind_anew, lock]


@pytest.mark.parametrize("change", IN_BETWEEN)
async def test_what_changed_before_the_answer_keeps_the_login_held(mfa, clock, change):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    await change(mfa, alice)
    with pytest.raises(REFUSED):
        await mfa.verify(token, "totp", alice.code)


@pytest.mark.parametrize("change", [one for one in IN_BETWEEN if one is not lock])
async def test_what_changes_while_the_answer_is_looked_at_keeps_the_login_held(mfa, clock, monkeypatch, change):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    store = mfa.parts.core.authenticator_store
    spend = store.spend

    async def change_first(*given, **named):
        monkeypatch.setattr(store, "spend", spend)
        await change(mfa, alice)
        return await spend(*given, **named)

    monkeypatch.setattr(store, "spend", change_first)
    with pytest.raises(REFUSED):
        await mfa.verify(token, "totp", alice.code)


async def test_a_lock_that_comes_while_the_answer_is_looked_at_keeps_the_login_held(make_mfa, clock, monkeypatch):
    mfa = await make_mfa(user_failures=2)
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    store = mfa.parts.core.authenticator_store
    spend = store.spend

    async def lock_first(*given, **named):
        monkeypatch.setattr(store, "spend", spend)
        for _ in range(2):
            await store.fail("alice", at=1_800_000_000.0, policy=mfa.parts.core.policy)
        return await spend(*given, **named)

    monkeypatch.setattr(store, "spend", lock_first)
    with pytest.raises(REFUSED):
        await mfa.verify(token, "totp", alice.code)


async def test_a_reset_between_spending_and_consuming_keeps_the_login_held(mfa, clock, monkeypatch):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    store = mfa.parts.core.token_store
    take = store.take

    async def reset_first(*given, **named):
        await mfa.reset("alice")
        return await take(*given, **named)

    monkeypatch.setattr(store, "take", reset_first)
    with pytest.raises(TokenInvalid):
        await mfa.verify(token, "totp", alice.code)


async def test_new_recovery_codes_void_the_old_on_a_token_that_is_out_already(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    fresh = await mfa.regenerate_codes(alice.proven)
    with pytest.raises(InvalidCode):
        await mfa.verify(token, "recovery_code", alice.recovery_codes[0])
    assert (await mfa.verify((await login(mfa)).mfa_token, "recovery_code", fresh[0])).held == HELD


async def test_a_record_that_is_moved_to_another_token_does_not_open(mfa, clock):
    alice = await enrol(mfa, "alice")
    mallory = await enrol(mfa, "mallory")
    core = mfa.parts.core
    victim = core.tokens.read((await login(mfa, "alice")).mfa_token)
    text = (await login(mfa, "mallory")).mfa_token
    own = core.tokens.read(text)
    client = core.token_store._client
    record = await client.hget(f"mfa:{{{victim.user}}}:t:{victim.digest}", "record")
    await client.hset(f"mfa:{{{own.user}}}:t:{own.digest}", "record", record)
    with pytest.raises(Refusal) as refused:
        await mfa.verify(text, "totp", mallory.code)
    assert refused.value.code == "misconfigured"
    assert alice.code  # nobody got anything by it


async def test_a_login_of_a_flushed_redis_is_gone_and_its_code_was_not_used(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    await mfa.parts.core.token_store._client.flushall()
    with pytest.raises(TokenInvalid):
        await mfa.verify(token, "totp", alice.code)
    await used_at_login(mfa, alice)
    await mfa.parts.core.token_store._client.flushall()
    with pytest.raises(InvalidCode):
        await used_at_login(mfa, alice)


# ------------------------------------------------------------------------------------------------------------ plugins


def returns(value):
    async def check(state, answer):
        return value

    return check


def raises(error):
    async def check(state, answer):
        raise error

    return check


async def hangs(state, answer):
    await asyncio.Event().wait()


class NoProof:
    value = 1
    digest = b"x"


NONSENSE = {
    "nothing": returns(None),
    "True": returns(True),
    "False": returns(False),
    "1": returns(1),
    "a text": returns("ok"),
    "a look-alike": returns(NoProof()),
    "a negative counter": returns(Counter(-1)),
    "a counter too large": returns(Counter(2**63)),
    "an empty digest": returns(Once(b"")),
    "a long digest": returns(Once(b"x" * 65)),
    "an exception": raises(RuntimeError("the code was sesame")),
    "a KeyError": raises(KeyError("sesame")),
    "an error of ours": raises(TokenInvalid("x")),
    "a TimeoutError": raises(TimeoutError()),
    "a recursion": raises(RecursionError()),
}
WRONG_KIND = {
    "a counter of text": returns(Counter(cast(Any, "1"))),
    "a counter of None": returns(Counter(cast(Any, None))),
    "a counter of a float": returns(Counter(cast(Any, 1.5))),
    "a digest of text": returns(Once(cast(Any, "digest"))),
    "a digest of a number": returns(Once(cast(Any, 5))),
}


async def unavailable(make_mfa, check):
    word = Word(check)
    mfa = await make_mfa(Plugin(word))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    with pytest.raises(Unavailable) as refused:
        await mfa.verify(token, "word", "sesame")
    assert "sesame" not in str(refused.value) + refused.value.reason
    assert refused.value.__cause__ is None
    core = mfa.parts.core
    state = await core.token_store.read(core.tokens.read(token).user, core.tokens.read(token).digest)
    assert state is not None
    assert state.attempts == 1  # it stays counted
    word.checking = None
    assert (await mfa.verify(token, "word", "sesame")).held == HELD


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_a_factor_that_answers_nonsense_is_unavailable_and_releases_nothing(make_mfa, clock, nonsense):
    await unavailable(make_mfa, NONSENSE[nonsense])


@pytest.mark.parametrize("nonsense", WRONG_KIND)
async def test_a_factor_that_answers_with_a_proof_of_another_type_is_unavailable(make_mfa, clock, nonsense):
    await unavailable(make_mfa, WRONG_KIND[nonsense])


@pytest.mark.parametrize("proof", [Counter(0), Counter(2**63 - 1), Once(b"1"), Once(b"x" * 64)], ids=range(4))
async def test_a_proof_at_the_bounds_is_spent(make_mfa, clock, proof):
    mfa = await make_mfa(Plugin(Word(returns(proof))))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    assert (await mfa.verify((await login(mfa)).mfa_token, "word", "sesame")).held == HELD
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "word", "sesame")


async def test_each_assurance_has_an_id_of_its_own_and_says_when(mfa, clock):
    found = []
    for user in ("alice", "bob"):
        person = await enrol(mfa, user)
        found.append((await mfa.verify((await login(mfa, user)).mfa_token, "totp", person.code)).assurance)
    assert [one.at for one in found] == [NOON, NOON]
    assert len({one.id for one in found}) == 2
    assert min(len(one.id) for one in found) >= 22  # 16 random bytes


async def test_the_log_says_where_a_factor_failed_and_not_with_what_text(make_mfa, clock, caplog):
    await unavailable(make_mfa, raises(KeyError("sesame")))
    assert "the factor word failed with KeyError (test_verification.py:" in caplog.text
    assert "sesame" not in caplog.text


async def test_a_factor_that_is_misconfigured_says_why_inward_and_releases_nothing(make_mfa, clock):
    """Its author wrote the reason for whoever runs it; what the client is told stays ours."""
    mfa = await make_mfa(Plugin(Word(raises(Misconfigured("no mail server is set", "for the client")))))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    with pytest.raises(Misconfigured) as refused:
        await mfa.verify(token, "word", "sesame")
    assert refused.value.reason == "the factor word: no mail server is set"
    assert "for the client" not in str(refused.value)


async def test_a_factor_that_hangs_is_unavailable_and_releases_nothing(make_mfa, clock, monkeypatch):
    monkeypatch.setattr(checking, "_FACTOR_SECONDS", 0.01)
    await unavailable(make_mfa, hangs)


async def test_a_factor_that_fails_five_times_uses_up_the_token(make_mfa, clock):
    mfa = await make_mfa(Plugin(Word(raises(RuntimeError()))))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    found = await outcomes(*(mfa.verify(token, "word", "x") for _ in range(7)))
    assert sorted(found) == ["TooManyAttempts"] * 2 + ["Unavailable"] * 5


@pytest.mark.parametrize("verb", ["charge", "take"])
async def test_a_lost_token_store_releases_nothing(mfa, clock, monkeypatch, verb):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token

    async def away(*given, **named):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(mfa.parts.core.token_store, verb, away)
        with pytest.raises(Unavailable):
            await mfa.verify(token, "totp", alice.code)


@pytest.mark.parametrize("verb", ["spend", "fail"])
async def test_a_lost_database_releases_nothing(mfa, clock, monkeypatch, verb):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token

    async def away(*given, **named):
        raise Unavailable("away")

    monkeypatch.setattr(mfa.parts.core.authenticator_store, verb, away)
    with pytest.raises(Unavailable):
        await mfa.verify(token, "totp", alice.code if verb == "spend" else alice.wrong)


# ------------------------------------------------------------------------------------------------ prepare and release


class Mail(Word):
    """A factor that sends what must be answered."""

    async def challenge(self, state):
        return Prepared({"sentTo": "a…@example.com"}, {"sent": "12345678"})


async def kept_is_right(state, answer):
    if answer.kept is None or answer.code != answer.kept["sent"]:
        raise InvalidCode("not what was sent")
    return Counter(1)


async def test_what_was_sent_for_a_token_answers_that_token_alone(make_mfa, clock):
    mfa = await make_mfa(Plugin(Mail(kept_is_right)))
    await mfa.import_secret("alice", ImportedSecret("word", "x"))
    first, second = (await login(mfa)).mfa_token, (await login(mfa)).mfa_token
    assert await mfa.prepare(first, "word") == {"sentTo": "a…@example.com"}
    with pytest.raises(InvalidCode):
        await mfa.verify(second, "word", "12345678")
    assert (await mfa.verify(first, "word", "12345678")).held == HELD
    with pytest.raises(TokenInvalid):
        await mfa.prepare(first, "word")


async def test_what_a_factor_prepared_is_kept_sealed(make_mfa, clock):
    mfa = await make_mfa(Plugin(Mail(kept_is_right)))
    await mfa.import_secret("alice", ImportedSecret("word", "x"))
    text = (await login(mfa)).mfa_token
    await mfa.prepare(text, "word")
    token = mfa.parts.core.tokens.read(text)
    kept = await mfa.parts.core.token_store._client.hgetall(f"mfa:{{{token.user}}}:t:{token.digest}")
    assert b"prepared:word" in kept
    assert b"12345678" not in b"".join(kept.values())


async def test_only_a_factor_that_the_user_has_is_prepared(make_mfa, clock):
    mfa = await make_mfa(Plugin(Mail()))
    await enrol(mfa)
    token = (await login(mfa)).mfa_token
    with pytest.raises(InvalidRequest):
        await mfa.prepare(token, "word")
    assert await mfa.prepare(token, "totp") == {}


@pytest.mark.parametrize("error", [RuntimeError("sesame"), TimeoutError()])
async def test_a_factor_that_cannot_prepare_is_unavailable(make_mfa, clock, error):
    class Broken(Mail):
        async def challenge(self, state):
            raise error

    mfa = await make_mfa(Plugin(Broken()))
    await mfa.import_secret("alice", ImportedSecret("word", "x"))
    with pytest.raises(Unavailable):
        await mfa.prepare((await login(mfa)).mfa_token, "word")


@pytest.mark.parametrize("prepared", [None, "x", Prepared({}, {"sent": object()}), Prepared({}, cast(Any, None))])
async def test_a_factor_that_prepares_nonsense_is_unavailable(make_mfa, clock, prepared):
    class Broken(Mail):
        async def challenge(self, state):
            return prepared

    mfa = await make_mfa(Plugin(Broken()))
    await mfa.import_secret("alice", ImportedSecret("word", "x"))
    with pytest.raises(Unavailable):
        await mfa.prepare((await login(mfa)).mfa_token, "word")


async def bind_by_token(mfa, text):
    caller = Caller("alice", enrolment=mfa.parts.core.tokens.read(text))
    begun = await mfa.bind(caller, "totp")
    await mfa.confirm(caller, begun.id, earlier_code(VirtualAuthenticator(begun.shown["uri"])))
    return begun.id


async def test_an_enrolment_is_released_once_its_binding_is_confirmed(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    token = (await login(mfa)).mfa_token
    with pytest.raises(EnrolmentRequired):
        await mfa.release(token)
    await bind_by_token(mfa, token)
    assert (await mfa.release(token)).held == HELD
    with pytest.raises(TokenInvalid):
        await mfa.release(token)


async def test_an_enrolment_of_a_locked_user_is_not_released_and_ends_no_lock(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    token = (await login(mfa)).mfa_token
    await bind_by_token(mfa, token)
    others = [(await login(mfa)).mfa_token for _ in range(3)]
    guesses = [(await outcomes(mfa.verify(other, "totp", "000000")))[0] for other in others for _ in range(5)]
    assert guesses == ["InvalidCode"] * 10 + ["TooManyAttempts"] * 5
    with pytest.raises(TooManyAttempts):
        await mfa.release(token)
    assert await outcomes(mfa.verify(others[-1], "totp", "000000")) == ["TooManyAttempts"]


async def test_an_enrolment_is_not_released_by_a_binding_that_another_token_demanded(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    own, other = (await login(mfa)).mfa_token, (await login(mfa)).mfa_token
    await bind_by_token(mfa, own)
    with pytest.raises(EnrolmentRequired):
        await mfa.release(other)


@pytest.mark.parametrize("change", ["reset", "unbind"])
async def test_an_enrolment_whose_binding_is_gone_is_not_released(make_mfa, clock, change):
    mfa = await make_mfa(enrolment="required")
    token = (await login(mfa)).mfa_token
    row = await bind_by_token(mfa, token)
    await (mfa.reset("alice") if change == "reset" else mfa.unbind(Caller("alice", assured=True), row))
    with pytest.raises((TokenInvalid, EnrolmentRequired)):
        await mfa.release(token)


async def test_tokens_of_other_purposes_are_not_released(mfa, clock):
    await enrol(mfa)
    for challenge in (await login(mfa), await mfa.begin_step_up("alice")):
        with pytest.raises(TokenInvalid):
            await mfa.release(challenge.mfa_token)

"""Beginning a login or a step-up: who is challenged, by what, and what the token keeps."""

from __future__ import annotations

import pytest

from mfa_middleware import LoginNotHeld, Misconfigured, NotFound, TokenInvalid, Unavailable
from mfa_middleware.callers import Caller
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.management import ImportedSecret
from mfa_middleware.models import Purpose
from tests.world import HELD, NOON, Plugin, Word, enrol, login


async def test_who_has_no_factor_is_not_challenged(mfa):
    assert await mfa.begin_login("alice", HELD) is None


async def test_who_has_only_a_pending_factor_is_not_challenged(mfa):
    await mfa.bind(Caller("alice"), "totp")
    assert await mfa.begin_login("alice", HELD) is None


async def test_who_has_a_factor_is_challenged_and_the_right_answer_gives_the_login_unchanged(mfa, clock):
    alice = await enrol(mfa)
    challenge = await login(mfa)
    assert challenge.purpose is Purpose.LOGIN
    assert [one.factor for one in challenge.factors] == ["totp", "recovery_code"]
    assert (await mfa.verify(challenge.mfa_token, "totp", alice.code)).held == HELD


async def test_only_that_user_is_challenged(mfa, clock):
    await enrol(mfa, "alice")
    assert await mfa.begin_login("Alice", HELD) is None
    assert await mfa.begin_login("alice ", HELD) is None


async def test_who_has_only_a_disabled_factor_is_not_challenged(mfa, clock):
    alice = await enrol(mfa)
    await mfa.change(alice.proven, alice.id, enabled=False)
    assert await mfa.begin_login("alice", HELD) is None


async def test_a_disabled_authenticator_is_not_offered_beside_an_enabled_one(mfa, clock):
    alice = await enrol(mfa)
    other = await mfa.import_secret("alice", ImportedSecret("totp", "A" * 32))
    await mfa.change(alice.proven, alice.id, enabled=False)
    offered = [one.authenticator_id for one in (await login(mfa)).factors]
    assert alice.id not in offered
    assert other.id in offered


async def test_a_backup_alone_never_gates_a_login(mfa, clock):
    alice = await enrol(mfa)
    await mfa.import_secret("bob", ImportedSecret("totp", "A" * 32, recovery_codes=["abcd-efgh"]))
    await mfa.change(alice.proven, alice.id, enabled=False)
    assert not (await mfa.status("alice")).enabled


async def test_factors_are_offered_in_the_order_of_the_setting(make_mfa, clock):
    mfa = await make_mfa(Plugin(Word()), factors="recovery_code, word, totp")
    await enrol(mfa)
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    assert [one.factor for one in (await login(mfa)).factors] == ["recovery_code", "word", "totp"]


async def test_a_user_whose_factor_is_not_in_use_is_refused_and_not_let_in(make_mfa, settings, clock):
    word = Plugin(Word())
    file = settings().database_url
    both = await make_mfa(word, database_url=file)
    await both.import_secret("alice", ImportedSecret("word", "sesame"))
    await both.close()
    mfa = await make_mfa(word, factors="totp, recovery_code", database_url=file)
    with pytest.raises(Misconfigured):
        await mfa.begin_login("alice", HELD)


async def test_where_enrolment_is_required_who_has_none_must_bind_first(make_mfa):
    mfa = await make_mfa(enrolment="required")
    challenge = await login(mfa)
    assert challenge.purpose is Purpose.ENROLMENT
    assert challenge.factors == ()


async def test_a_login_whose_session_cannot_be_kept_is_refused(mfa, clock):
    await enrol(mfa)
    for value in (object(), b"bytes", float("nan"), {1, 2}):
        with pytest.raises(LoginNotHeld):
            await mfa.begin_login("alice", HeldLogin(200, (), b"", "/login", {"value": value}))


@pytest.mark.parametrize(
    "user_id", ["", "日本", "a" * 255, "../../x", "{alice}", "mfa:{x}:t:*", "a\nb", "%s%n", "'; --"]
)
async def test_any_user_id_is_one_user_of_its_own(mfa, clock, user_id):
    other = await enrol(mfa, "alice")
    person = await enrol(mfa, user_id)
    token = (await login(mfa, user_id)).mfa_token
    assert (await mfa.verify(token, "totp", person.code)).assurance.user_id == user_id
    assert len((await mfa.overview("alice")).authenticators) == 1
    assert other.id != person.id


async def test_of_more_logins_than_one_user_may_have_the_oldest_dies(make_mfa, clock):
    mfa = await make_mfa(pending_logins=2)
    alice = await enrol(mfa)
    first, second, third = [(await login(mfa)).mfa_token for _ in range(3)]
    with pytest.raises(TokenInvalid):
        await mfa.verify(first, "totp", alice.code)
    await mfa.verify(second, "totp", alice.code)
    clock.shift(30)
    await mfa.verify(third, "totp", alice.code)


async def test_one_user_s_logins_do_not_push_out_another_s(make_mfa, clock):
    mfa = await make_mfa(pending_logins=1)
    await enrol(mfa, "alice")
    bob = await enrol(mfa, "bob")
    token = (await login(mfa, "bob")).mfa_token
    for _ in range(5):
        await login(mfa, "alice")
    await mfa.verify(token, "totp", bob.code)


# ------------------------------------------------------------------------------------------------------------ step-up


async def test_a_step_up_proves_a_factor_and_releases_nothing(mfa, clock):
    alice = await enrol(mfa)
    challenge = await mfa.begin_step_up("alice")
    assert challenge.purpose is Purpose.STEP_UP
    proven = await mfa.verify(challenge.mfa_token, "totp", alice.code)
    assert proven.held is None
    assert (proven.assurance.user_id, proven.assurance.at, proven.assurance.amr) == ("alice", NOON, "otp")


async def test_who_has_no_factor_cannot_step_up(mfa):
    with pytest.raises(NotFound):
        await mfa.begin_step_up("alice")
    await mfa.bind(Caller("alice"), "totp")
    with pytest.raises(NotFound):
        await mfa.begin_step_up("alice")


async def test_a_disabled_authenticator_serves_for_a_step_up_and_for_no_login(mfa, clock):
    alice = await enrol(mfa)
    held = await login(mfa)
    await mfa.change(alice.proven, alice.id, enabled=False)
    token = (await mfa.begin_step_up("alice")).mfa_token
    await mfa.verify(token, "totp", alice.code)
    clock.shift(30)
    with pytest.raises(Exception, match="not right"):
        await mfa.verify(held.mfa_token, "totp", alice.code)


async def test_a_lost_database_challenges_nobody_and_lets_nobody_in(mfa, clock, monkeypatch):
    await enrol(mfa)

    async def away(user_id):
        raise Unavailable("away")

    monkeypatch.setattr(mfa.parts.core.authenticator_store, "load", away)
    with pytest.raises(Unavailable):
        await mfa.begin_login("alice", HELD)


async def test_a_lost_token_store_challenges_nobody_and_lets_nobody_in(mfa, clock, monkeypatch):
    await enrol(mfa)

    async def away(*given, **named):
        raise Unavailable("away")

    monkeypatch.setattr(mfa.parts.core.token_store, "issue", away)
    with pytest.raises(Unavailable):
        await mfa.begin_login("alice", HELD)

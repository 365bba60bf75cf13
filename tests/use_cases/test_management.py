"""Live authenticators: listed without a secret, changed, removed; and what an admin does."""

from __future__ import annotations

import asyncio

import pytest

from mfa_middleware import InvalidCode, InvalidRequest, NotFound, StepUpRequired, TokenInvalid, Unavailable
from mfa_middleware.callers import Caller
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from tests.world import HELD, Listener, Plugin, Word, enrol, login, outcomes

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ADMIN = Caller("alice", admin=True)


async def test_an_overview_tells_of_live_ones_and_of_no_backup(mfa, clock):
    alice = await enrol(mfa)
    await mfa.bind(alice.proven, "totp")
    overview = await mfa.overview("alice")
    assert [one.id for one in overview.authenticators] == [alice.id]
    assert overview.recovery_codes_left == 10


async def test_when_one_was_last_used_is_told(mfa, clock):
    alice = await enrol(mfa)
    clock.shift(60)
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    (one,) = (await mfa.overview("alice")).authenticators
    assert one.last_used_at == one.created_at + 60


async def test_status_tells_enabled_factors(mfa, clock):
    alice = await enrol(mfa)
    assert ((await mfa.status("alice")).enabled, (await mfa.status("alice")).factors) == (True, ("totp",))
    await mfa.change(alice.proven, alice.id, enabled=False)
    assert ((await mfa.status("alice")).enabled, (await mfa.status("alice")).factors) == (False, ())


async def test_an_authenticator_is_disabled_and_enabled_again(mfa, clock):
    alice = await enrol(mfa)
    assert not (await mfa.change(alice.proven, alice.id, enabled=False)).enabled
    assert await mfa.begin_login("alice", HELD) is None
    assert (await mfa.change(alice.proven, alice.id, enabled=True)).enabled
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)).held == HELD


async def test_disabling_and_enabling_makes_no_code_good_again(mfa, clock):
    alice = await enrol(mfa)
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    for enabled in (False, True):
        await mfa.change(alice.proven, alice.id, enabled=enabled, label="phone")
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)


async def test_a_change_of_nothing_changes_nothing(mfa, clock):
    alice = await enrol(mfa)
    before = await mfa.parts.core.authenticator_store.load("alice")
    await mfa.change(alice.proven, alice.id)
    assert await mfa.parts.core.authenticator_store.load("alice") == before


async def test_what_is_not_the_caller_s_live_one_is_not_there(mfa, clock):
    alice, bob = await enrol(mfa, "alice"), await enrol(mfa, "bob")
    rows = (await mfa.parts.core.authenticator_store.load("alice")).authenticators
    backup = next(one.id for one in rows if one.backup)
    for row in (bob.id, backup, "nobody's", ""):
        with pytest.raises(NotFound):
            await mfa.change(alice.proven, row, enabled=False)
        with pytest.raises(NotFound):
            await mfa.unbind(alice.proven, row)
    assert (await mfa.status("bob")).enabled


async def test_with_the_last_one_the_recovery_codes_go_and_logins_are_free(mfa, clock):
    alice = await enrol(mfa)
    token = (await login(mfa)).mfa_token
    await mfa.unbind(alice.proven, alice.id)
    assert (await mfa.parts.core.authenticator_store.load("alice")).authenticators == ()
    assert await mfa.begin_login("alice", HELD) is None
    with pytest.raises(TokenInvalid):
        await mfa.verify(token, "recovery_code", alice.recovery_codes[0])


async def test_with_one_of_two_the_recovery_codes_stay(mfa, clock):
    alice = await enrol(mfa)
    await mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    await mfa.unbind(alice.proven, alice.id)
    assert (await mfa.overview("alice")).recovery_codes_left == 10


async def test_two_unbound_at_once_leave_no_recovery_codes_behind(mfa, clock):
    alice = await enrol(mfa)
    other = await mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    await asyncio.gather(mfa.unbind(alice.proven, alice.id), mfa.unbind(alice.proven, other.id))
    assert (await mfa.parts.core.authenticator_store.load("alice")).authenticators == ()


async def test_a_pending_one_is_unbound_without_a_proof_while_nothing_is_live(mfa, clock):
    begun = await mfa.bind(Caller("alice"), "totp")
    await mfa.unbind(Caller("alice"), begun.id)
    with pytest.raises(NotFound):
        await mfa.confirm(Caller("alice"), begun.id, VirtualAuthenticator(begun.shown["uri"]).code())


async def test_new_recovery_codes_void_the_old(mfa, clock):
    alice = await enrol(mfa)
    await mfa.verify((await login(mfa)).mfa_token, "recovery_code", alice.recovery_codes[0])
    fresh = await mfa.regenerate_codes(alice.proven)
    assert not set(fresh) & set(alice.recovery_codes)
    assert (await mfa.overview("alice")).recovery_codes_left == 10
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "recovery_code", alice.recovery_codes[1])
    assert (await mfa.verify((await login(mfa)).mfa_token, "recovery_code", fresh[0])).held == HELD


async def test_who_has_no_authenticator_gets_no_recovery_codes(mfa, clock):
    with pytest.raises(NotFound):
        await mfa.regenerate_codes(Caller("alice"))
    await mfa.bind(Caller("alice"), "totp")
    with pytest.raises(NotFound):
        await mfa.regenerate_codes(Caller("alice"))


async def test_without_a_backup_factor_there_are_no_recovery_codes(make_mfa, clock):
    mfa = await make_mfa(factors="totp")
    alice = await enrol(mfa)
    assert alice.recovery_codes == ()
    with pytest.raises(NotFound):
        await mfa.regenerate_codes(alice.proven)
    with pytest.raises(InvalidRequest):
        await mfa.import_secret("bob", ImportedSecret("totp", SECRET, recovery_codes=["abcd-efgh"]))
    assert (await mfa.overview("bob")).authenticators == ()


# -------------------------------------------------------------------------------------------------------------- admins


async def test_a_reset_removes_everything_and_ends_the_lock(mfa, clock):
    alice = await enrol(mfa)
    for _ in range(10):
        await outcomes(mfa.verify((await login(mfa)).mfa_token, "totp", alice.wrong))
    await mfa.reset("alice")
    user = await mfa.parts.core.authenticator_store.load("alice")
    assert (user.authenticators, user.failures, user.locked_until) == ((), 0, 0.0)
    assert await mfa.begin_login("alice", HELD) is None
    again = await enrol(mfa)
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", again.code)).held == HELD


async def test_a_reset_of_who_has_nothing_is_fine(mfa):
    await mfa.reset("nobody")
    await mfa.unlock("nobody")


async def test_an_admin_needs_no_proof(mfa, clock):
    alice = await enrol(mfa)
    await mfa.change(ADMIN, alice.id, enabled=False)
    await mfa.unbind(ADMIN, alice.id)
    assert not (await mfa.overview("alice")).authenticators


async def test_an_imported_secret_is_live_and_enabled_at_once(mfa, clock):
    codes = ["old-code-1", "old-code-2"]
    row = await mfa.import_secret("alice", ImportedSecret("totp", SECRET.lower(), "phone", codes))
    assert (row.label, row.enabled) == ("phone", True)
    assert (await mfa.overview("alice")).recovery_codes_left == 2
    token = (await login(mfa)).mfa_token
    assert (await mfa.verify(token, "totp", VirtualAuthenticator(SECRET).code())).held == HELD
    assert (await mfa.verify((await login(mfa)).mfa_token, "recovery_code", "OLD CODE 1")).held == HELD


async def test_an_import_brings_only_the_recovery_codes_that_are_given(mfa, clock):
    await mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    assert (await mfa.overview("alice")).recovery_codes_left == 0
    await mfa.import_secret("alice", ImportedSecret("totp", "A" * 32, recovery_codes=["abcd-efgh"]))
    await mfa.import_secret("alice", ImportedSecret("totp", "B" * 32, recovery_codes=["ijkl-mnop"]))
    assert (await mfa.overview("alice")).recovery_codes_left == 1


@pytest.mark.parametrize(
    ("imported", "field"),
    [
        (ImportedSecret("totp", "CANARY-not-base32!"), "secret"),
        (ImportedSecret("totp", "MZXW6"), "secret"),
        (ImportedSecret("recovery_code", SECRET), "factor"),
        (ImportedSecret("nothing", SECRET), "factor"),
        (ImportedSecret("totp", SECRET, recovery_codes=["CANARY", "CANARY"]), "recoveryCodes"),
        (ImportedSecret("totp", SECRET, recovery_codes=["x"]), "recoveryCodes"),
        (ImportedSecret("totp", SECRET, recovery_codes=["CANARY\0\0\0"]), "recoveryCodes"),
    ],
)
async def test_an_import_that_cannot_be_used_changes_nothing_and_names_the_field(mfa, imported, field):
    with pytest.raises(InvalidRequest) as refused:
        await mfa.import_secret("alice", imported)
    assert [name for name, _ in refused.value.errors] == [field]
    assert "CANARY" not in repr(refused.value.errors) + refused.value.reason + repr(imported)
    assert (await mfa.parts.core.authenticator_store.load("alice")).authenticators == ()


async def test_a_proof_is_asked_for_once_an_imported_secret_is_live(mfa, clock):
    await mfa.import_secret("alice", ImportedSecret("totp", SECRET))
    with pytest.raises(StepUpRequired):
        await mfa.bind(Caller("alice"), "totp")


async def test_the_rows_of_a_factor_that_is_not_in_use_are_still_to_be_seen_and_removed(make_mfa, settings, clock):
    word = Plugin(Word())
    file = settings().database_url
    both = await make_mfa(word, database_url=file)
    row = await both.import_secret("alice", ImportedSecret("word", "sesame"))
    await both.close()
    mfa = await make_mfa(word, factors="totp, recovery_code", database_url=file)
    assert [one.id for one in (await mfa.overview("alice")).authenticators] == [row.id]
    await mfa.unbind(ADMIN, row.id)
    assert not (await mfa.overview("alice")).authenticators


# ------------------------------------------------------------------------------------- an engine that goes in between


@pytest.mark.parametrize("act", ["unbound", "reset"])
async def test_what_the_database_has_done_is_told_though_redis_goes_before_the_held_logins_are_destroyed(
    make_mfa, clock, monkeypatch, act
):
    """Who asks again would hear that there is nothing to do, and nobody would be told of it."""
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)))
    alice = await enrol(mfa)

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("redis: away")

    monkeypatch.setattr(mfa.parts.core.token_store, "forget", away)
    with pytest.raises(Unavailable):
        await (mfa.unbind(alice.proven, alice.id) if act == "unbound" else mfa.reset("alice"))
    assert (await mfa.overview("alice")).authenticators == ()
    assert (listener.names[-1], listener.events[-1].user_id) == (act, "alice")

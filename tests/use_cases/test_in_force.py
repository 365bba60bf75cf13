"""Use-cases without a confirmation, for old APIs: an authenticator, or a new secret, that is in force at once."""

from __future__ import annotations

import pytest

from mfa_middleware import MFA, NotFound, StepUpRequired
from mfa_middleware.callers import Caller
from mfa_middleware.keyring import fingerprint
from mfa_middleware.management import ImportedSecret
from mfa_middleware.testing import VirtualAuthenticator
from tests.world import MakeMFA, Plugin, Word, enrol, login, outcomes

ALICE = Caller("alice", proof=fingerprint("the token that alice has"))


async def test_it_gates_the_next_login_and_its_code_is_right(mfa: MFA):
    made = await mfa.put_in_force(ALICE, "totp")
    challenge = await login(mfa)
    proven = await mfa.verify(challenge.mfa_token, "totp", VirtualAuthenticator(made.shown["uri"]).code())
    assert proven.held is not None


async def test_of_two_at_once_one_is_in_force(mfa: MFA):
    done = await outcomes(*(mfa.put_in_force(Caller("alice"), "totp") for _ in range(2)))
    assert sorted(done) == ["StepUpRequired", "ok"]
    assert len((await mfa.overview("alice")).authenticators) == 1


async def test_of_two_at_once_by_who_has_proven_one_factor_one_is_in_force(make_mfa: MakeMFA):
    mfa = await make_mfa(Plugin(Word()))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    caller = Caller("alice", assured=True)
    assert sorted(await outcomes(*(mfa.put_in_force(caller, "totp") for _ in range(2)))) == ["NotFound", "ok"]


async def test_who_has_a_live_one_needs_a_fresh_proof(mfa: MFA):
    alice = await enrol(mfa)
    for row in (None, alice.id):
        with pytest.raises(StepUpRequired):
            await mfa.put_in_force(Caller("alice"), "totp", row)


async def test_a_new_secret_voids_the_old_one_and_what_was_pending(mfa: MFA, clock: object):
    alice = await enrol(mfa)
    before = await login(mfa)
    pending = await mfa.refresh(alice.proven, alice.id)
    made = await mfa.put_in_force(alice.proven, "totp", alice.id)
    assert made.id == alice.id
    assert await outcomes(
        mfa.verify(before.mfa_token, "totp", alice.code),
        mfa.verify((await login(mfa)).mfa_token, "totp", alice.code),
        mfa.confirm(alice.proven, alice.id, VirtualAuthenticator(pending.shown["uri"]).code()),
        mfa.verify((await login(mfa)).mfa_token, "totp", VirtualAuthenticator(made.shown["uri"]).code()),
    ) == ["InvalidCode", "InvalidCode", "NotFound", "ok"]


async def test_it_replaces_no_authenticator_of_another_factor_and_of_nobody_else(make_mfa: MakeMFA):
    mfa = await make_mfa(Plugin(Word()))
    word = await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    bob = await enrol(mfa, "bob")
    for row in (word.id, bob.id, "nothing"):
        with pytest.raises(NotFound):
            await mfa.put_in_force(Caller("alice", assured=True), "totp", row)


async def test_who_enabled_it_has_proven_it_and_nobody_else(mfa: MFA):
    made = await mfa.put_in_force(ALICE, "totp")
    with pytest.raises(StepUpRequired):
        await mfa.unbind(Caller("alice", proof=fingerprint("another token of alice")), made.id)
    await mfa.unbind(ALICE, made.id)


async def test_it_ends_no_lock(make_mfa: MakeMFA, clock: object):
    mfa = await make_mfa(user_failures=2)
    alice = await enrol(mfa)
    for _ in range(2):
        assert await outcomes(mfa.verify((await login(mfa)).mfa_token, "totp", alice.wrong)) == ["InvalidCode"]
    made = await mfa.put_in_force(alice.proven, "totp", alice.id)
    code = VirtualAuthenticator(made.shown["uri"]).code()
    assert await outcomes(mfa.verify((await login(mfa)).mfa_token, "totp", code)) == ["TooManyAttempts"]

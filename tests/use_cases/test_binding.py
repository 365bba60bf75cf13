"""Binding: pending touches nothing live, and factors change only for who proved one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mfa_middleware import InvalidCode, InvalidRequest, NotFound, StepUpRequired, TooManyAttempts, Unavailable
from mfa_middleware.binding import PENDING_SECONDS
from mfa_middleware.callers import Caller
from mfa_middleware.factor import Enrolment
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.keyring import fingerprint
from mfa_middleware.management import ImportedSecret
from mfa_middleware.models import Counter
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from tests.world import HELD, Listener, Plugin, Word, earlier_code, enrol, login, outcomes

ALICE = Caller("alice", name="alice@example.com", issuer="Example")


def app_of(binding) -> VirtualAuthenticator:
    return VirtualAuthenticator(binding.shown["uri"])


async def test_the_authenticator_app_shows_the_issuer_and_the_name(mfa, clock):
    app = app_of(await mfa.bind(ALICE, "totp"))
    assert (app.issuer, app.name) == ("Example", "alice@example.com")


async def test_a_pending_authenticator_is_not_live(mfa, clock):
    begun = await mfa.bind(ALICE, "totp", "phone")
    assert begun.expires_in == PENDING_SECONDS
    assert (await mfa.overview("alice")).authenticators == ()
    status = await mfa.status("alice")
    assert (status.enabled, status.factors) == (False, ())
    assert await mfa.begin_login("alice", HELD) is None


async def test_a_confirmed_one_is_live_enabled_and_brings_recovery_codes_the_first_time_alone(mfa, clock):
    begun = await mfa.bind(ALICE, "totp", "phone")
    confirmed = await mfa.confirm(ALICE, begun.id, app_of(begun).code())
    assert len(set(confirmed.recovery_codes)) == 10
    overview = await mfa.overview("alice")
    assert [(one.id, one.label, one.enabled) for one in overview.authenticators] == [(begun.id, "phone", True)]
    assert overview.recovery_codes_left == 10
    proven = Caller("alice", assured=True)
    second = await mfa.bind(proven, "totp")
    assert (await mfa.confirm(proven, second.id, app_of(second).code())).recovery_codes == ()
    assert (await mfa.overview("alice")).recovery_codes_left == 10


async def test_a_wrong_code_confirms_nothing(mfa, clock):
    begun = await mfa.bind(ALICE, "totp")
    with pytest.raises(InvalidCode):
        await mfa.confirm(ALICE, begun.id, "x")
    assert await mfa.begin_login("alice", HELD) is None
    assert (await mfa.confirm(ALICE, begun.id, app_of(begun).code())).id == begun.id


async def test_a_pending_one_expires(mfa, clock):
    begun = await mfa.bind(ALICE, "totp")
    clock.shift(PENDING_SECONDS)
    with pytest.raises(NotFound):
        await mfa.confirm(ALICE, begun.id, app_of(begun).code())


async def test_of_two_pending_ones_confirming_one_kills_the_other(mfa, clock):
    first, second = await mfa.bind(ALICE, "totp"), await mfa.bind(ALICE, "totp")
    await mfa.confirm(ALICE, second.id, app_of(second).code())
    for caller in (ALICE, Caller("alice", assured=True)):
        with pytest.raises(NotFound):
            await mfa.confirm(caller, first.id, app_of(first).code())
    assert len((await mfa.overview("alice")).authenticators) == 1


async def test_confirming_a_new_one_kills_the_pending_secret_of_a_refresh(mfa, clock):
    alice = await enrol(mfa)
    refreshed = await mfa.refresh(alice.proven, alice.id)
    begun = await mfa.bind(alice.proven, "totp")
    await mfa.confirm(alice.proven, begun.id, app_of(begun).code())
    with pytest.raises(NotFound):
        await mfa.confirm(alice.proven, alice.id, app_of(refreshed).code())
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code, alice.id)).held == HELD


async def test_two_confirmations_at_once_make_one_authenticator(mfa, clock):
    first, second = await mfa.bind(ALICE, "totp"), await mfa.bind(ALICE, "totp")
    found = await outcomes(
        mfa.confirm(ALICE, first.id, app_of(first).code()), mfa.confirm(ALICE, second.id, app_of(second).code())
    )
    assert found.count("ok") == 1
    overview = await mfa.overview("alice")
    assert len(overview.authenticators) == 1
    assert overview.recovery_codes_left == 10


async def test_one_code_confirms_one_binding_once(mfa, clock):
    begun = await mfa.bind(ALICE, "totp")
    found = await outcomes(*(mfa.confirm(ALICE, begun.id, app_of(begun).code()) for _ in range(8)))
    assert found.count("ok") == 1


async def test_a_user_has_no_more_than_five_pending_ones(mfa, clock):
    begun = []
    for _ in range(8):
        begun.append(await mfa.bind(ALICE, "totp"))
        clock.shift(1)
    kept = (await mfa.parts.core.authenticator_store.load("alice")).authenticators
    assert [one.id for one in kept] == [one.id for one in begun[-5:]]


async def test_another_user_s_pending_one_is_not_to_be_confirmed(mfa, clock):
    begun = await mfa.bind(ALICE, "totp")
    with pytest.raises(NotFound):
        await mfa.confirm(Caller("bob"), begun.id, app_of(begun).code())
    assert not (await mfa.status("bob")).enabled


async def test_a_backup_factor_is_not_bound_by_itself(mfa):
    with pytest.raises(InvalidRequest):
        await mfa.bind(ALICE, "recovery_code")


async def test_a_factor_that_is_not_in_use_is_not_bound(mfa):
    with pytest.raises(InvalidRequest):
        await mfa.bind(ALICE, "password")


# ------------------------------------------------------------------------------------------------------------ refresh


async def test_the_old_secret_lives_until_the_new_one_is_confirmed(mfa, clock):
    alice = await enrol(mfa)
    begun = await mfa.refresh(alice.proven, alice.id)
    assert begun.id == alice.id
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", app_of(begun).code())
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    await mfa.confirm(alice.proven, alice.id, earlier_code(app_of(begun)))
    clock.shift(30)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    assert (await mfa.verify((await login(mfa)).mfa_token, "totp", app_of(begun).code())).held == HELD


async def test_a_refresh_is_not_confirmed_by_the_old_secret(mfa, clock):
    alice = await enrol(mfa)
    await mfa.refresh(alice.proven, alice.id)
    with pytest.raises(InvalidCode):
        await mfa.confirm(alice.proven, alice.id, alice.code)


async def test_a_refresh_brings_no_recovery_codes(mfa, clock):
    alice = await enrol(mfa)
    begun = await mfa.refresh(alice.proven, alice.id)
    assert (await mfa.confirm(alice.proven, alice.id, app_of(begun).code())).recovery_codes == ()


async def test_what_is_not_live_is_not_refreshed(mfa, clock):
    begun = await mfa.bind(ALICE, "totp")
    alice, bob = await enrol(mfa, "carol"), await enrol(mfa, "bob")
    rows = (await mfa.parts.core.authenticator_store.load("bob")).authenticators
    backup = next(one.id for one in rows if one.backup)
    for caller, row in ((ALICE, begun.id), (alice.proven, bob.id), (bob.proven, backup), (bob.proven, "nobody's")):
        with pytest.raises(NotFound):
            await mfa.refresh(caller, row)


# -------------------------------------------------------------------------------------------------------- the proof


CHANGES = {
    "bind": lambda mfa, caller, alice: mfa.bind(caller, "totp"),
    "refresh": lambda mfa, caller, alice: mfa.refresh(caller, alice.id),
    "disable": lambda mfa, caller, alice: mfa.change(caller, alice.id, enabled=False),
    "enable": lambda mfa, caller, alice: mfa.change(caller, alice.id, enabled=True),
    "relabel": lambda mfa, caller, alice: mfa.change(caller, alice.id, label="mine"),
    "unbind": lambda mfa, caller, alice: mfa.unbind(caller, alice.id),
    "new codes": lambda mfa, caller, alice: mfa.regenerate_codes(caller),
}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("change", CHANGES)
async def test_with_a_live_authenticator_nothing_changes_without_a_proof(mfa, clock, change, enabled):
    alice = await enrol(mfa)
    await mfa.change(alice.proven, alice.id, enabled=enabled)
    before = await mfa.parts.core.authenticator_store.load("alice")
    for caller in (alice.caller, Caller("alice", proof=fingerprint("a bearer that proved nothing"))):
        with pytest.raises(StepUpRequired):
            await CHANGES[change](mfa, caller, alice)
    assert await mfa.parts.core.authenticator_store.load("alice") == before


@pytest.mark.parametrize("change", CHANGES)
async def test_what_proves_for_one_user_proves_nothing_for_another(mfa, clock, change):
    alice, bob = await enrol(mfa, "alice"), await enrol(mfa, "bob")
    token = (await mfa.begin_step_up("bob", [fingerprint("shared")])).mfa_token
    await mfa.verify(token, "totp", bob.code)
    with pytest.raises(StepUpRequired):
        await CHANGES[change](mfa, Caller("alice", proof=fingerprint("shared")), alice)


async def by_login(mfa, alice, bearer):
    body = b'{"data": [{"deep": {"access_token": "%s"}}]}' % bearer.encode()
    challenge = await login(mfa, held=HeldLogin(200, ((b"content-type", b"application/json"),), body, "/login"))
    await mfa.verify(challenge.mfa_token, "totp", alice.code)


async def by_login_that_says_token(mfa, alice, bearer):
    challenge = await login(mfa, held=HeldLogin(200, (), b'{"token": "%s"}' % bearer.encode(), "/login"))
    await mfa.verify(challenge.mfa_token, "recovery_code", alice.recovery_codes[0])


async def by_step_up(mfa, alice, bearer):
    challenge = await mfa.begin_step_up("alice", [fingerprint(bearer)])
    await mfa.verify(challenge.mfa_token, "totp", alice.code)


async def by_confirming(mfa, alice, bearer):
    caller = Caller("alice", assured=True, proof=fingerprint(bearer))
    begun = await mfa.bind(caller, "totp")
    await mfa.confirm(caller, begun.id, app_of(begun).code())


@pytest.mark.parametrize("way", [by_login, by_login_that_says_token, by_step_up, by_confirming])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_bearer_that_proved_a_factor_may_change_them_for_a_while(mfa, clock, change, way):
    alice = await enrol(mfa)
    await way(mfa, alice, "the-bearer")
    caller = Caller("alice", proof=fingerprint("the-bearer"))
    clock.shift(599)
    await CHANGES[change](mfa, caller, alice)


@pytest.mark.parametrize("way", [by_login, by_login_that_says_token, by_step_up, by_confirming])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_proof_is_stale_after_its_time(mfa, clock, change, way):
    alice = await enrol(mfa)
    await way(mfa, alice, "the-bearer")
    clock.shift(600)
    with pytest.raises(StepUpRequired):
        await CHANGES[change](mfa, Caller("alice", proof=fingerprint("the-bearer")), alice)


async def test_a_step_up_that_was_only_begun_proves_nothing(mfa, clock):
    alice = await enrol(mfa)
    token = (await mfa.begin_step_up("alice", [fingerprint("the-bearer")])).mfa_token
    await outcomes(mfa.verify(token, "totp", alice.wrong))
    with pytest.raises(StepUpRequired):
        await mfa.unbind(Caller("alice", proof=fingerprint("the-bearer")), alice.id)


@pytest.mark.parametrize("end", ["reset", "unbind"])
async def test_a_proof_ends_with_the_factor_that_it_proved(mfa, clock, end):
    alice = await enrol(mfa)
    await by_step_up(mfa, alice, "the-bearer")
    await (mfa.reset("alice") if end == "reset" else mfa.unbind(alice.proven, alice.id))
    again = await enrol(mfa)
    with pytest.raises(StepUpRequired):
        await mfa.unbind(Caller("alice", proof=fingerprint("the-bearer")), again.id)


async def test_a_first_binding_that_another_was_faster_with_is_refused(mfa, clock):
    """Both were pending before there was anything live; then the second needs a proof like anyone."""
    first, second = await mfa.bind(ALICE, "totp"), await mfa.bind(ALICE, "totp")
    await mfa.confirm(ALICE, first.id, app_of(first).code())
    with pytest.raises((StepUpRequired, NotFound)):
        await mfa.confirm(ALICE, second.id, app_of(second).code())


# ---------------------------------------------------------------------------------------------------------- enrolment


async def enrolling(mfa, user_id="alice"):
    text = (await login(mfa, user_id)).mfa_token
    return text, Caller(user_id, enrolment=mfa.parts.core.tokens.read(text))


async def test_an_enrolment_binds_one_authenticator_and_no_second(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    text, caller = await enrolling(mfa)
    first = await mfa.bind(caller, "totp")
    await mfa.confirm(caller, first.id, app_of(first).code())
    with pytest.raises(StepUpRequired):
        await mfa.bind(caller, "totp")
    for change in ("disable", "unbind", "new codes", "refresh"):
        with pytest.raises(StepUpRequired):
            await CHANGES[change](mfa, caller, first)
    assert (await mfa.release(text)).held == HELD


async def test_an_older_enrolment_of_the_same_user_changes_nothing_once_one_is_live(make_mfa, clock):
    mfa = await make_mfa(enrolment="required")
    _, thief = await enrolling(mfa)
    pending = await mfa.bind(thief, "totp")
    await enrol(mfa)
    with pytest.raises(StepUpRequired):
        await mfa.bind(thief, "totp")
    with pytest.raises((StepUpRequired, NotFound)):
        await mfa.confirm(thief, pending.id, app_of(pending).code())
    assert len((await mfa.overview("alice")).authenticators) == 1


# ------------------------------------------------------------------------------------------------------------ plugins


BROKEN = {
    "raises": RuntimeError("sesame"),
    "returns nothing": None,
    "returns a text": "x",
    "returns a state that is no JSON": Enrolment({"key": object()}, {}),
    "returns no state": Enrolment(cast(Any, None), {}),
    "shows nothing": Enrolment({}, cast(Any, None)),
}


class Unfit(Word):
    """A factor whose enrol gives something else."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    async def enrol(self, enrolling):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


async def unfit(make_mfa, way):
    mfa = await make_mfa(Plugin(Unfit(BROKEN[way])))
    with pytest.raises(Unavailable) as refused:
        await mfa.bind(ALICE, "word")
    assert "sesame" not in refused.value.reason
    assert (await mfa.parts.core.authenticator_store.load("alice")).authenticators == ()


async def test_a_factor_that_raises_at_a_binding_is_unavailable(make_mfa):
    await unfit(make_mfa, "raises")


@pytest.mark.parametrize("way", [way for way in BROKEN if way != "raises"])
async def test_a_factor_that_enrols_nonsense_is_unavailable(make_mfa, way):
    await unfit(make_mfa, way)


async def test_a_factor_that_fails_at_a_confirmation_leaves_it_pending_and_counted(make_mfa, clock):
    async def fails(state, answer):
        raise RuntimeError

    word = Word(fails)
    mfa = await make_mfa(Plugin(word), user_failures=2)
    begun = await mfa.bind(ALICE, "word")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await mfa.confirm(ALICE, begun.id, "sesame")
    with pytest.raises(TooManyAttempts):
        await mfa.confirm(ALICE, begun.id, "sesame")
    assert await mfa.begin_login("alice", HELD) is None


async def test_a_factor_may_confirm_without_anything_to_spend(make_mfa, clock):
    async def fine(state, answer):
        return None if answer.purpose == "confirm" else Counter(0)

    mfa = await make_mfa(Plugin(Word(fine)))
    begun = await mfa.bind(ALICE, "word")
    await mfa.confirm(ALICE, begun.id, "x")
    assert (await mfa.verify((await login(mfa)).mfa_token, "word", "x")).held == HELD


async def test_each_act_leaves_its_event(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)))
    alice = await enrol(mfa)
    await mfa.refresh(alice.proven, alice.id)
    await mfa.change(alice.proven, alice.id, label="phone")
    await mfa.regenerate_codes(alice.proven)
    await mfa.verify((await login(mfa)).mfa_token, "totp", alice.code)
    await mfa.unbind(alice.proven, alice.id)
    await mfa.import_secret("alice", ImportedSecret("totp", "A" * 32))
    await mfa.unlock("alice")
    await mfa.reset("alice")
    assert listener.names == [
        "binding_begun",
        "bound",
        "binding_begun",
        "changed",
        "codes_regenerated",
        "challenged",
        "verified",
        "released",
        "unbound",
        "imported",
        "unlocked",
        "reset",
    ]
    assert {one.user_id for one in listener.events} == {"alice"}


# ------------------------------------------------------------------------------------- an engine that goes in between


@pytest.mark.parametrize("verb", ["prove", "prove_token"])
async def test_what_was_bound_is_told_with_its_recovery_codes_though_redis_goes_before_the_proof_is_kept(
    make_mfa, clock, monkeypatch, caplog, verb
):
    """It is in force: who did not get the recovery codes now would never get them."""
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)), enrolment="required")
    _, caller = await enrolling(mfa)
    begun = await mfa.bind(caller, "totp")

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("redis: away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(mfa.parts.core.token_store, verb, away)
        confirmed = await mfa.confirm(caller, begun.id, app_of(begun).code())
    assert listener.names[-1] == "bound"
    (warned,) = [one for one in caplog.records if one.name == "mfa_middleware.binding"]
    assert (warned.levelname, "redis: away" in warned.getMessage()) == ("WARNING", True)
    proven = await mfa.verify((await login(mfa)).mfa_token, "recovery_code", confirmed.recovery_codes[0])
    assert proven.held == HELD

"""What the use-cases tell the stores and the listeners: whose it is, what for, and under which bounds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from mfa_middleware import InvalidRequest, TooManyAttempts, limits, verification
from mfa_middleware.callers import Caller
from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidCode, Unavailable
from mfa_middleware.factor import Answer, Prepared
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.keyring import fingerprint, user_tag
from mfa_middleware.management import ImportedSecret
from mfa_middleware.models import Counter, Purpose
from mfa_middleware.stores.protocols import Attempt, Gate
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator
from mfa_middleware.verification import Attempted
from tests.world import Listener, Plugin, Word, enrol, login

ATTEMPTED = Attempted("word", "sesame")
SESSION = b"d" * 18


class Spy:
    """A store that keeps what it is told."""

    def __init__(self, store: object) -> None:
        self._store = store
        self.told: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}

    def __getattr__(self, verb: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            self.told.setdefault(verb, []).append((arguments, named))
            return await getattr(self._store, verb)(*arguments, **named)

        return call


def spied(core: Core) -> tuple[Core, Spy, Spy]:
    tokens, authenticators = Spy(core.token_store), Spy(core.authenticator_store)
    return replace(core, token_store=tokens, authenticator_store=authenticators), tokens, authenticators


@pytest.fixture
async def word(make_mfa, clock):
    """An ``MFA`` in which alice has a word, and its listener."""
    listener = Listener()
    mfa = await make_mfa(Plugin(Word(), listeners=(listener,)))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    return mfa, listener


@pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.STEP_UP])
async def test_a_disabled_authenticator_proves_a_step_up_and_no_login(word, purpose):
    mfa, _ = word
    challenge = await (login(mfa) if purpose is Purpose.LOGIN else mfa.begin_step_up("alice"))
    core, _, authenticators = spied(mfa.parts.core)
    await verification.verify(core, challenge.mfa_token, ATTEMPTED, "")
    (((spend,), bounds),) = authenticators.told["spend"]
    assert (spend.user_id, spend.disabled_too) == ("alice", purpose is Purpose.STEP_UP)
    assert bounds["hard"] == core.policy.hard


async def test_a_released_login_gives_its_bearers_a_proof_and_frees_its_sessions(word):
    mfa, listener = word
    held = HeldLogin(200, (), b'{"access_token": "new", "deep": {"token": "other"}}', blocked=(SESSION,))
    challenge = await login(mfa, held=held)
    core, tokens, authenticators = spied(mfa.parts.core)
    proven = await verification.verify(core, challenge.mfa_token, ATTEMPTED, "the-trace")
    assert (proven.assurance.user_id, proven.assurance.amr) == ("alice", "kba")
    assert proven.held == held
    (((user, _), told),) = tokens.told["take"]
    assert user == user_tag("alice")
    assert told["proofs"] == (fingerprint("new"), fingerprint("other"), fingerprint(proven.assurance.id))
    assert told["ttl"] == core.settings.step_up_ttl
    assert len(bytes.fromhex(told["request"])) == 8
    assert told["forgive"] is True
    assert authenticators.told["free_session"] == [((SESSION,), {})]
    events = [one for one in listener.events if one.name in ("verified", "released")]
    assert [(one.name, one.user_id, one.trace_id) for one in events] == [
        ("verified", "alice", "the-trace"),
        ("released", "alice", "the-trace"),
    ]


async def test_a_step_up_keeps_its_proof_for_what_asked_for_it(word):
    mfa, _ = word
    challenge = await mfa.begin_step_up("alice", ("proof-of-a-token",))
    core, tokens, _ = spied(mfa.parts.core)
    proven = await verification.verify(core, challenge.mfa_token, ATTEMPTED, "")
    assert proven.held is None
    assert tokens.told["take"][0][1]["proofs"] == ("proof-of-a-token", fingerprint(proven.assurance.id))


async def test_a_login_that_demanded_a_binding_tells_when_it_is_released(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)), enrolment="required")
    token = (await login(mfa)).mfa_token
    caller = Caller("alice", enrolment=mfa.parts.core.tokens.read(token))
    begun = await mfa.bind(caller, "totp")
    await mfa.confirm(caller, begun.id, VirtualAuthenticator(begun.shown["uri"]).code())
    core, tokens, _ = spied(mfa.parts.core)
    proven = await verification.release(core, token, "the-trace")
    assert tokens.told["take"][0][1]["forgive"] is False  # who guesses at the codes has not stopped by it
    assert proven.assurance.user_id == "alice"
    assert [(one.user_id, one.trace_id) for one in listener.events if one.name == "released"] == [
        ("alice", "the-trace")
    ]


class Mail(Word):
    """A factor that sends something, and keeps what it was asked with."""

    state: object = None

    async def challenge(self, state):
        self.state = state
        return Prepared({"sentTo": "a…@example.com"}, {})


async def test_a_factor_prepares_with_its_own_state_and_tells_whom_it_sent_to(make_mfa, clock):
    listener, mail = Listener(), Mail()
    mfa = await make_mfa(Plugin(mail, listeners=(listener,)))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    await mfa.prepare((await login(mfa)).mfa_token, "word", trace="the-trace")
    assert mail.state == {"word": "sesame"}
    event = listener.events[-1]
    assert (event.name, event.user_id, event.trace_id, event.factor) == ("prepared", "alice", "the-trace", "word")


async def test_a_factor_that_the_user_does_not_have_is_named_as_the_field(make_mfa, clock):
    mfa = await make_mfa(Plugin(Mail()))
    await enrol(mfa)
    with pytest.raises(InvalidRequest) as refused:
        await mfa.prepare((await login(mfa)).mfa_token, "word")
    assert refused.value.errors == (("factor", "you have no such factor"),)


@pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.STEP_UP])
async def test_a_factor_is_told_what_was_typed_when_and_what_for(make_mfa, clock, purpose):
    asked = []

    async def checking(state, answer):
        asked.append((state, answer))
        return Counter(1)

    mfa = await make_mfa(Plugin(Word(checking)))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    challenge = await (login(mfa) if purpose is Purpose.LOGIN else mfa.begin_step_up("alice"))
    await mfa.verify(challenge.mfa_token, "word", "open sesame")
    assert asked == [({"word": "sesame"}, Answer("open sesame", time.time(), purpose, None))]


@pytest.mark.parametrize("code", ["one", "two", "three"])
async def test_each_authenticator_of_a_factor_is_asked_until_one_finds_the_answer_right(make_mfa, clock, code):
    mfa = await make_mfa(Plugin(Word()))
    rows = {
        word: (await mfa.import_secret("alice", ImportedSecret("word", word))).id for word in ("one", "two", "three")
    }
    for named in (None, rows[code]):
        proven = await mfa.verify((await login(mfa)).mfa_token, "word", code, named)
        assert proven.assurance.user_id == "alice"
    other = next(row for word, row in rows.items() if word != code)
    with pytest.raises(InvalidCode):
        await mfa.verify((await login(mfa)).mfa_token, "word", code, other)


# ------------------------------------------------------------------------------------------------------------- limits


async def test_a_confirmation_is_counted_as_its_user_s_and_as_no_backup(mfa, clock):
    core, tokens, _ = spied(mfa.parts.core)
    user = replace(await core.authenticator_store.load("alice"), failures=3, locked_until=time.time() + 50)
    with pytest.raises(TooManyAttempts):
        await limits.count_without_token(core, user)
    (((tag,), told),) = tokens.told["charge_user"]
    assert tag == user_tag("alice")
    assert len(bytes.fromhex(told.pop("request"))) == 8
    assert told == {"backup": False, "failures": 3, "locked_for": 50, "policy": core.policy}


async def test_an_answer_is_counted_as_its_token_s_with_a_request_of_its_own(word):
    mfa, _ = word
    token = mfa.parts.core.tokens.read((await login(mfa)).mfa_token)
    core, tokens, _ = spied(mfa.parts.core)
    for _ in range(2):
        await limits.count(core, token, "word")
    calls = tokens.told["charge"]
    assert [arguments for arguments, _ in calls] == [(token.user, token.digest)] * 2
    requests = {told.pop("request") for _, told in calls}
    assert [len(bytes.fromhex(one)) for one in requests] == [8, 8]
    known = {"attempts": core.settings.token_attempts, "backup": False, "factor": "word", "policy": core.policy}
    assert [told for _, told in calls] == [known] * 2


@pytest.mark.parametrize(
    ("failures", "locked_for", "retry_after"),
    [(0, 0, None), (99, 0, None), (99, 50, 50), (100, 0, 86_400), (100, 50, 86_400), (100, 90_000, 90_000)],
)
async def test_who_is_locked_or_locked_for_good_is_told_how_long_to_wait(mfa, clock, failures, locked_for, retry_after):
    core = mfa.parts.core
    user = replace(
        await core.authenticator_store.load("alice"), failures=failures, locked_until=time.time() + locked_for
    )
    if retry_after is None:
        limits.require_unlocked(core, user)
    else:
        with pytest.raises(TooManyAttempts) as refused:
            limits.require_unlocked(core, user)
        assert refused.value.retry_after == retry_after


@pytest.mark.parametrize(("failures", "asked"), [(1, False), (2, True)])
async def test_a_right_answer_asks_the_database_to_forgive_only_what_went_before_it(word, failures, asked):
    core, _, authenticators = spied(word[0].parts.core)
    await limits.forgive(core, "alice", Attempt(Gate.OPEN, 1, failures, 0))
    assert authenticators.told == ({"forgive": [(("alice",), {})]} if asked else {})


async def test_a_database_that_is_away_forgives_nothing_and_stops_nothing(word, caplog):
    class Away:
        async def forgive(self, user_id):
            raise Unavailable("sqlite: away")

    core = replace(word[0].parts.core, authenticator_store=Away())
    await limits.forgive(core, "alice", Attempt(Gate.OPEN, 1, 2, 0))
    assert "sqlite: away" in caplog.text


async def test_a_failure_and_a_lock_tell_whose_and_of_what(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(Word(), listeners=(listener,)), user_failures=1)
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    with pytest.raises(InvalidCode):
        await mfa.verify((await mfa.begin_step_up("alice")).mfa_token, "word", "wrong", trace="the-trace")
    failed, locked = listener.events[-2:]
    assert (failed.name, failed.user_id, failed.trace_id) == ("failed", "alice", "the-trace")
    assert (failed.purpose, failed.factor, failed.reason) == ("step_up", "word", "another word")
    assert (locked.name, locked.user_id, locked.trace_id) == ("locked", "alice", "the-trace")
    assert (locked.failures, locked.seconds) == (1, 900)


async def test_a_factor_s_answer_that_spends_nothing_proves_nothing(make_mfa, clock):
    async def nothing(state, answer):
        return None

    mfa = await make_mfa(Plugin(Word(nothing)))
    await mfa.import_secret("alice", ImportedSecret("word", "sesame"))
    token = (await login(mfa)).mfa_token
    with pytest.raises(Unavailable):
        await mfa.verify(token, "word", "sesame")


async def test_who_listens_is_told_what_was_proven(make_mfa, clock):
    listener = Listener()
    mfa = await make_mfa(Plugin(listeners=(listener,)))
    person = await enrol(mfa)
    await mfa.verify((await login(mfa)).mfa_token, "totp", person.app.code(offset_steps=1))
    (told,) = [one for one in listener.events if one.name == "verified"]
    assert (told.purpose, told.factor, told.authenticator_id) == ("login", "totp", person.id)

"""Use-cases of answering: prepare a challenge, verify an answer, release what was held.

The order is the security: count, check, spend, consume. Each of them is one atomic step, and a crash between two of
them leaves the login held.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mfa_middleware import factor as factor_protocol
from mfa_middleware import limits
from mfa_middleware.callers import new_assurance
from mfa_middleware.checking import check, guarded, require_text
from mfa_middleware.core import Core, encoded
from mfa_middleware.errors import (
    EnrolmentRequired,
    InvalidCode,
    InvalidRequest,
    LoginNotHeld,
    TokenInvalid,
    Unavailable,
)
from mfa_middleware.events import Prepared, Released, Verified
from mfa_middleware.factor import Answer, Challenging, State
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.keyring import fingerprint
from mfa_middleware.login import look_at, open_record
from mfa_middleware.models import Assurance, Proof, Purpose, Spend
from mfa_middleware.records import Candidate, TokenRecord
from mfa_middleware.response_body import bearer_tokens, json_body
from mfa_middleware.stores.protocols import Attempt
from mfa_middleware.tokens import MfaToken

_MOST_BEARERS = 8


@dataclass(frozen=True, slots=True)
class Proven:
    """A factor was proven: the assurance, and the login that it releases (None for a step-up)."""

    assurance: Assurance
    held: HeldLogin | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attempted:
    """What somebody tries: the factor, the code, and which authenticator (None: any of that factor)."""

    factor: str
    code: str = field(repr=False)
    authenticator_id: str | None = None


async def verify(core: Core, text: str, attempted: Attempted, trace: str) -> Proven:
    """Answer a challenge. Exactly one right answer to a token gets what it stands for.

    :raises TokenInvalid: for a token that is unknown, used, expired, or demands a binding instead.
    :raises TooManyAttempts: when the token or the user allows no further attempt, right or wrong.
    :raises InvalidCode: for a wrong or used-up answer, with the attempts that are left.
    :raises InvalidRequest: for a factor that is not in use.
    :raises Unavailable: when a store or the factor is away; nothing is released.
    """
    token = core.tokens.read(text)
    if token.purpose not in (Purpose.LOGIN, Purpose.STEP_UP):
        raise TokenInvalid("it demands a binding, and no answer")
    core.factor(attempted.factor)
    attempt = await limits.count(core, token, attempted.factor)
    record = open_record(core, token, attempt.record)
    try:
        used = await _spend_right_answer(core, token, record, attempt, attempted)
    except InvalidCode as error:
        await limits.found_wrong(core, record.user_id, token.purpose, attempted.factor, error.reason, trace)
        await core.token_store.found_wrong(token.user, token.digest, attempts=core.settings.token_attempts)
        left = max(0, core.settings.token_attempts - attempt.attempts)
        raise InvalidCode(error.reason, attempts_left=left) from None
    proven = await _take(core, token, record, used.factor, forgive=True)
    await limits.forgive(core, record.user_id, attempt)
    await core.events.emit(
        Verified(
            user_id=record.user_id,
            trace_id=trace,
            purpose=str(token.purpose),
            factor=used.factor,
            authenticator_id=used.id,
        )
    )
    if proven.held is not None:
        await core.events.emit(Released(user_id=record.user_id, trace_id=trace))
    return proven


async def _spend_right_answer(
    core: Core, token: MfaToken, record: TokenRecord, attempt: Attempt, attempted: Attempted
) -> Candidate:
    """The authenticator that the answer was right for, its proof spent.

    :raises InvalidCode: when there is none, or its proof was spent before.
    """
    kept = _open_prepared(core, token, attempted.factor, attempt.prepared)
    answer = Answer(attempted.code, time.time(), token.purpose, kept)
    reason = "the user has no such authenticator"
    for one in record.candidates:
        if one.factor != attempted.factor or attempted.authenticator_id not in (None, one.id):
            continue
        try:
            proof = await check(core, one.factor, one.state, answer, user_id=record.user_id, row=one.id)
        except InvalidCode as error:
            reason = error.reason
            continue
        if await _spend(core, token, record.user_id, one, proof):
            return one
        reason = "used before, or its authenticator was changed, removed or locked in between"
    raise InvalidCode(reason)


def _open_prepared(core: Core, token: MfaToken, factor: str, sealed: bytes | None) -> State | None:
    if sealed is None:
        return None
    opened = core.keyring.open_for_token(sealed, secret=token.secret, bound_to=f"{token.place} {factor}")
    kept: State = json.loads(opened)
    return kept


async def _spend(core: Core, token: MfaToken, user_id: str, one: Candidate, proof: Proof | None) -> bool:
    if proof is None:
        return False
    spend = Spend(user_id, one.id, one.revision, proof, disabled_too=token.purpose is Purpose.STEP_UP)
    return await core.authenticator_store.spend(spend, at=time.time(), hard=core.policy.hard)


async def _take(core: Core, token: MfaToken, record: TokenRecord, factor: str, *, forgive: bool) -> Proven:
    assurance = new_assurance(core, record.user_id, factor)
    proofs = (*(record.proofs if record.held is None else _fingerprints(record.held)), fingerprint(assurance.id))
    taken = await core.token_store.take(
        token.user,
        token.digest,
        request=secrets.token_hex(8),
        proofs=proofs,
        ttl=core.settings.step_up_ttl,
        forgive=forgive,
    )
    if not taken:
        raise TokenInvalid("another answer was faster, or the token was destroyed")
    if record.held is not None:
        for digest in record.held.blocked:
            await core.authenticator_store.free_session(digest)
    return Proven(assurance, record.held)


def _fingerprints(held: HeldLogin) -> tuple[str, ...]:
    """Of the bearer tokens that the released login gives: their bearer has just proven a factor."""
    try:
        tokens = bearer_tokens(json_body(held.headers, held.body))
    except LoginNotHeld:
        return ()  # a coding that we cannot read hides them; then a step-up is asked for
    return tuple(fingerprint(token) for token in tokens[:_MOST_BEARERS])


async def release(core: Core, text: str, trace: str) -> Proven:
    """Release a login that demanded a binding, once that is confirmed.

    :raises TokenInvalid: for a token that is unknown, used, expired, or made for something else.
    :raises EnrolmentRequired: before the binding is confirmed.
    :raises TooManyAttempts: while the user is locked: somebody guesses who knows the password.
    """
    token, record, confirmed = await look_at(core, text)
    if token.purpose is not Purpose.ENROLMENT:
        raise TokenInvalid("it demands an answer, and no binding")
    if not confirmed:
        raise EnrolmentRequired("the binding is not confirmed")
    user = await core.authenticator_store.load(record.user_id)
    limits.require_unlocked(core, user)
    factor = next((one.factor for one in user.authenticators if one.gates), None)
    if factor is None:
        raise EnrolmentRequired("what was bound is gone")
    proven = await _take(core, token, record, factor, forgive=False)
    await core.events.emit(Released(user_id=record.user_id, trace_id=trace))
    return proven


async def prepare(core: Core, text: str, factor_name: str, trace: str) -> Mapping[str, str]:
    """Let a factor send or make what its user needs to answer (a mail, say); returns what the client is shown.

    :raises InvalidRequest: for a factor that prepares nothing, or that the user does not have.
    :raises TokenInvalid: for a dead token.
    :raises TooManyAttempts: when the user has been sent too much lately.
    """
    factor = core.factor(factor_name)
    token, record, _ = await look_at(core, text)
    one = next((one for one in record.candidates if one.factor == factor_name), None)
    if one is None:
        raise InvalidRequest("no such authenticator", [("factor", "you have no such factor")])
    if not isinstance(factor, Challenging):
        return {}
    await limits.count_sending(core, record.user_id)
    state = core.open_state(one.state, user_id=record.user_id, authenticator_id=one.id)
    prepared = await guarded(factor_name, factor.challenge(state))
    if not isinstance(prepared, factor_protocol.Prepared):
        raise Unavailable(f"the factor {factor_name} prepared nothing")
    require_text(factor_name, prepared.shown)
    sealed = core.keyring.seal_for_token(
        encoded(prepared.kept), secret=token.secret, bound_to=f"{token.place} {factor_name}"
    )
    if not await core.token_store.prepare(token.user, token.digest, factor_name, sealed):
        raise TokenInvalid("used or expired meanwhile")
    await core.events.emit(Prepared(user_id=record.user_id, trace_id=trace, factor=factor_name))
    return prepared.shown

"""Attempts: counted before an answer is looked at, recorded when it was wrong, forgiven when one was right.

Redis counts first and decides; the database keeps the count after each wrong answer, so that a flush of Redis loses at
most the answers in flight (SP 800-63B-4 §3.2.2).
"""

from __future__ import annotations

import logging
import secrets
import time

from mfa_middleware.core import Core, lock_left
from mfa_middleware.errors import TokenInvalid, TooManyAttempts, Unavailable
from mfa_middleware.events import Failed, Locked
from mfa_middleware.keyring import user_tag
from mfa_middleware.models import Purpose, UserFactors
from mfa_middleware.stores.protocols import Attempt, Gate
from mfa_middleware.tokens import MfaToken

logger = logging.getLogger(__name__)
_MOST_SENDINGS = 10
_SENDINGS_WINDOW = 600  # seconds


async def count(core: Core, token: MfaToken, factor: str) -> Attempt:
    """Count an attempt on a token and its user, and read the token's record.

    :raises TokenInvalid: when there is no such token any more.
    :raises TooManyAttempts: when the token or the user allows no further attempt; nothing is counted then.
    """
    attempt = await core.token_store.charge(
        token.user,
        token.digest,
        request=secrets.token_hex(8),
        attempts=core.settings.token_attempts,
        backup=core.is_backup(factor),
        factor=factor,
        policy=core.policy,
    )
    return _admitted(attempt)


async def count_without_token(core: Core, user: UserFactors) -> Attempt:
    """Count an attempt on a user alone: a confirmation has no token.

    :raises TooManyAttempts: when the user is locked.
    """
    attempt = await core.token_store.charge_user(
        user_tag(user.user_id),
        request=secrets.token_hex(8),
        backup=False,
        failures=user.failures,
        locked_for=lock_left(user.locked_until),
        policy=core.policy,
    )
    return _admitted(attempt)


def require_unlocked(core: Core, user: UserFactors) -> None:
    """Stop where nothing is counted, but a locked user may not go on.

    :raises TooManyAttempts: when the user is locked.
    """
    left = lock_left(user.locked_until)
    if user.failures >= core.policy.hard:
        left = max(left, core.policy.longest)
    if left:
        raise TooManyAttempts("the user is locked", retry_after=left)


def _admitted(attempt: Attempt) -> Attempt:
    match attempt.gate:
        case Gate.OPEN:
            return attempt
        case Gate.GONE:
            raise TokenInvalid("unknown, used or expired")
        case Gate.SPENT:
            raise TooManyAttempts("the token's attempts are used up", retry_after=attempt.retry_after)
        case Gate.LOCKED:
            raise TooManyAttempts("the user is locked", retry_after=attempt.retry_after)


async def count_sending(core: Core, user_id: str) -> None:
    """Count something that a factor is about to send to a user: who knows the password must not flood a mailbox.

    :raises TooManyAttempts: when there was too much lately.
    """
    wait = await core.token_store.count_sending(user_tag(user_id), most=_MOST_SENDINGS, window=_SENDINGS_WINDOW)
    if wait:
        raise TooManyAttempts("too much was sent to this user lately", retry_after=wait)


async def found_wrong(core: Core, user_id: str, purpose: Purpose, factor: str, reason: str, trace: str) -> None:
    """Record a wrong answer where it lasts, and tell of it."""
    user = await core.authenticator_store.fail(user_id, at=time.time(), policy=core.policy)
    await core.events.emit(Failed(user_id=user_id, trace_id=trace, purpose=str(purpose), factor=factor, reason=reason))
    seconds = core.policy.lock_seconds(user.failures)
    if seconds:
        await core.events.emit(Locked(user_id=user_id, trace_id=trace, failures=user.failures, seconds=seconds))


async def forgive(core: Core, user_id: str, attempt: Attempt) -> None:
    """End the failures that went before a right answer.

    The answer has been accepted by now: when the database is away its count stays, which is the safe side.
    """
    if attempt.failures <= 1:
        return
    try:
        await core.authenticator_store.forgive(user_id)
    except Unavailable as error:
        logger.warning("a user's failures were not forgiven: %s", error.reason)

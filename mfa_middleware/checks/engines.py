"""Redis and the database, as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mfa_middleware.checks.finding import Finding, error, ok, warning
from mfa_middleware.checks.setup import will_be_made
from mfa_middleware.core import Core
from mfa_middleware.errors import ConfigurationError, Misconfigured, Unavailable
from mfa_middleware.keys import database_file
from mfa_middleware.mfa import MFA
from mfa_middleware.models import Authenticator
from mfa_middleware.parts import Parts
from mfa_middleware.settings import Settings
from mfa_middleware.stores import redis, sql
from mfa_middleware.stores.protocols import AuthenticatorStore, TokenStore
from mfa_middleware.stores.sql.schema import REVISION


async def token_store(settings: Settings) -> Sequence[Finding]:
    """Whether Redis answers, is new enough, keeps what it is given, and lets its user run scripts."""
    try:
        return await _redis(redis.open_store(settings))
    except ConfigurationError as refusal:
        return [error(str(refusal))]


async def _redis(store: TokenStore) -> Sequence[Finding]:
    try:
        await store.open()
        sentences = await store.check()
        return [warning(one) for one in sentences] or [ok("MFA_REDIS_URL: Redis answers and keeps what it is given.")]
    except Unavailable as away:
        return [_away("MFA_REDIS_URL", "Redis", away), *await _told(store)]
    finally:
        await store.close()


async def _told(store: TokenStore) -> Sequence[Finding]:
    """What a server says of itself that cannot be used: that it is a replica, say."""
    try:
        return [warning(one) for one in await store.check()]
    except (ConfigurationError, Unavailable):
        return []


async def authenticator_store(settings: Settings, parts: Parts | None) -> Sequence[Finding]:
    """Whether the database answers and has the tables of this release, and whether our keys open what is in it."""
    file = database_file(settings)
    if will_be_made(file):
        return [ok(f"MFA_DATABASE_URL: {file} is not there yet; start-up makes it.")]
    try:
        return await _database(sql.open_store(settings), parts.core if parts else None)
    except ConfigurationError as refusal:
        return [error(str(refusal))]
    except Unavailable as away:
        return [_away("MFA_DATABASE_URL", "The database", away)]


async def _database(store: AuthenticatorStore, core: Core | None) -> Sequence[Finding]:
    try:
        await store.open()
        first = await _some(store)
    finally:
        await store.close()
    answers = ok(f"MFA_DATABASE_URL: the database answers, and its tables are of version {REVISION}.")
    return [answers, *_secrets(core, first)] if core else [answers]


async def _some(store: AuthenticatorStore) -> Sequence[Authenticator]:
    async for batch in store.scan():
        return batch
    return ()


def _secrets(core: Core, some: Sequence[Authenticator]) -> Sequence[Finding]:
    """Whether what the database holds can be used. The first few hundred tell."""
    shut = sum(not _opens(core, one) for one in some)
    findings: list[Finding] = []
    if shut:
        findings.append(
            error(
                f"MFA_SECRET_KEY: {shut} of the first {len(some)} secrets in the database do not open with these keys; "
                "add the key that sealed them."
            )
        )
    for factor, count in Counter(one.factor for one in some if one.factor not in core.factors).items():
        findings.append(
            warning(
                f"{count} of the first {len(some)} authenticators are of the factor {factor}, which is not in use; "
                "install its plugin and name it in MFA_FACTORS, or reset their users."
            )
        )
    return findings


def _opens(core: Core, one: Authenticator) -> bool:
    try:
        for sealed in (one.state, one.pending):
            if sealed is not None:
                core.open_state(sealed, user_id=one.user_id, authenticator_id=one.id)
    except Misconfigured:
        return False
    return True


async def start_up(settings: Settings) -> Sequence[Finding]:
    """What start-up itself says."""
    mfa = MFA(settings)
    try:
        mfa.web()
        if not will_be_made(database_file(settings)):
            await mfa.open(alone=False)  # a server may be running on these stores
    except ConfigurationError as refusal:
        return [error(str(refusal))]
    except Unavailable as away:
        return [error(f"Start-up fails: {away.reason}; try again.")]
    finally:
        await mfa.close()
    return []


def _away(variable: str, engine: str, away: Unavailable) -> Finding:
    return error(
        f"{variable}: {engine} does not answer ({away.reason}); start it, or mend the URL. "
        "Until it does, logins are answered 503."
    )

"""Whether a server can keep running logins: asked at start-up and by ``mfa check``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeAlias

from redis.asyncio import RedisCluster
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.stores.redis.connect import Client, Options

Info: TypeAlias = Mapping[str, object]

OLDEST = (6, 2)
#: What refuses a user or a password, or what they may not do.
REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)


async def look(client: Client) -> Sequence[str]:
    """Look at every server; returns what an operator should know, a sentence each with its mend.

    :raises ConfigurationError: for a server that cannot be used as it is set up.
    :raises RedisError: for one that does not answer.
    """
    try:
        await client.ping()
    except ResponseError as error:
        if "HELLO" in str(error) and not isinstance(error, REFUSED):
            raise ConfigurationError(_too_old("one older than 6.0")) from error
        raise
    try:
        return [sentence async for one in _servers(client) for sentence in await _look_at(client, one)]
    except NoPermissionError:
        return ["Redis does not let its user run INFO, so its version and its memory policy are unknown: grant +info."]


def refused(error: BaseException | None) -> bool:
    """Whether the server refused the user, the password, the command, or a command in a script."""
    # A Cluster's error has the server's as its cause.
    return any(isinstance(one, REFUSED) or "ACL failure" in str(one) for one in (error, error and error.__cause__))


async def _servers(client: Client) -> AsyncIterator[Options]:
    """The options that send a command to each primary."""
    if isinstance(client, RedisCluster):
        for node in client.get_primaries():
            yield {"target_nodes": node}
    else:
        yield {}


async def _look_at(client: Client, target: Options) -> Sequence[str]:
    info: Info = await client.info(**target)
    _refuse_unsuited(info)
    sentences: list[str] = []
    if info.get("role") == "slave":
        sentences.append("Redis is a read-only replica, so every login fails: let MFA_REDIS_URL name the primary.")
    if not info.get("aof_enabled") and await _saves_nothing(client, target):
        sentences.append("Redis writes nothing to disk, so its restart ends running logins: set appendonly yes.")
    return sentences


def _refuse_unsuited(info: Info) -> None:
    version = str(info.get("redis_version", ""))
    if _numbers(version) < OLDEST:
        raise ConfigurationError(_too_old(version))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigurationError(
            f"MFA_REDIS_URL: Redis has maxmemory-policy {policy}, under which attempts and locks are thrown away when "
            "memory is short; set maxmemory-policy noeviction, or give mfa-middleware a Redis of its own."
        )


async def _saves_nothing(client: Client, target: Options) -> bool:
    """Whether snapshots are off; False where the server does not tell."""
    try:
        kept = await client.config_get("save", **target)
    except RedisError:
        return False
    return kept.get("save") == ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _too_old(version: str) -> str:
    return f"MFA_REDIS_URL: the server is Redis {version}; use Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey."

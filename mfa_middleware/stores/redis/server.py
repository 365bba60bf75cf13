"""Whether a server can keep running logins: asked at start-up and by ``mfa check``."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TypeAlias

from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.stores.redis.connect import Client, Options

Info: TypeAlias = Mapping[str, object]

OLDEST = (6, 2)
#: What refuses a user or a password, or what they may not do.
REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
_GRANT = (
    "MFA_REDIS_URL: Redis refuses this user or password, or does not let them run scripts; mend the URL, or grant "
    "them ~mfa:* and +@read +@write +@scripting +@connection +time +info, in a Cluster +cluster|slots +cluster|info."
)
_TRUST = "the server's certificate is not trusted; name its authority's file by ssl_ca_certs=, or the host it is for"
_SNAPSHOTS_UNKNOWN = (
    "Redis has no append-only file, and does not tell its user whether it writes snapshots; without either its restart "
    "ends running logins: set appendonly yes."
)
_MOST_LAG = 5  # seconds; a replica that is well says once a second how far it is


async def look(client: Client) -> Sequence[str]:
    """Look at every server; returns what an operator should know, a sentence each with its mend.

    :raises ConfigurationError: for a server that cannot be used as it is set up.
    :raises RedisError: for one that does not answer.
    """
    try:
        await client.ping()
    except (ResponseError, RedisClusterException) as error:
        _refuse_kind(error)
        raise
    told = {sentence: None async for one in _servers(client) for sentence in await _look_at(client, one)}
    return [*told]


def mend(error: BaseException | None) -> str | None:
    """What an operator must mend when the server answers, and lets us do nothing; None when it is merely away."""
    for one in _chain(error):
        if isinstance(one, REFUSED) or "ACL failure" in str(one):
            return _GRANT
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"MFA_REDIS_URL: {_TRUST} ({one.verify_message})."
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refuse_kind(error: Exception) -> None:
    if "HELLO" in str(error) and not isinstance(error, REFUSED):
        raise ConfigurationError(_too_old("one older than 6.0")) from error
    if "luster mode is not enabled" in f"{error} {error.__cause__}":
        raise ConfigurationError("MFA_REDIS_URL: the server is no Cluster; write redis:// or rediss://.") from error


async def _servers(client: Client) -> AsyncIterator[Options]:
    """The options that send a command to each primary."""
    if isinstance(client, RedisCluster):
        for node in client.get_primaries():
            yield {"target_nodes": node}
    else:
        yield {}


async def _look_at(client: Client, target: Options) -> Sequence[str]:
    try:
        info: Info = await client.info(**target)
    except NoPermissionError:
        return ["Redis does not let its user run INFO, so its version and its memory policy are unknown: grant +info."]
    _refuse_unsuited(info)
    sentences = [*_replication(info, under_sentinel=_under_sentinel(client))]
    if not info.get("aof_enabled"):
        sentences += await _snapshots(client, target)
    if isinstance(client, RedisCluster):
        sentences += await _cluster_state(client, target)
    elif info.get("cluster_enabled"):
        sentences.append("Redis is one node of a Cluster, and knows its own users alone: write redis+cluster://.")
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


def _replication(info: Info, *, under_sentinel: bool) -> Iterator[str]:
    if info.get("role") == "slave":
        yield "Redis is a read-only replica, so every login fails: let MFA_REDIS_URL name the primary."
        return
    replicas = [value for name, value in info.items() if name.startswith("slave") and isinstance(value, Mapping)]
    if under_sentinel and not replicas:
        yield "Sentinel has no replica to promote, so the loss of the primary ends running logins: add a replica."
    if any(one.get("state") != "online" or int(one.get("lag", 0)) > _MOST_LAG for one in replicas):
        yield (
            "A replica of Redis is behind its primary: a fail-over now ends running logins, and forgets wrong answers "
            "that are being counted; see to its network and its memory."
        )


async def _snapshots(client: Client, target: Options) -> Sequence[str]:
    """What a restart costs a server without an append-only file."""
    try:
        kept = await client.config_get("save", **target)
    except RedisError:  # ordinary users may not, and some hosted servers have no CONFIG
        return [_SNAPSHOTS_UNKNOWN]
    if kept.get("save") == "":
        return ["Redis writes nothing to disk, so its restart ends running logins: set appendonly yes."]
    return []


async def _cluster_state(client: RedisCluster, target: Options) -> Sequence[str]:
    try:
        state = await client.cluster_info(**target)
    except NoPermissionError:
        return ["Redis does not let its user see the state of the Cluster: grant +cluster|info."]
    if state.get("cluster_state") == "ok":
        return []
    return ["The Cluster is not whole (cluster_state is not ok), so logins fail: see to its nodes with CLUSTER NODES."]


def _under_sentinel(client: Client) -> bool:
    return not isinstance(client, RedisCluster) and isinstance(client.connection_pool, SentinelConnectionPool)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _too_old(version: str) -> str:
    return f"MFA_REDIS_URL: the server is Redis {version}; use Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey."

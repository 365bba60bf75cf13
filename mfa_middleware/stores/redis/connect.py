"""From a URL to a client of a single server, of Sentinel's primary, or of a Cluster. Nothing is connected yet.

redis-py asks again by itself up to ten times by default, which would count one attempt ten times; here it never does.
The store asks again, once, with a request id.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException
from redis.maint_notifications import MaintNotificationsConfig

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.stores.redis.sentinel import SentinelPool, Sentinels
from mfa_middleware.stores.redis.wire import wired

Client: TypeAlias = "Redis | RedisCluster"
#: Keyword arguments of redis-py, which types them no closer.
Options: TypeAlias = dict[str, Any]

#: A Cluster's pools do not wait for a free connection, they raise: a limit that is not met in ordinary use.
_CLUSTER_CONNECTIONS = 1000
#: The lane times each reply itself: redis-py would end a connection on which nothing was asked.
_UNTIMED = {"socket_timeout": None}
_MEND = (
    "write it as redis://user:password@host:6379/0, unix:///path/to/socket, redis+sentinel://host:26379,host:26379/"
    "service/0 or redis+cluster://host:6379,host:6379, with special characters of user and password percent-encoded"
)


def connect(url: str, timeout: float) -> Client:
    """Make a client whose every call answers or fails within ``timeout`` seconds, and is sent once.

    :raises ConfigurationError: for a URL that does not parse; never with a part of it, for it may hold a password.
    """
    try:
        parts = urlsplit(url)
        match parts.scheme:
            case "redis+sentinel":
                return _sentinel(parts, timeout)
            case "redis+cluster":
                return _cluster(parts, timeout)
            case _:
                return _single(parts, timeout)
    except (ValueError, TypeError, KeyError, RedisClusterException):
        # From None: the cause would print pieces of the URL.
        raise ConfigurationError(f"MFA_REDIS_URL does not parse: {_MEND}.") from None


def _single(parts: SplitResult, timeout: float) -> Redis:
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("no socket")
    if parts.scheme != "unix":
        _database(parts.path)
    given: Options = {**parse_url(parts.geturl())}
    kind = wired(given.pop("connection_class", Connection))
    if issubclass(kind, SSLConnection):
        _try_certificates(given)
    pool: ConnectionPool = ConnectionPool(connection_class=kind, **_ours(timeout) | _UNTIMED, **given)
    _try_options(pool)
    return Redis.from_pool(pool)


def _sentinel(parts: SplitResult, timeout: float) -> Redis:
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError("no service")
    given = _node_options(parts, _database(database))
    hosts = _hosts(parts.netloc, 26379)
    known = _ours(timeout) | {name: value for name, value in given.items() if name.startswith("ssl")}
    sentinel = Sentinels(hosts, sentinel_kwargs=known)  # type: ignore[no-untyped-call]  # so redis-py has it
    kind = wired(SentinelManagedSSLConnection if given.pop("ssl", False) else SentinelManagedConnection)
    pool: Options = {"connection_pool_class": SentinelPool, "connection_class": kind}
    client: Redis = sentinel.master_for(unquote(service), **pool, **_ours(timeout) | _UNTIMED, **given)
    _try_options(client.connection_pool)
    return client


def _cluster(parts: SplitResult, timeout: float) -> RedisCluster:
    given = _node_options(parts, _database(parts.path.removeprefix("/")))
    given.setdefault("max_connections", _CLUSTER_CONNECTIONS)
    nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, 6379)]
    return RedisCluster(startup_nodes=nodes, **_ours(timeout), **given)


def _ours(timeout: float) -> Options:
    """What no URL may change: given twice, it is a TypeError. Half of the time is for one answer, as in the store."""
    return {
        "decode_responses": False,
        "socket_timeout": timeout / 2,
        "socket_connect_timeout": timeout / 2,
        "retry": Retry(NoBackoff(), 0),
        # Switched on, a connection with an unread reply on it would be used again.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _node_options(parts: SplitResult, database: str) -> Options:
    """User, password, database and query options for the data nodes, as redis-py reads them from a URL of one host."""
    userinfo, at, _ = parts.netloc.rpartition("@")
    given: Options = {**parse_url(f"redis://{userinfo}{at}node/{database}?{parts.query}")}
    del given["host"]
    given["ssl"] = _yes(given.get("ssl", "false"))
    if given["ssl"]:
        _try_certificates(given)
    return given


def _yes(text: str) -> bool:
    """Redis-py would take every word for yes."""
    return {"true": True, "false": False}[text.lower()]


def _try_options(pool: ConnectionPool) -> None:
    """An option that redis-py does not know is a TypeError here, and not at the first login."""
    pool.connection_class(**pool.connection_kwargs)


def _try_certificates(given: Options) -> None:
    """Files that cannot be used stop start-up, and not the first login."""
    named = {name: value for name, value in given.items() if name.startswith("ssl_")}
    try:
        SSLConnection(**named).ssl_context.get()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "MFA_REDIS_URL: ssl_ca_certs, ssl_certfile or ssl_keyfile does not name a file that can be read as PEM."
        ) from error


def _database(text: str) -> str:
    """Redis-py would take a database that is no number for 0."""
    if not re.fullmatch(r"/?\d*", text):
        raise ValueError("no database number")
    return text


def _hosts(netloc: str, default_port: int) -> Sequence[tuple[str, int]]:
    listed = [urlsplit(f"//{host}") for host in netloc.rpartition("@")[2].split(",")]
    if not all(host.hostname for host in listed):
        raise ValueError("no host")
    return [(str(host.hostname), host.port or default_port) for host in listed]

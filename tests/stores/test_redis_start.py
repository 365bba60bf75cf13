"""Redis as it is found: what stops start-up, what ``mfa check`` tells, and URLs that cannot be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from mfa_middleware.checks import engines as checks
from mfa_middleware.checks.finding import Level
from mfa_middleware.errors import ConfigurationError
from mfa_middleware.settings import Settings
from mfa_middleware.stores.redis.server import look
from tests.certificates import make_certificates
from tests.engines import Valkey, ValkeyCluster, ValkeySentinel, ask, free_port
from tests.fault_proxy import FaultProxy
from tests.stores.redis_engines import GRANTS, certificates, restrict
from tests.stores.token_verbs import VERBS, login, make, opened, reason, until


@pytest.fixture
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def raw(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


async def findings(url: str) -> dict[Level, list[str]]:
    """What ``mfa check`` says of it."""
    found = await checks.token_store(Settings(redis_url=url, engine_timeout=5))
    return {level: [one.text for one in found if one.level is level] for level in Level}


async def refusal(url: str) -> str:
    """The sentence with which start-up must stop."""
    with pytest.raises(ConfigurationError) as stop:
        async with opened(url):
            pass
    return str(stop.value)


# ------------------------------------------------------------------------------------------------- who may, and what


@pytest.mark.parametrize("userinfo", ["", ":wr0ng-secret@", "nobody:wr0ng-secret@"])
async def test_a_bad_password_stops_start_up_and_is_not_told(userinfo: str) -> None:
    with Valkey("--requirepass", "right") as server:
        said = await refusal(f"redis://{userinfo}127.0.0.1:{server.port}/0")
        assert "MFA_REDIS_URL" in said
        assert "wr0ng-secret" not in said
        async with opened(f"redis://:right@127.0.0.1:{server.port}/0") as good:
            assert await login(good)


async def test_the_permissions_that_are_asked_for_are_enough(server: Valkey) -> None:
    restrict(server)
    async with opened(f"redis://mfa:pw@127.0.0.1:{server.port}/0") as store:
        for verb in VERBS.values():
            await verb(store)
        assert await login(store)
        ask(server, "SCRIPT", "FLUSH")
        assert await login(store)


@pytest.mark.parametrize("missing", ["-@scripting", "-zscore", "resetkeys"])
async def test_a_user_that_may_not_run_scripts_stops_start_up(server: Valkey, raw: Redis, missing: str) -> None:
    await raw.execute_command("ACL", "SETUSER", "mfa", "reset", "on", ">pw", "~*", "+@all", missing)
    said = await refusal(f"redis://mfa:pw@127.0.0.1:{server.port}/0")
    assert all(grant in said for grant in GRANTS if grant.startswith("+"))


async def test_a_user_that_may_not_run_info_is_told_what_is_not_known(server: Valkey, raw: Redis) -> None:
    await raw.execute_command("ACL", "SETUSER", "mfa", "reset", "on", ">pw", "~*", "+@all", "-info")
    told = await findings(f"redis://mfa:pw@127.0.0.1:{server.port}/0")
    assert ["+info" in sentence for sentence in told[Level.WARNING]] == [True]


# --------------------------------------------------------------------------------------------- what it is, and keeps


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-random"])
@pytest.mark.parametrize("user", ["", "mfa:pw@"])
async def test_a_server_that_throws_keys_away_stops_start_up(server: Valkey, policy: str, user: str) -> None:
    """Also where the user may not ask for its settings."""
    restrict(server)
    ask(server, "CONFIG", "SET", "maxmemory-policy", policy)
    said = await refusal(f"redis://{user}127.0.0.1:{server.port}/0")
    assert policy in said
    assert "noeviction" in said
    assert (await findings(server.url))[Level.ERROR] == [said]


@pytest.mark.slow
async def test_one_node_of_a_cluster_that_throws_keys_away_stops_start_up(cluster: ValkeyCluster) -> None:
    ask(cluster.nodes[2], "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert "allkeys-lru" in await refusal(cluster.url)
    finally:
        ask(cluster.nodes[2], "CONFIG", "SET", "maxmemory-policy", "noeviction")


class Told:
    """What a client would hear of a server of another version, or with a slow replica."""

    def __init__(self, version: str, **more: object) -> None:
        self._info = {"redis_version": version, "aof_enabled": 1, **more}
        self.connection_pool = None

    async def ping(self) -> bool:
        return True

    async def info(self) -> dict[str, object]:
        return self._info


@pytest.mark.parametrize(("version", "fine"), [("5.0.14", 0), ("6.0.16", 0), ("6.2.0", 1), ("7.0.15", 1), ("10.0", 1)])
async def test_a_server_older_than_redis_6_2_stops_start_up(version: str, fine: bool) -> None:
    client = Told(version)
    if fine:
        assert await look(client) == []  # type: ignore[arg-type]
    else:
        with pytest.raises(ConfigurationError, match=rf"Redis {version}; use Redis 6\.2 or newer"):
            await look(client)  # type: ignore[arg-type]


@pytest.mark.parametrize(("lag", "told"), [(0, False), (1, False), (60, True)])
async def test_check_tells_of_a_replica_that_is_behind(lag: int, told: bool) -> None:
    client = Told("7.2.4", role="master", connected_slaves=1, slave0={"state": "online", "lag": lag})
    assert ["behind" in sentence for sentence in await look(client)] == [True] * told  # type: ignore[arg-type]


async def test_check_tells_of_a_replica_that_has_not_caught_up(server: Valkey) -> None:
    """One that asked for all data and does not take them."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as replica:
        replica.setblocking(False)
        await loop.sock_sendall(replica, b"PSYNC ? -1\r\n")

        async def connected() -> bool:
            return "connected_slaves:1" in ask(server, "INFO", "replication")

        await until(connected)
        assert ["behind" in one for one in (await findings(server.url))[Level.WARNING]].count(True) == 1


@pytest.mark.parametrize(
    ("arguments", "told"), [((), True), (("--appendonly", "yes"), False), (("--save", "60 1"), False)]
)
async def test_check_tells_of_a_server_that_writes_nothing_to_disk(arguments: tuple[str, ...], told: bool) -> None:
    with Valkey(*arguments) as server:
        warnings = (await findings(server.url))[Level.WARNING]
        assert ["writes nothing to disk" in one for one in warnings] == [True] * told


async def test_check_tells_what_a_restricted_user_cannot_see(server: Valkey) -> None:
    restrict(server)
    url = f"redis://mfa:pw@127.0.0.1:{server.port}/0"
    assert ["snapshots" in one for one in (await findings(url))[Level.WARNING]] == [True]
    restrict(server, "+config|get")
    assert ["writes nothing to disk" in one for one in (await findings(url))[Level.WARNING]] == [True]


async def test_check_calls_a_replica_an_error_and_says_why(server: Valkey, raw: Redis) -> None:
    await raw.execute_command("REPLICAOF", "127.0.0.1", "1")
    told = await findings(server.url)
    assert ["NotPrimary" in one for one in told[Level.ERROR]] == [True]
    assert any("let MFA_REDIS_URL name the primary" in one for one in told[Level.WARNING])


@pytest.mark.slow
async def test_check_tells_of_a_sentinel_without_a_replica() -> None:
    with ValkeySentinel() as made:
        assert not any("Sentinel" in one for one in (await findings(made.url))[Level.WARNING])
        made.replica.kill()

        async def noticed() -> bool:
            return "connected_slaves:0" in ask(made.primary, "INFO", "replication")

        await until(noticed)
        assert any("no replica to promote" in one for one in (await findings(made.url))[Level.WARNING])


async def test_memory_says_that_it_is_for_development() -> None:
    async with opened("memory://") as store:
        assert ["MFA_REDIS_URL" in sentence for sentence in await store.check()] == [True]


# ------------------------------------------------------------------------------------------------------------ Clusters


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with ValkeyCluster() as made:
        yield made


@pytest.mark.slow
async def test_check_tells_of_a_cluster_that_is_not_whole(cluster: ValkeyCluster) -> None:
    """Each node says so, and is told once."""
    assert not any("whole" in one for one in (await findings(cluster.url))[Level.WARNING])
    owner = cluster.nodes[0]
    ask(owner, "CLUSTER", "DELSLOTS", "0")
    try:
        warnings = (await findings(cluster.url))[Level.WARNING]
        assert ["not whole" in one for one in warnings].count(True) == 1
    finally:
        ask(owner, "CLUSTER", "ADDSLOTS", "0")


@pytest.mark.slow
async def test_a_cluster_is_not_reached_by_the_url_of_one_node(cluster: ValkeyCluster) -> None:
    assert any("redis+cluster://" in one for one in (await findings(cluster.nodes[0].url))[Level.WARNING])


async def test_a_single_server_is_no_cluster(server: Valkey) -> None:
    assert "no Cluster" in await refusal(f"redis+cluster://127.0.0.1:{server.port}")


async def test_a_clusters_bad_password_stops_start_up() -> None:
    arguments = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--requirepass", "pw")
    with Valkey(*arguments) as node:
        assert "password" in await refusal(f"redis+cluster://:wr0ng-secret@127.0.0.1:{node.port}")


# ----------------------------------------------------------------------------------------------------------------- TLS


@contextmanager
def tls(server: Valkey) -> Iterator[tuple[str, Path]]:
    """The URL of a TLS server without its authority, and the authority's file."""
    with certificates() as made:
        with FaultProxy(("127.0.0.1", server.port), tls=made.server_context()) as front:
            yield f"rediss://127.0.0.1:{front.port}/0", made.ca


async def test_a_server_whose_certificate_is_not_trusted_is_not_told_anything(server: Valkey, tmp_path: Path) -> None:
    restrict(server)
    other = make_certificates(tmp_path).ca
    with tls(server) as (url, ca):
        secret = url.replace("//", "//mfa:pw@")
        async with opened(f"{secret}?ssl_ca_certs={ca}") as store:
            assert await login(store)
        for trusting in (f"{secret}?ssl_ca_certs={other}", secret):
            said = await refusal(trusting)
            assert "ssl_ca_certs" in said


@pytest.mark.slow
async def test_a_server_that_speaks_no_tls_is_unavailable(server: Valkey) -> None:
    store = make(server.url.replace("redis://", "rediss://"), timeout=1)
    assert (await reason(store.open())).startswith("redis: ")
    await store.close()


@pytest.mark.parametrize("scheme", ["rediss://", "redis+sentinel://", "redis+cluster://"])
@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_file_of_a_certificate_that_is_not_there_stops_start_up(scheme: str, option: str, tmp_path: Path) -> None:
    path = "/main" if "sentinel" in scheme else ""
    with pytest.raises(ConfigurationError, match=option):
        make(f"{scheme}localhost{path}?ssl=true&{option}={quote(str(tmp_path / 'no.pem'))}")


# ---------------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host:port/0",
        "redis://:s3cret/@host/0",
        "redis://:s3cret@[::1/0",
        "redis://:s3cret@host/database",
        "redis://:s3cret@host/0?unknown=1",
        "redis://:s3cret@host/0?retry=3",
        "redis://:s3cret@host/0?socket_timeout=100",
        "redis://:s3cret@host/0?db=s3cret",
        "unix://",
        "redis+sentinel://:s3cret@host:26379",
        "redis+sentinel://:s3cret@host:26379/main/s3cret",
        "redis+sentinel://:s3cret@host:26379/main?ssl=s3cret",
        "redis+sentinel://:s3cret@/main",
        "redis+cluster://:s3cret@host:1,",
        "redis+cluster://:s3cret@host:1/3",
        "redis+cluster://:s3cret@host:1?unknown=1",
    ],
)
def test_a_url_that_does_not_parse_is_named_and_not_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MFA_REDIS_URL") as stop:
        make(url)
    assert "s3cret" not in str(stop.value)
    assert stop.value.__suppress_context__

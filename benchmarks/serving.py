"""Servers as processes of their own, and how to place them and the rest of the run on the processors."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks import kernel
from tests.engines import free_port

ROOT = Path(__file__).parent.parent
_START_SECONDS = 60
_STOP_SECONDS = 10


class AppServer:
    """A server under load, a context manager. ``command`` has ``{port}`` where its port goes."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        cpus: frozenset[int] = frozenset(),
    ) -> None:
        self.port = free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._environment = without_settings() | dict(environment or {})
        self._cpus = cpus
        self._log = Path(tempfile.mkdtemp(prefix="mfa-bench-")) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.seconds_to_start = 0.0

    def __enter__(self) -> Self:
        started = time.monotonic()
        with self._log.open("wb") as log:
            environment = {**self._environment, "PORT": str(self.port)}
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        if self._cpus:
            os.sched_setaffinity(self._process.pid, self._cpus)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        self.seconds_to_start = time.monotonic() - started
        return self

    def __exit__(self, *exception: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        pids = kernel.family(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in pids:
                _kill(pid)
            process.wait(_STOP_SECONDS)
        shutil.rmtree(self._log.parent, ignore_errors=True)

    @property
    def pids(self) -> Sequence[int]:
        """Its process and the workers of it."""
        assert self._process is not None
        return kernel.family(self._process.pid)

    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-3000:]

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)} did not start:\n{self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
                continue
            return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def without_settings() -> dict[str, str]:
    """This environment without settings of ours: a server has only those that it is given."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("MFA_")}


def uvicorn(app: str, *, workers: int = 1) -> Sequence[str]:
    """The command for an app of ours."""
    quiet = ("--no-access-log", "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", app, "--port", "{port}", "--workers", str(workers), *quiet)


def gunicorn(app: str) -> Sequence[str]:
    """The command for a WSGI app: one process as everywhere, with threads, for each of its calls blocks."""
    threads = ("-w", "1", "-k", "gthread", "--threads", "8", "--keep-alive", "75", "--worker-connections", "200")
    return (sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:{port}", *threads, "--log-level", "warning", app)


def processors() -> tuple[frozenset[int], frozenset[int]]:
    """One processor for the server, the others for the engines and the driver; both the same where there is one."""
    all_of_them = sorted(os.sched_getaffinity(0))
    return frozenset(all_of_them[:1]), frozenset(all_of_them[1:] or all_of_them)

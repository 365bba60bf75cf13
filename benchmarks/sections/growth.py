"""What grows: the flow with more users, more live tokens, more authenticators, longer held responses."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from benchmarks import enrolment, flows
from benchmarks.load import measure as load
from benchmarks.plots import Chart, Lines
from benchmarks.results import Figures, Spread, table
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import Stage
from benchmarks.wire import Exchange
from tests.engines import Valkey

NAME = "growth"
TITLE = "Growth"
_PER_TURN, _WARM, _CALLERS = 170, 30, 32
_REAL = 1_000  # users who log in: in five rounds each of them once
_USERS = (1_000, 10_000, 100_000, 1_000_000)
_TOKENS = (0, 100_000)
_AUTHENTICATORS = (1, 5, 20)
_PADDINGS = (1_000, 16_000, 128_000, 1_000_000)
_RECORD, _TTL_MS, _BATCH = 2_000, 3_600_000, 5_000


@dataclass(frozen=True, slots=True)
class Variant:
    """A server, and what it is asked."""

    what: str
    size: int
    server: AppServer
    exchange: Callable[[int], Exchange] = flows.ours
    share: float = 1.0
    place: int = 0  # whose users it asks as: variants of one server must not share theirs


def measure(stage: Stage) -> Figures:
    """All variants, in turn, on servers that stay up."""
    rows: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        for turn, one in stage.turns("growth", list(_variants(stage, stack))):
            count = max(20, round(_PER_TURN * one.share))
            first = one.place * _REAL + turn * (_PER_TURN + _WARM) % _REAL
            load(one.server, one.exchange, range(first, first + _WARM), _CALLERS)
            cost = load(one.server, one.exchange, range(first + _WARM, first + _WARM + count), _CALLERS)
            rows.setdefault(one.what, {}).setdefault(str(one.size), []).append(cost.cpu)
    return {"rows": rows}


def _variants(stage: Stage, stack: ExitStack) -> Iterator[Variant]:
    def server(redis_url: str, database_url: str, **more: str) -> AppServer:
        environment = stage.ours(redis_url, database_url, **more)
        return stack.enter_context(AppServer(uvicorn("benchmarks.apps.ours:app"), environment, cpus=stage.server_cpus))

    real = range(_REAL)
    for make in (stage.sqlite, stage.postgres):
        for users in _USERS:
            database = stage.people(make(), real)
            asyncio.run(enrolment.write(database, enrolment.strangers(users - _REAL)))
            yield Variant(f"users ({'PostgreSQL' if 'postgres' in database else 'SQLite'})", users,
                          server(stage.valkey.url, database))  # fmt: skip
    for tokens in _TOKENS:
        valkey = stack.enter_context(Valkey())
        _fill(valkey, tokens)
        yield Variant("live mfaTokens in Valkey", tokens, server(valkey.url, stage.people(stage.sqlite(), real)))
    for apps in _AUTHENTICATORS:
        database = stage.people(stage.sqlite(), real, apps=apps)
        yield Variant("authenticators of the user", apps, server(stage.valkey.url, database))
    all_real = range(_REAL * len(_PADDINGS))
    big = server(stage.valkey.url, stage.people(stage.sqlite(), all_real), MFA_HELD_RESPONSE_LIMIT="2000000")
    for place, padding in enumerate(_PADDINGS):
        share = 1.0 if padding < 100_000 else 0.2
        yield Variant("bytes of the held response", padding, big, flows.padded(padding), share, place)


def _fill(valkey: Valkey, tokens: int) -> None:
    """Tokens of others, as the store keeps them."""
    record = secrets.token_bytes(_RECORD)
    with Redis(port=valkey.port) as client:
        for first in range(0, tokens, _BATCH):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(first + _BATCH, tokens)):
                pipeline.hset(f"mfa:{{stranger{number}}}:t:token", "record", record)
                pipeline.pexpire(f"mfa:{{stranger{number}}}:t:token", _TTL_MS)
            pipeline.execute()


def render(figures: Figures) -> str:
    """One table for all."""
    lines: list[Sequence[object]] = []
    for what, sizes in figures["rows"].items():
        base = Spread.of(next(iter(sizes.values()))).median
        for size, cpu in sizes.items():
            spread = Spread.of(cpu)
            lines.append((what, f"{int(size):,}", spread, f"{spread.median / base:.2f}"))
    heads = ("what grows", "to", "CPU ms a flow", "× the first")
    return "Server CPU of the complete flow, 32 callers, one worker.\n\n" + table(heads, lines)


def charts(figures: Figures) -> Iterable[Chart]:
    """Users and lengths."""
    rows = figures["rows"]
    users = {what: _points(sizes) for what, sizes in rows.items() if what.startswith("users")}
    yield Lines("growth_users", "Server CPU of one flow, ms", "users with authenticators", users)
    held = {"held response": _points(rows["bytes of the held response"])}
    yield Lines("growth_held", "Server CPU of one flow, ms", "bytes of the held response", held)


def _points(sizes: dict[str, list[float]]) -> list[tuple[float, Spread]]:
    return [(float(size), Spread.of(cpu)) for size, cpu in sizes.items()]

"""The benchmarks: what they count on any machine, that their quick part runs, and that what was kept becomes a page."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import counts, enrolment, flows, people, plots, report, results, web_socket
from benchmarks.apps import passing
from benchmarks.contenders import FLOOR, floor, ours
from benchmarks.load import measure
from benchmarks.results import Spread, ratio
from benchmarks.sections import blocking, flow, hot_spots, pass_through
from benchmarks.serving import AppServer, uvicorn
from benchmarks.stage import opened
from mfa_middleware import Settings
from mfa_middleware.stores import sql
from tests.engines import PostgreSQL, Valkey

ROOT = Path(__file__).parent.parent
ROUND_TRIPS, STATEMENTS = 3, 2
COST = {"count": 10, "cpu": 1.5, "per_second": 400.0, "p50": 20.0, "p99": 45.0}
HALF = {**COST, "cpu": 0.75}
FIGURES: dict[str, results.Figures] = {
    "flow": {
        "rows": {FLOOR: [{"many": HALF, "alone": HALF}] * 2, "ours, some": [{"many": COST, "alone": COST}] * 2},
        "callers": 32,
        "flows": 10,
    },
    "steps": {"rows": {"login and wrong code": [COST, HALF]}},
    "pass_through": {"rows": {"bare app": [0.5, 0.6], "ours, default settings": [2.5, 2.7]}},
    "streaming": {"rows": {"bare app": [{"short": 30.0, "stream": 2.0, "message": 20.0}] * 2}},
    "growth": {
        "rows": {
            "users (SQLite)": {"1000": [1.0, 1.2], "10000": [1.1, 1.3]},
            "bytes of the held response": {"1000": [1.0], "16000": [1.5]},
        }
    },
    "memory": {"rows": {"0": [{"engine": 2000.0, "server": 0.5, "held": 100}]}},
    "soak": {
        "windows": [{"began": 750, "p50": 5.0, "p99": 20.0}],
        "samples": [{"server": 300.0, "valkey": 4.0, "valkey_connections": 20, "postgresql_connections": 16}],
        "outcomes": {"released": 750},
        "p99": 20.0,
        "fail_over": {"released": 1400, "503": 100},
        "promoted_after": 1.5,
        "well_after": 2.5,
    },
    "blocking": {"rows": {"the challenge page": [1.0, 1.5]}},
    "start_up": {"rows": {"the app's plain login": [{"seconds": 1.0, "cpu": 0.5, "fresh": 50.0, "used": 55.0}]}},
    "hot_spots": {"shares": {"Valkey + SQLite": {"redis-py": 0.25, "uvicorn": 0.1}}},
}


@pytest.fixture(scope="module")
def valkey():
    with Valkey() as server:
        yield server


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Figures of all sections, as if they had been measured; and no charts, which take a library of the extra."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(plots, "draw", lambda chart, folder: folder / f"{chart.name}.svg")
    for section, figures in FIGURES.items():
        results.keep(section, {**figures, "rounds": 2, "machine": results.machine()})


@pytest.mark.slow
async def test_a_flow_costs_three_round_trips_and_two_statements_on_sqlite(valkey, tmp_path):
    url = f"sqlite:///{tmp_path}/mfa.sqlite3"
    await enrolment.enrol(url, range(2))
    found = await counts.count(blocking.login_app(), valkey.url, url)
    assert (found.round_trips, found.statements) == (ROUND_TRIPS, STATEMENTS)


@pytest.mark.slow
async def test_a_flow_costs_three_round_trips_and_two_statements_on_postgresql(valkey):
    with PostgreSQL() as server:
        await sql.migrate(Settings(database_url=server.url))
        await enrolment.enrol(server.url, range(2))
        found = await counts.count(blocking.login_app(), valkey.url, server.url)
    assert (found.round_trips, found.statements) == (ROUND_TRIPS, STATEMENTS)


@pytest.mark.parametrize("padding", [0, 100_000])
async def test_a_held_login_takes_little_more_of_redis_than_its_own_length(valkey, tmp_path, padding):
    """(The user has an authenticator app and ten recovery codes, whose sealed states travel with it.)"""
    url = f"sqlite:///{tmp_path}/mfa.sqlite3"
    await enrolment.enrol(url, range(2))
    found = await counts.count(blocking.login_app(padding), valkey.url, url)
    assert padding < found.bytes_held < padding * 1.35 + 3000


@pytest.mark.slow
def test_the_quick_part_runs_and_becomes_a_table(monkeypatch):
    monkeypatch.setattr(people, "USERS", 100)
    for name, size in (("_WARM", 5), ("_MANY", 20), ("_ALONE", 5)):
        monkeypatch.setattr(flow, name, size)
    with opened(rounds=1) as stage:
        figures = flow._measure(stage, [floor(stage), ours(stage, "Valkey", "SQLite")])
    table = flow.render(json.loads(json.dumps(figures)))
    assert re.search(r"\| ours, Valkey \+ SQLite \| \*\*\d+\.\d+ ", table)
    assert "| 1.00 (1.00–1.00) |" in table


@pytest.mark.slow
def test_other_steps_than_the_flow_are_answered_as_they_should():
    """(Each exchange asserts its own answers.)"""
    with opened(rounds=1) as stage:
        environment = stage.ours(stage.valkey.url, stage.people(stage.sqlite(), range(20)))
        cookies: list[str] = []
        with AppServer(uvicorn("benchmarks.apps.ours:app"), environment) as server:
            for exchange, numbers in (
                (flows.recovery_code, range(4)),
                (flows.wrong_code, range(4, 8)),
                (flows.to_the_page(cookies), range(8, 10)),
                (flows.page(cookies), range(4)),
                (flows.padded(50_000), range(10, 12)),
                (flows.binding, range(50, 54)),
            ):
                assert measure(server, exchange, numbers, 2).count == len(numbers)


@pytest.mark.slow
async def test_requests_that_pass_through_are_answered_by_the_app(tmp_path):
    environment = {"MFA_DATABASE_URL": f"sqlite:///{tmp_path}/mfa.sqlite3", "MFA_SECRET_KEY": enrolment.SECRET_KEY}
    with AppServer((*uvicorn("benchmarks.apps.passing:ours"), "--factory"), environment) as server:
        await web_socket.converse(server.port, messages=3)


async def test_each_app_that_is_passed_through_answers_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("MFA_DATABASE_URL", f"sqlite:///{tmp_path}/mfa.sqlite3")
    monkeypatch.setenv("MFA_SECRET_KEY", enrolment.SECRET_KEY)
    for make in (passing.plain, passing.noop, passing.session, passing.base_http, passing.ours):
        sent: list[Any] = []

        async def send(message, sent=sent):
            sent.append(message)

        app: Any = make()
        await app(pass_through._scope(), pass_through._receive, send)
        assert b"".join(message.get("body", b"") for message in sent) == b"hello"
        if make is passing.ours:
            await app.mfa.close()


async def test_the_monitor_sees_a_callback_that_blocks():
    async def blocking_work():
        sum(range(2_000_000))
        return {}

    monitor = blocking.Monitor()
    with monitor.watching():
        longest, _ = await monitor.of(blocking_work())
        shortest, _ = await monitor.of(asyncio.sleep(0, {}))
    assert longest > shortest


def test_a_sample_counts_for_the_innermost_library():
    stacks = {
        "/x/site-packages/redis/asyncio/client.py:send\n/x/mfa_middleware/stores/redis/store.py:take": 3,
        "/py/json/encoder.py:encode\n/x/mfa_middleware/records.py:encode": 1,
        "/x/importlib/__init__.py:load": 9,
    }
    assert hot_spots.shares(stacks) == {"redis-py": 0.75, "ours: held logins": 0.25}


def test_ratios_are_taken_round_by_round():
    assert ratio([2.0, 30.0, 5.0], [1.0, 10.0, 5.0]) == Spread(2.0, 1.0, 3.0)


@pytest.mark.parametrize("section", report.SECTIONS, ids=lambda section: section.NAME)
def test_each_section_becomes_a_table_without_a_hole(section):
    figures = json.loads(json.dumps(FIGURES[section.NAME]))
    rows = [line for line in section.render(figures).splitlines() if line.startswith("|")]
    assert len(rows) >= 3
    assert len({row.count("|") for row in rows}) == 1
    for chart in section.charts(figures):
        assert chart.title


def test_the_page_has_all_sections_and_their_charts(tmp_path, made_up):
    page = report.write(tmp_path / "benchmarks.md").read_text()
    assert not re.search(r"\{\w+\}|Not measured", page)
    assert "](benchmarks/flow.svg)" in page
    assert "| ours, some | **1.50 (1.50–1.50)** | 2.00 (2.00–2.00) |" in page


def test_a_section_that_was_never_measured_says_so(tmp_path, made_up):
    (results.FOLDER / "memory.json").unlink()
    assert report.write(tmp_path / "benchmarks.md").read_text().count("(Not measured yet.)") == 1


def test_every_section_is_tested_here():
    assert {section.NAME for section in report.SECTIONS} == FIGURES.keys()


@pytest.mark.parametrize("app", ["plain", "floor"])
def test_what_ours_is_compared_with_has_nothing_of_ours_in_memory(app):
    program = (
        f"import sys, benchmarks.apps.{app};"
        "print(*(name for name in sys.modules if name.startswith(('mfa_', 'plugins', 'sqlalchemy', 'pydantic'))))"
    )
    environment = {**os.environ, "BENCH_REDIS_URL": "redis://localhost:1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout.split() == []

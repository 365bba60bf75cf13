"""What most tests of the core need: a clock that stands still, settings, an open ``MFA``, a wrapped app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import time_machine
from hypothesis import Phase
from hypothesis import settings as examples

from mfa_middleware import MFA, MFAMiddleware, Settings
from tests.world import NOON, Client, LoginApp, MakeMFA, MakeSettings, WrapApp

# For mutation testing: a mutant lives or dies the same way each time; its smallest counter-example does not matter.
examples.register_profile(
    "mutants", max_examples=15, derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
)

#: Opens ten times as fast as a file.
IN_MEMORY = {"database_url": "sqlite://"}


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that moves only when it is told to: ``clock.shift(seconds)``."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    """Makes settings: a database file in a folder of the test's own, and users known by the field ``X-User``."""

    def make(**given: object) -> Settings:
        usual = {
            "database_url": f"sqlite:///{tmp_path}/mfa.sqlite3",
            "request_user": "header:X-User",
            "login_user": "json:/user_id",
            "issuer": "Example",
        }
        return Settings(**usual | given)

    return make


@pytest.fixture
async def make_mfa(settings: MakeSettings) -> AsyncIterator[MakeMFA]:
    """Makes an open ``MFA`` of these settings and plugins, by default with a database in memory."""
    made: list[MFA] = []

    async def make(*plugins: object, **given: object) -> MFA:
        made.append(MFA(settings(**IN_MEMORY | given), plugins=plugins))
        await made[-1].open()
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def mfa(make_mfa: MakeMFA) -> MFA:
    """An open ``MFA``."""
    return await make_mfa()


@pytest.fixture
async def app_factory(settings: MakeSettings) -> AsyncIterator[WrapApp]:
    """Wraps an app (by default one with a login), and gives a client of it."""
    made: list[Client] = []

    def wrap(app: LoginApp | None = None, *plugins: object, **given: object) -> Client:
        middleware = MFAMiddleware(app or LoginApp(), settings=settings(**IN_MEMORY | given), plugins=plugins)
        made.append(Client(middleware))
        return made[-1]

    yield wrap
    for one in made:
        await one.aclose()
        await one.mfa.close()

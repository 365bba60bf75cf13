"""Wrapped user pools for the tests of the dialect ``authing``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.plugins.authing_pool import World

MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(clock: object) -> AsyncIterator[MakeWorld]:
    """Wraps a user pool, with further settings."""
    made: list[World] = []

    def make(**given: object) -> World:
        made.append(World(**given))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A wrapped user pool."""
    return make_world()

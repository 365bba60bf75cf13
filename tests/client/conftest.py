"""A wrapped app, and a client of it: each test of a flow runs with the synchronous and with the asynchronous one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import pytest
from starlette.testclient import TestClient

from mfa_middleware import MFAMiddleware
from mfa_middleware.client import (
    AsyncMFAAdminClient,
    AsyncMFAClient,
    Challenge,
    MFAAdminClient,
    MFAClient,
    challenge_of,
)
from tests.conftest import IN_MEMORY
from tests.world import LoginApp, MakeSettings

URL = "http://app.example"
ADMIN = "an-admin-token-of-some-length"
WRONG = "12345"  # a digit less than every code has
BEARER = "alice-s-own-token"


async def now(given: Any) -> Any:
    """What a call gives, whichever client made it."""
    return await given if inspect.isawaitable(given) else given


@dataclass
class Place:
    """A wrapped app, and alice's program: ``http`` keeps her cookies."""

    http: Any
    mfa: Any
    admin: Any

    async def login(self) -> httpx2.Response:
        return await now(self.http.post("/login"))  # type: ignore[no-any-return]

    async def held(self) -> Challenge:
        """Log in, and be challenged."""
        challenge = challenge_of(await self.login())
        assert challenge is not None
        return challenge


class MakePlace(Protocol):
    def __call__(self, app: Any = None, *plugins: object, **given: object) -> Awaitable[Place]: ...


@pytest.fixture(params=["sync", "async"])
async def make_place(request: pytest.FixtureRequest, settings: MakeSettings, clock: object) -> AsyncIterator[MakePlace]:
    """Wraps an app, by default one with a login."""
    async with AsyncExitStack() as stack:

        async def make(app: Any = None, *plugins: object, **given: object) -> Place:
            made = settings(**IN_MEMORY | {"admin_token": ADMIN} | given)
            wrapped = MFAMiddleware(app or LoginApp(), settings=made, plugins=plugins)
            headers = {"X-User": "alice"}
            if request.param == "sync":
                http = stack.enter_context(TestClient(wrapped, base_url=URL, headers=headers))
                return Place(http, MFAClient(http, bearer=BEARER), MFAAdminClient(http, bearer=ADMIN))
            stack.push_async_callback(wrapped.mfa.close)
            transport = httpx2.ASGITransport(app=wrapped)
            client = await stack.enter_async_context(
                httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers)
            )
            return Place(client, AsyncMFAClient(client, bearer=BEARER), AsyncMFAAdminClient(client, bearer=ADMIN))

        yield make


@pytest.fixture
async def place(make_place: MakePlace) -> Place:
    """The usual one."""
    return await make_place()

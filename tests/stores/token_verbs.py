"""The verbs of the token store, each as one call, and what the tests of its engines share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from mfa_middleware.errors import Unavailable
from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import Gate, LockPolicy, TokenStore
from mfa_middleware.stores.redis import open_store

POLICY = LockPolicy()


class Verb(Protocol):
    def __call__(self, store: TokenStore, user: str = ...) -> Awaitable[object]: ...


#: Every verb, called once. What it takes for granted, ``begin`` makes.
VERBS: dict[str, Verb] = {
    "issue": lambda s, u="user": s.issue(u, "new", b"record", ttl=300, pending=10, failures=0, locked_for=0),
    "read": lambda s, u="user": s.read(u, "token"),
    "charge": lambda s, u="user": s.charge(
        u, "token", request="r", factor="totp", attempts=5, backup=False, policy=POLICY
    ),
    "charge_user": lambda s, u="user": s.charge_user(
        u, request="r", backup=False, failures=0, locked_for=0, policy=POLICY
    ),
    "found_wrong": lambda s, u="user": s.found_wrong(u, "token", attempts=5),
    "count_sending": lambda s, u="user": s.count_sending(u, most=10, window=600),
    "prepare": lambda s, u="user": s.prepare(u, "token", "mail", b"kept"),
    "prove_token": lambda s, u="user": s.prove_token(u, "token"),
    "prove": lambda s, u="user": s.prove(u, ["proof"], ttl=600, forgive=True),
    "proven": lambda s, u="user": s.proven(u, "earlier"),
    "take": lambda s, u="user": s.take(u, "token", request="r", proofs=["proof"], ttl=600, forgive=True),
    "forget": lambda s, u="user": s.forget(u, forgive=True),
}
#: Those that write nothing.
READING = {"read"}
#: Those that need memory before they have done anything. What has begun is finished, whatever it takes.
ADDING = ["issue", "charge", "charge_user", "found_wrong", "count_sending", "prepare", "prove_token"]


async def begin(store: TokenStore, user: str = "user") -> None:
    """A user with a token, a failure and a fresh proof: something for each verb to work on."""
    await store.issue(user, "token", b"record", ttl=300, pending=10, failures=1, locked_for=0)
    await store.prove(user, ["earlier"], ttl=600, forgive=False)


async def login(store: TokenStore, user: str = "") -> bool:
    """The three steps of a login, as another user each time."""
    user = user or secrets.token_hex(8)
    token = secrets.token_hex(8)
    await store.issue(user, token, b"record", ttl=300, pending=10, failures=0, locked_for=0)
    charged = await store.charge(user, token, request="r", factor="totp", attempts=5, backup=False, policy=POLICY)
    return charged.gate is Gate.OPEN and await store.take(
        user, token, request="r", proofs=["proof"], ttl=600, forgive=True
    )


def make(url: str, timeout: float = 5) -> TokenStore:
    """A store that is not open."""
    return open_store(Settings(redis_url=url, engine_timeout=timeout))


@asynccontextmanager
async def opened(url: str, timeout: float = 5) -> AsyncIterator[TokenStore]:
    """A store that is open."""
    store = make(url, timeout)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def reason(call: Awaitable[object]) -> str:
    """The inward reason of the refusal that a call must end in, long before the test would."""
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable) as refusal:
            await call
    return refusal.value.reason


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that a server does."""
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)

"""The worlds that the model is held against: embedded engines, or a Valkey and a PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import asyncpg
from redis import Redis
from sqlalchemy import make_url

from mfa_middleware.core import Core
from mfa_middleware.stores.sql.postgresql import connect_arguments
from mfa_middleware.stores.sql.schema import metadata

#: A file system that need not wait for a disk, where there is one.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class World(ABC):
    """Engines that are new for each example."""

    #: Whether Redis is a part of the process, and dies with it.
    embedded = True

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def end(self) -> None: ...

    @abstractmethod
    def settings(self) -> dict[str, Any]: ...

    @abstractmethod
    async def forget(self, core: Core) -> None:
        """Redis loses what it has: it was emptied, or failed over to a replica that knew nothing."""

    @abstractmethod
    def shift(self, seconds: float) -> None:
        """The clocks of the engines jump as that of this process does."""


class Embedded(World):
    """A SQLite file, and Redis in this process; their clock is ours."""

    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)

    def end(self) -> None:
        self._folder.cleanup()

    def settings(self) -> dict[str, Any]:
        return {"database_url": f"sqlite:///{self._folder.name}/mfa.sqlite3"}

    async def forget(self, core: Core) -> None:
        await core.token_store._client.flushall()  # type: ignore[attr-defined]

    def shift(self, seconds: float) -> None:
        """They have none of their own."""


class Real(World):
    """Servers. That of Redis has a clock of its own: what it keeps is aged, instead of moving that."""

    embedded = False

    def __init__(self, redis_url: str, database_url: str) -> None:
        self._redis_url = redis_url
        self._database_url = database_url

    def begin(self) -> None:
        self._redis = Redis.from_url(self._redis_url)
        self._redis.flushall()
        asyncio.run(self._truncate())
        self._at = time.monotonic()

    def end(self) -> None:
        self._redis.close()

    def settings(self) -> dict[str, Any]:
        return {"redis_url": self._redis_url, "database_url": self._database_url}

    async def forget(self, core: Core) -> None:
        self._redis.flushall()

    def shift(self, seconds: float) -> None:
        before, self._at = self._at, time.monotonic()
        passed = round(1000 * (seconds - (self._at - before)))  # by its own clock some has passed already
        for key in self._redis.scan_iter(count=1000):
            self._age(self._redis, key, passed)

    def _age(self, redis: Any, key: bytes, passed: int) -> None:
        if (left := redis.pttl(key)) >= 0:
            redis.pexpire(key, left - passed)  # deletes it when that is over
        if key.endswith(b":failures") and (until := int(float(redis.hget(key, "until") or 0))):
            redis.hset(key, "until", until - passed)
        if key.endswith(b":proofs"):
            for proof, stale in redis.zrange(key, 0, -1, withscores=True):
                redis.zadd(key, {proof: stale - passed})

    async def _truncate(self) -> None:
        connection = await asyncpg.connect(**connect_arguments(make_url(self._database_url)))
        await connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
        await connection.close()

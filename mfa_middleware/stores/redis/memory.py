"""The store in this process, for development: the same scripts on fakeredis. Its data die with the object."""

from __future__ import annotations

from collections.abc import Sequence

from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mfa_middleware.stores.redis.lane import Commands
from mfa_middleware.stores.redis.store import RedisTokenStore

# Not a blocking pool: its lock belongs to one event loop, and an app under test may have one per request.
_CONNECTIONS = 10_000


class MemoryTokenStore(RedisTokenStore):
    """A :class:`TokenStore` that any event loop of this process may call."""

    def __init__(self, timeout: float) -> None:
        retry = Retry(NoBackoff(), 0)
        super().__init__(FakeAsyncRedis(server=FakeServer(), retry=retry, max_connections=_CONNECTIONS), timeout)

    @property
    def _commands(self) -> Commands:
        return self._client

    async def open(self) -> None:
        """Nothing to ask: fakeredis knows neither INFO nor CONFIG."""

    async def check(self) -> Sequence[str]:
        """What an operator should know of it."""
        return [
            "MFA_REDIS_URL is memory://: running logins end with this process; name a Redis or Valkey in production."
        ]

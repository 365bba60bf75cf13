"""The primary that Sentinels name, and the connections to it."""

from __future__ import annotations

from redis.asyncio import Sentinel
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as LateAnswer

Address = tuple[str, int]


class Sentinels(Sentinel):
    """Sentinels that name the primary even while they think it is down.

    A Sentinel that has just promoted a server may call it down until it has connected to it; whether a server answers
    we see ourselves.
    """

    async def discover_master(self, service_name: str) -> Address:
        try:
            address: Address = await super().discover_master(service_name)
        except MasterNotFoundError:
            named = await self._named(service_name)
            if named is None:
                raise
            return named
        return address

    async def _named(self, service: str) -> Address | None:
        for sentinel in self.sentinels:
            asked = "SENTINEL GET-MASTER-ADDR-BY-NAME", service
            try:
                named = await sentinel.execute_command(*asked)  # type: ignore[no-untyped-call]  # so redis-py has it
            except (LostConnection, LateAnswer):
                continue
            if named:
                host, port = named
                return host.decode(), port
        return None


class SentinelPool(SentinelConnectionPool):
    """A pool that knows the primary; it closes the Sentinels with itself."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()

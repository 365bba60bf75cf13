"""Connections that end when their server has become a replica.

After a fail-over the address of the primary leads elsewhere, but what was connected stays with the old one, and would
be answered READONLY for ever. In a Cluster such a server answers MOVED.
"""

from __future__ import annotations

from typing import ClassVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError


class NotPrimary(LostConnection):
    """The server may not write, so it did nothing: it can be asked again over a new connection."""


def leaving(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection (plain, TLS, unix), for one client, that leaves a server which is no primary.

    What one of them learns all of them know: each connects anew before its next use.
    """
    return type(f"Leaving{kind.__name__}", (_Leaving, kind), {"left": 0})


class _Leaving(AbstractConnection):
    left: ClassVar[int]  #: how often the client's connections have left a server
    _joined = 0  #: what that was when this one was made

    async def connect(self) -> None:
        """The pool calls this before each use."""
        if self.is_connected and self._joined < self.left:
            await self.disconnect()
        if not self.is_connected:
            self._joined = self.left
        await super().connect()  # type: ignore[no-untyped-call]  # so redis-py has it

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109  # so redis-py has it
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> object:
        try:
            return await super().read_response(
                disable_decoding, timeout, disconnect_on_error=disconnect_on_error, push_request=push_request
            )
        except ResponseError as error:
            if not _demoted(error):
                raise
            await self._leave()
            raise NotPrimary(str(error)) from error

    async def _leave(self) -> None:
        if self._joined == self.left:
            type(self).left += 1
        await self.disconnect()


def _demoted(error: ResponseError) -> bool:
    # Redis 6.2 wraps what a command in a script was answered.
    return isinstance(error, ReadOnlyError | MasterDownError) or "-READONLY" in str(error)

"""Connections of redis-py that write without waiting, and end at once."""

from __future__ import annotations

from redis.asyncio.connection import AbstractConnection


def wired(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection (plain, TLS, unix, Sentinel's), as a :class:`Wire`."""
    return type(f"{Wire.__name__}{kind.__name__}", (Wire, kind), {})


class Wire(AbstractConnection):
    """A connection that many share: none of them may wait between taking its place in the queue and writing."""

    def write(self, packed: bytes) -> bool:
        """Hand commands to the socket, or to its buffer; False when the connection has ended.

        Nobody waits for the buffer: what is in it belongs to callers who wait for a reply, and for no longer than that.
        """
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(packed)
        return True

    def end(self) -> None:
        """Close at once, whatever is not sent yet: a server that hangs may never take it."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._close()  # type: ignore[no-untyped-call]  # so redis-py has it

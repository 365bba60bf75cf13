"""A WebSocket client for the load: short texts, each answered by one (RFC 6455)."""

from __future__ import annotations

import asyncio

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_SECONDS = 60


async def converse(port: int, messages: int) -> None:
    """Say ``messages`` texts, one after another's answer."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = f"Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\n"
        writer.write(f"GET /socket HTTP/1.1\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.decode())
        # A text in one frame, masked with zeros: a client must mask, and may choose.
        text = b"some twenty letters."
        frame = bytes((0x81, 0x80 | len(text))) + bytes(4) + text
        for _ in range(messages):
            writer.write(frame)
            await reader.readexactly(2 + len(text))
        writer.close()


async def all_converse(port: int, sockets: int, messages: int) -> None:
    """Many at once."""
    async with asyncio.TaskGroup() as group:
        for _ in range(sockets):
            group.create_task(converse(port, messages))

"""An HTTP client that costs little, so that the one machine is the servers': one connection, one request at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import cast

import httptools

_SECONDS = 60


@dataclass(slots=True)
class Reply:
    """A response."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def json(self) -> Mapping[str, object]:
        """The body."""
        found: Mapping[str, object] = json.loads(self.body)
        return found

    @property
    def cookies(self) -> str:
        """What the response sets, as a request's field; what it takes away is left out."""
        set_here = [value.partition(b";")[0] for name, value in self.headers if name.lower() == b"set-cookie"]
        return "; ".join(one.decode("latin-1") for one in set_here if not one.endswith((b"=", b'=""')))


#: A piece of work of a client: it yields requests as bytes, and is sent their replies.
Exchange = Generator[bytes, Reply, None]


class Connection(asyncio.Protocol):
    """One connection to a server. It is opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._reply = Reply()
        self._body: list[bytes] = []
        self._waiting: asyncio.Future[Reply] | None = None
        self._parser = httptools.HttpResponseParser(self)

    async def request(self, raw: bytes) -> Reply:
        """Send a request, and wait for its response."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._parser = httptools.HttpResponseParser(self)
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._reply = Reply()
        self._body.clear()
        self._waiting = loop.create_future()
        give_up = loop.call_later(_SECONDS, self._lost, TimeoutError("the server does not answer"))
        self._transport.write(raw)
        try:
            return await self._waiting
        finally:
            give_up.cancel()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """(For the parser.)"""
        self._reply.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """(For the parser.)"""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """(For the parser.)"""
        self._reply.status = self._parser.get_status_code()
        self._reply.body = b"".join(self._body)
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._reply)

    def _lost(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def request(method: str, path: str, document: object = None, fields: Mapping[str, str] | None = None) -> bytes:
    """A request as bytes, with a document as its JSON body."""
    body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
    all_fields = {"Host": "127.0.0.1", "Accept": "application/json", **(fields or {})}
    if document is not None:
        all_fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in all_fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def post(path: str, document: object = None, **fields: str) -> bytes:
    """A POST; an underscore in a field's name is a hyphen."""
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return request("POST", path, {} if document is None else document, given)

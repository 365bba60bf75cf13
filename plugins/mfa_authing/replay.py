"""A request's body, read and given on; and a response that is kept back until it is clear what it is."""

from __future__ import annotations

from mfa_authing.asked import Asked
from mfa_middleware.passage import Message, Receive, Send

LARGEST_BODY = 65_536


async def read_ahead(receive: Receive) -> tuple[bytes | None, Receive]:
    """The whole body (None for one of more than 64 KiB, or that never came), and a ``receive`` that gives it again."""
    messages: list[Message] = []
    body = b""
    whole = False
    while not whole:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > LARGEST_BODY:
            break
        whole = not message.get("more_body", False)
    unread = iter(messages)

    async def again() -> Message:
        return next(unread, None) or await receive()

    return (body if whole else None), again


class KeptBack:
    """Stands before ``send``: the challenge of a login is swallowed, anything else goes through."""

    def __init__(self, asked: Asked, send: Send) -> None:
        self._asked = asked
        self._send = send

    async def send(self, message: Message) -> None:
        """Take a message. A challenge is made before its first message is sent."""
        if self._asked.challenge is None:
            await self._send(message)

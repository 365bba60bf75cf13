"""A holder as one would write it on an afternoon: it swallows the login's response. The attacks must beat it."""

from __future__ import annotations

from typing import Any

from tests.rules.asgi_client import App, Message


def naive_holder(app: App) -> App:
    async def hold(scope: Any, receive: Any, send: Any) -> None:
        async def swallow(message: Message) -> None:
            """Keep it for later."""

        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/login"):
            await app(scope, receive, send)
            return
        await app(scope, receive, swallow)
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"second factor, please"})

    return hold

"""Lifespan: ours and the app's, as one. What is wrong with the settings stops start-up here."""

from __future__ import annotations

import logging

from mfa_middleware.errors import ConfigurationError, Unavailable
from mfa_middleware.mfa import MFA
from mfa_middleware.passage import App, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class Lifespan:
    """Opens the stores before the app starts and closes them after it has shut down.

    The app's own messages and state pass on. An app that knows no lifespan is not to be told from one that does.
    """

    def __init__(self, mfa: MFA, app: App, receive: Receive, send: Send) -> None:
        self._mfa = mfa
        self._app = app
        self._receive = receive
        self._send = send
        self._startup: Message | None = None
        self._answered: set[str] = set()
        self._shutting_down = False

    async def run(self, scope: Scope) -> None:
        """From start-up to shutdown."""
        self._startup = await self._receive()
        try:
            await self._mfa.open()
        except ConfigurationError as error:
            logger.error("mfa-middleware: %s", error)
            await self._send({"type": "lifespan.startup.failed", "message": f"mfa-middleware: {error}"})
            return
        except Unavailable as error:
            logger.warning(
                "mfa-middleware starts without an engine, and answers 503 until it is there: %s", error.reason
            )
        try:
            await self._run_app(scope)
        finally:
            await self._mfa.close()

    async def _run_app(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._receive_for_app, self._send_for_app)
        except Exception:
            if self._answered:
                raise
            logger.debug("the app knows no lifespan", exc_info=True)
        if not self._answered:
            await self._send({"type": "lifespan.startup.complete"})
        if self._answered <= {"lifespan.startup.complete"}:  # the app has left; the server has not
            while not self._shutting_down:
                await self._receive_for_app()
            await self._mfa.close()
            await self._send({"type": "lifespan.shutdown.complete"})

    async def _receive_for_app(self) -> Message:
        if self._startup is not None:
            message, self._startup = self._startup, None
            return message
        message = await self._receive()
        self._shutting_down = message["type"] == "lifespan.shutdown"
        return message

    async def _send_for_app(self, message: Message) -> None:
        self._answered.add(message["type"])
        if message["type"].startswith("lifespan.shutdown."):
            await self._mfa.close()
        await self._send(message)

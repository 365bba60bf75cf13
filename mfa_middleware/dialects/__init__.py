"""Dialects: how a challenge and its answers look on the wire. They translate, and decide nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mfa_middleware.errors import Refusal
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.models import Challenge
from mfa_middleware.passage import Scope, Send
from mfa_middleware.response_body import RawHeaders


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """A whole response."""

    status: int
    headers: RawHeaders = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    async def send(self, send: Send, *extra: tuple[bytes, bytes]) -> None:
        """Send it, with further header fields."""
        headers = [*self.headers, *extra]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Dialect(Protocol):
    """What a plugin gives to make logins look otherwise on the wire.

    ``mount`` is the sub-app's path as clients see it. ``held`` is what the client must not get yet: a dialect may tell
    of it whose login it is, and nothing that signs anybody in.
    """

    @property
    def name(self) -> str: ...

    def challenge(self, challenge: Challenge, scope: Scope, *, mount: str, held: HeldLogin) -> WireAnswer:
        """What is answered to a login instead of the app's response."""
        ...

    def problem(self, error: Refusal, scope: Scope, *, trace_id: str) -> WireAnswer:
        """What is answered to a login that had to be refused."""
        ...

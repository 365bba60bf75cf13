"""One typed event per act. Plugins listen to them, and every one is logged as structured fields.

An event has the true reason, which the client is not told, and the trace id, which it is. It never has a secret, a
code or a token.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Protocol

logger = logging.getLogger("mfa_middleware")
_LISTENER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to ``user_id`` (None: unknown) at ``at``, in seconds since the epoch."""

    level: ClassVar[int] = logging.INFO
    user_id: str | None
    trace_id: str
    at: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        """The event's name in logs: ``LoginNotHeld`` is ``login_not_held``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged(Event):
    """A login was held, or a step-up begun. ``purpose`` is login, enrolment or step_up."""

    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Event):
    """A factor sent or prepared what its user needs to answer."""

    factor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Event):
    """A right answer was spent and its token consumed."""

    purpose: str
    factor: str
    authenticator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(Event):
    """A held login left the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """A wrong answer, and why it was wrong."""

    level = logging.WARNING
    purpose: str
    factor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked(Event):
    """A wrong answer locked its user. ``seconds`` says for how long."""

    level = logging.WARNING
    failures: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked(Event):
    """An admin ended a lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """A request was refused: its code, and the reason that the client was not told."""

    level = logging.WARNING
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginNotHeld(Event):
    """A login could not be held and was refused. Where ``reason`` names a hole, close it."""

    level = logging.ERROR
    reason: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginNotDeclared(Event):
    """Somebody was signed in at a path that ``MFA_LOGIN`` does not declare, where it cannot be held from outside."""

    level = logging.ERROR
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingBegun(Event):
    """A pending authenticator was made, or a new secret for a live one."""

    factor: str
    authenticator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound(Event):
    """An authenticator became live, or got its new secret."""

    factor: str
    authenticator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Event):
    """An authenticator was enabled, disabled or relabelled."""

    factor: str
    authenticator_id: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbound(Event):
    """An authenticator was removed."""

    factor: str
    authenticator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesRegenerated(Event):
    """New recovery codes were issued; the former ones are void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Event):
    """An authenticator was brought from another system."""

    factor: str
    authenticator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Event):
    """All of a user's authenticators were removed by an admin."""


class EventListener(Protocol):
    """What a plugin registers. One that fails is logged, one that is slow is left behind: no answer changes by it."""

    async def __call__(self, event: Event) -> None: ...


class Events:
    """Delivers each event to the log and to all listeners, in order."""

    def __init__(self, listeners: Iterable[EventListener] = ()) -> None:
        self._listeners = tuple(listeners)

    async def emit(self, event: Event) -> None:
        """Log and deliver. Never raises."""
        if logger.isEnabledFor(event.level):
            fields = asdict(event)
            text = " ".join(f"{name}={value!r}" for name, value in fields.items() if name != "at")
            logger.log(event.level, "%s %s", event.name, text, extra={"mfa": {"event": event.name, **fields}})
        for listener in self._listeners:
            try:
                async with asyncio.timeout(_LISTENER_SECONDS):
                    await listener(event)
            except Exception:
                logger.exception("an event listener failed", extra={"mfa": {"event": event.name}})


_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(headers: Iterable[tuple[bytes, bytes]] = ()) -> str:
    """The request's trace id: that of its ``traceparent`` (W3C Trace Context §3.2), or a new one. 32 hex digits."""
    for name, value in headers:
        if name.lower() == b"traceparent" and (found := _TRACEPARENT.fullmatch(value)) and found[1].strip(b"0"):
            return found[1].decode()
    return secrets.token_hex(16)

"""Codes by e-mail: a second factor that no part of mfa-middleware knows of."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Iterable
from email.message import EmailMessage
from mailbox import Maildir
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, Field

from mfa_middleware import Factor, Settings, hookimpl
from mfa_middleware.errors import InvalidCode, Misconfigured
from mfa_middleware.factor import Answer, Enrolling, Enrolment, Prepared, State
from mfa_middleware.models import Once, Purpose


class MailCodeSettings(BaseModel):
    """The variables MFA_MAIL_CODE_*."""

    outbox: Path = Field(description="a Maildir folder, from which your mail server takes what it is to send")


class Mailer(Protocol):
    """Whatever delivers a message; it may block."""

    def __call__(self, message: EmailMessage, /) -> object: ...


class MailCode:
    """A code of eight digits, mailed anew for every login. The account name is the address."""

    name = "mail_code"
    title = "Code by e-mail"
    amr = "otp"

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        if "@" not in enrolling.name:
            raise Misconfigured("MFA_REQUEST_NAME gives no e-mail address")
        return Enrolment({"address": enrolling.name, "confirming": await self._mail(enrolling.name)}, shown={})

    async def challenge(self, state: State) -> Prepared:
        return Prepared(shown={"sentTo": _hidden(state["address"])}, kept=await self._mail(state["address"]))

    async def check(self, state: State, answer: Answer) -> Once:
        sent = state["confirming"] if answer.purpose is Purpose.CONFIRM else answer.kept
        if sent is None:
            raise InvalidCode("no code has been sent")
        digest = _digest(sent["salt"], answer.code.strip())
        if not hmac.compare_digest(digest.hex(), sent["digest"]):
            raise InvalidCode("not the code that was sent")
        return Once(digest)

    async def _mail(self, address: str) -> State:
        """Send a new code, and keep no more of it than a salted digest."""
        code, salt = f"{secrets.randbelow(10**8):08}", secrets.token_hex(16)
        message = EmailMessage()
        message["To"], message["Subject"] = address, "Your login code"
        message.set_content(f"Your code is {code}. If you are not logging in, somebody knows your password.\n")
        await asyncio.to_thread(self._mailer, message)
        return {"salt": salt, "digest": _digest(salt, code).hex()}


def _digest(salt: str, code: str) -> bytes:
    return hmac.digest(salt.encode(), code.encode(errors="replace"), "sha256")


def _hidden(address: str) -> str:
    return f"{address[0]}…@{address.rpartition('@')[2]}"


@hookimpl
def mfa_register_factors(settings: Settings) -> Iterable[Factor]:
    """The factor, with a Maildir for its mailer."""
    outbox = settings.section(MailCodeSettings, "mail_code").outbox
    return [MailCode(Maildir(outbox).add)]

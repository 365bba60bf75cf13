"""What the server answers, as frozen dataclasses. Secrets, codes and tokens never stand in a ``repr``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel


class Result:
    """Camel case on the wire. What a newer server says besides is left aside."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel)


@dataclass(frozen=True)
class FactorChoice(Result):
    """One way to answer a challenge."""

    factor: str
    authenticator_id: str
    label: str


@dataclass(frozen=True)
class Challenge(Result):
    """What stands for a held login or a step-up. It works once, and ``expires_in`` seconds long."""

    mfa_token: str = field(repr=False)
    expires_in: int
    factors: tuple[FactorChoice, ...]
    code: str = ""  #: "mfa_required", "mfa_enrolment_required", or nothing for a step-up

    @property
    def must_bind(self) -> bool:
        """Whether a factor must be bound with it, then the login released; else it is to be verified."""
        return self.code == "mfa_enrolment_required"


@dataclass(frozen=True)
class Prepared:
    """What a factor has sent or prepared. ``shown`` is what the client needs to answer it, as that factor says it."""

    factor: str
    shown: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class Authenticator(Result):
    """A live authenticator."""

    id: str
    factor: str
    label: str
    enabled: bool
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class Authenticators(Result):
    """All live authenticators of a user."""

    authenticators: tuple[Authenticator, ...]
    recovery_codes_left: int


@dataclass(frozen=True)
class Pending(Result):
    """A pending authenticator, to be confirmed within ``expires_in`` seconds. Its secret is told here alone.

    What a factor does not have is empty: ``uri`` is what a QR code holds, ``qr_code`` a ``data:`` URL of its picture.
    """

    id: str
    factor: str
    expires_in: int
    secret: str = field(default="", repr=False)
    uri: str = field(default="", repr=False)
    qr_code: str = field(default="", repr=False)


@dataclass(frozen=True)
class Confirmed(Result):
    """An authenticator that is live now, and the recovery codes that come with the first one alone."""

    id: str
    factor: str
    enabled: bool
    recovery_codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class RecoveryCodes(Result):
    """New recovery codes; the former ones are void."""

    recovery_codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Status(Result):
    """Whether the caller's logins need a second factor, whether everybody's do, and which factors the caller has."""

    enabled: bool
    required: bool
    factors: tuple[str, ...]


@dataclass(frozen=True)
class FieldError(Result):
    """What is wrong with one field of a request."""

    field: str
    detail: str


@dataclass(frozen=True)
class Problem(Result):
    """A problem document (RFC 9457). ``retry_after`` is the header field of that name, in seconds."""

    code: str
    status: int = 0
    title: str = ""
    detail: str = ""
    trace_id: str = ""
    attempts_left: int | None = None
    errors: tuple[FieldError, ...] = ()
    retry_after: int = 1

"""The shapes of the JSON API. OpenAPI is made from these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr
from pydantic.alias_generators import to_camel

from mfa_middleware.management import Overview
from mfa_middleware.models import Authenticator, Binding

LONGEST_CODE = 4096
_SHOWN = ("secret", "uri", "qrCode")


def _printable(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must have no control characters")
    return text


Code = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_CODE, description="what the user typed")]
FactorName = Annotated[StrictStr, Field(pattern="^[a-z][a-z0-9_]{0,63}$", description="a factor's name")]
Label = Annotated[
    StrictStr,
    Field(min_length=1, max_length=100, description="a name for people", examples=["my phone"]),
    AfterValidator(_printable),
]
AuthenticatorId = Annotated[StrictStr, Field(max_length=64, description="an authenticator's id")]
TokenText = Annotated[StrictStr, Field(max_length=2048, description="the mfaToken of a challenge")]


class Shape(BaseModel):
    """Camel case on the wire; nothing that is not known."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", hide_input_in_errors=True
    )


class Body(Shape):
    """A request's body. The mfaToken may always stand in it."""

    mfa_token: TokenText | None = None


class Empty(Body):
    """Nothing but, perhaps, the mfaToken."""


class Verify(Body):
    """An answer to a challenge."""

    factor: FactorName
    code: Code
    authenticator_id: AuthenticatorId | None = None


class ChooseFactor(Body):
    """The factor to be prepared."""

    factor: FactorName


class Bind(Body):
    """The factor to bind."""

    factor: FactorName
    label: Label | None = None


class Confirm(Body):
    """An answer with the pending secret."""

    code: Code


class Change(Body):
    """What to change of an authenticator."""

    enabled: StrictBool | None = None
    label: Label | None = None


class Import(Body):
    """A secret of another system."""

    factor: FactorName
    secret: Annotated[StrictStr, Field(min_length=1, max_length=1024, description="as the other system gave it out")]
    label: Label | None = None
    recovery_codes: Annotated[list[StrictStr], Field(max_length=100)] = []


class FactorChoiceShape(Shape):
    """One way to answer a challenge."""

    factor: str
    authenticator_id: str
    label: str


class StepUp(Shape):
    """A challenge without a login."""

    mfa_token: str
    expires_in: Annotated[int, Field(description="seconds")]
    factors: list[FactorChoiceShape]


class Challenged(BaseModel):
    """What the client needs to answer; what stands beside ``factor`` is the factor's own."""

    model_config = ConfigDict(extra="allow")
    factor: str


class Verified(Shape):
    """A factor was proven, without a login."""

    verified: Literal[True] = True


class AuthenticatorShape(Shape):
    """A live authenticator; never a secret."""

    id: str
    factor: str
    label: str
    enabled: bool
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, one: Authenticator) -> AuthenticatorShape:
        """As the API shows it."""
        return cls(
            id=one.id,
            factor=one.factor,
            label=one.label,
            enabled=one.enabled,
            created_at=_time(one.created_at),
            last_used_at=None if one.last_used_at is None else _time(one.last_used_at),
        )


class Authenticators(Shape):
    """The caller's live authenticators."""

    authenticators: list[AuthenticatorShape]
    recovery_codes_left: int

    @classmethod
    def of(cls, overview: Overview) -> Authenticators:
        """As the API shows it."""
        return cls(
            authenticators=[AuthenticatorShape.of(one) for one in overview.authenticators],
            recovery_codes_left=overview.recovery_codes_left,
        )


class Pending(Shape):
    """A pending authenticator. The secret is told here and nowhere else."""

    id: str
    factor: str
    status: Literal["pending"] = "pending"
    secret: str | None = None
    uri: str | None = None
    qr_code: Annotated[str | None, Field(description="a data: URL of an image")] = None
    expires_in: Annotated[int, Field(description="seconds")]

    @classmethod
    def of(cls, begun: Binding) -> Pending:
        """As the API shows it. Of what the factor shows, the names that the API knows."""
        shown = {name: text for name, text in begun.shown.items() if name in _SHOWN}
        return cls.model_validate({**shown, "id": begun.id, "factor": begun.factor, "expiresIn": begun.expires_in})


class ConfirmedShape(Shape):
    """An authenticator that is live now; recovery codes come with the first one alone."""

    id: str
    factor: str
    enabled: Literal[True] = True
    recovery_codes: list[str]


class RecoveryCodes(Shape):
    """New recovery codes; the former ones are void."""

    recovery_codes: list[str]


class StatusShape(Shape):
    """What the caller's logins need."""

    enabled: bool
    required: bool
    factors: list[str]


class FieldError(Shape):
    """What is wrong with one field."""

    field: str
    detail: str


class Problem(Shape):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    trace_id: str
    attempts_left: int | None = None
    errors: list[FieldError] | None = None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

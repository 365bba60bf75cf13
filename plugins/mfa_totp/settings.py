"""The variables ``MFA_TOTP_*``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class TOTPSettings(BaseModel, frozen=True):
    """What new authenticators are made of, and how their codes are read.

    An authenticator keeps the algorithm, the digits and the period that it was made with.
    """

    algorithm: Literal["SHA1", "SHA256", "SHA512"] = Field(
        default="SHA1", description="SHA1, which every app knows, SHA256 or SHA512"
    )
    digits: int = Field(default=6, ge=6, le=8, description="the length of a code, 6 to 8")
    period: int = Field(default=30, ge=15, le=120, description="seconds that a code is shown, 15 to 120")
    window: int = Field(default=1, ge=0, le=10, description="steps either side of now that are accepted, 0 to 10")
    spend_on_confirm: bool = Field(
        default=True, description="false where the code that confirmed a binding may also log in, else true"
    )
    import_bits: int = Field(
        default=112, ge=80, le=512, description="the bits that an imported secret must have at least, 80 to 512"
    )

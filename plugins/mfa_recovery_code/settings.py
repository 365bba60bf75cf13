"""The variables ``MFA_RECOVERY_CODE_*``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class RecoveryCodeSettings(BaseModel, frozen=True):
    """How many codes a user gets, and when."""

    count: int = Field(default=10, ge=1, le=50, description="the number of codes that a user gets, 1 to 50")
    style: Literal["auto", "list", "single"] = Field(
        default="auto",
        description="list, single (one code, with each binding anew), or auto: single for the dialect authing",
    )


class AuthingSettings(BaseModel, frozen=True):
    """What the dialect ``authing`` may show again has to be kept."""

    reveal_secrets: bool = False

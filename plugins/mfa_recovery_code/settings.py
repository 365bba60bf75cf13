"""The variables ``MFA_RECOVERY_CODE_*``."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RecoveryCodeSettings(BaseModel, frozen=True):
    """How many codes a user gets."""

    count: int = Field(default=10, ge=1, le=50, description="the number of codes that a user gets, 1 to 50")

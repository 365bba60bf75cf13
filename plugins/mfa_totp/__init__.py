"""Codes from authenticator apps (TOTP, RFC 6238)."""

from __future__ import annotations

from collections.abc import Iterable

from mfa_middleware import Factor, Settings, hookimpl
from mfa_totp.settings import TOTPSettings
from mfa_totp.totp import TOTP


@hookimpl
def mfa_register_factors(settings: Settings) -> Iterable[Factor]:
    """The factor ``totp``, as ``MFA_TOTP_*`` says."""
    return [TOTP(settings.section(TOTPSettings, "totp"))]

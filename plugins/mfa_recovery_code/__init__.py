"""Recovery codes: a backup for who has lost all other factors."""

from __future__ import annotations

from collections.abc import Iterable

from mfa_middleware import Factor, Settings, hookimpl
from mfa_recovery_code.recovery_code import RecoveryCode
from mfa_recovery_code.settings import AuthingSettings, RecoveryCodeSettings
from mfa_recovery_code.single import SingleRecoveryCode


@hookimpl
def mfa_register_factors(settings: Settings) -> Iterable[Factor]:
    """The factor ``recovery_code``, as ``MFA_RECOVERY_CODE_*`` says."""
    chosen = settings.section(RecoveryCodeSettings, "recovery_code")
    authing = settings.dialect == "authing"
    if chosen.style == "single" or (chosen.style == "auto" and authing):
        shown = authing and settings.section(AuthingSettings, "authing").reveal_secrets
        return [SingleRecoveryCode(chosen, keep=shown)]
    return [RecoveryCode(chosen)]

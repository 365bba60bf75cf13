"""The wire format of Authing, so that its own SDKs work against any wrapped app."""

from __future__ import annotations

from collections.abc import Iterable

from mfa_authing.dialect import Authing
from mfa_authing.settings import AuthingSettings
from mfa_middleware import Settings, hookimpl


@hookimpl
def mfa_register_dialects(settings: Settings) -> Iterable[object]:
    """The dialect ``authing``, as ``MFA_AUTHING_*`` says."""
    chosen = settings.section(AuthingSettings, "authing")
    return [Authing(chosen, in_use=settings.dialect == Authing.name, locale=settings.locale)]

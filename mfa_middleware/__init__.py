"""A second factor in front of any ASGI app: wrap it, and whoever logs in proves a factor before the login leaves.

Everything that users and plugin authors may rely on is named here.
"""

from mfa_middleware.errors import (
    ConfigurationError,
    CrossOrigin,
    EnrolmentRequired,
    Forbidden,
    InvalidCode,
    InvalidRequest,
    LoginNotHeld,
    MFAError,
    Misconfigured,
    NotFound,
    NotSignedIn,
    PluginError,
    Refusal,
    StepUpRequired,
    TokenInvalid,
    TooLarge,
    TooManyAttempts,
    Unavailable,
)
from mfa_middleware.factor import Factor
from mfa_middleware.hookspecs import hookimpl, hookspec
from mfa_middleware.mfa import MFA
from mfa_middleware.middleware import MFAMiddleware
from mfa_middleware.passage import mark_login
from mfa_middleware.settings import Settings

__all__ = [
    "MFA",
    "ConfigurationError",
    "CrossOrigin",
    "EnrolmentRequired",
    "Factor",
    "Forbidden",
    "InvalidCode",
    "InvalidRequest",
    "LoginNotHeld",
    "MFAError",
    "MFAMiddleware",
    "Misconfigured",
    "NotFound",
    "NotSignedIn",
    "PluginError",
    "Refusal",
    "Settings",
    "StepUpRequired",
    "TokenInvalid",
    "TooLarge",
    "TooManyAttempts",
    "Unavailable",
    "hookimpl",
    "hookspec",
    "mark_login",
]

"""A client of a wrapped app's second factor, synchronous and asynchronous. It wants the extra ``client``.

``challenge_of`` finds the challenge in an app's login answer; ``MFAClient`` and ``AsyncMFAClient`` answer it, and have
the rest of the HTTP API as methods. ``mfa_middleware.client.authing`` is the same for apps that speak Authing's.
"""

from mfa_middleware.client.answers import challenge_of
from mfa_middleware.client.clients import AsyncMFAAdminClient, AsyncMFAClient, MFAAdminClient, MFAClient
from mfa_middleware.client.errors import (
    ClientError,
    CrossOrigin,
    EnrolmentRequired,
    Forbidden,
    InvalidCode,
    InvalidRequest,
    LoginNotHeld,
    Misconfigured,
    NotFound,
    NotSignedIn,
    Refused,
    StepUpRequired,
    TokenInvalid,
    TooLarge,
    TooManyAttempts,
    Unavailable,
    UnexpectedAnswer,
)
from mfa_middleware.client.results import (
    Authenticator,
    Authenticators,
    Challenge,
    Confirmed,
    FactorChoice,
    FieldError,
    Pending,
    Prepared,
    RecoveryCodes,
    Status,
)

__all__ = [
    "AsyncMFAAdminClient",
    "AsyncMFAClient",
    "Authenticator",
    "Authenticators",
    "Challenge",
    "ClientError",
    "Confirmed",
    "CrossOrigin",
    "EnrolmentRequired",
    "FactorChoice",
    "FieldError",
    "Forbidden",
    "InvalidCode",
    "InvalidRequest",
    "LoginNotHeld",
    "MFAAdminClient",
    "MFAClient",
    "Misconfigured",
    "NotFound",
    "NotSignedIn",
    "Pending",
    "Prepared",
    "RecoveryCodes",
    "Refused",
    "Status",
    "StepUpRequired",
    "TokenInvalid",
    "TooLarge",
    "TooManyAttempts",
    "Unavailable",
    "UnexpectedAnswer",
    "challenge_of",
]

"""A client of apps that are wrapped with ``MFA_DIALECT=authing``: Authing's methods under their names in snake_case.

``data_of`` reads an app's login answer, and raises ``MFARequired`` for one that is held; ``AuthingClient`` and
``AsyncAuthingClient`` have the methods.
"""

from mfa_middleware.client.authing.answers import data_of
from mfa_middleware.client.authing.clients import AsyncAuthingClient, AuthingClient
from mfa_middleware.client.authing.errors import AuthingError, MFARequired
from mfa_middleware.client.authing.results import Association, LoggedIn, MFAAuthenticator, UserMFA

__all__ = [
    "Association",
    "AsyncAuthingClient",
    "AuthingClient",
    "AuthingError",
    "LoggedIn",
    "MFAAuthenticator",
    "MFARequired",
    "UserMFA",
    "data_of",
]

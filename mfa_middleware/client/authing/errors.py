"""What the client raises of an app that speaks Authing's API: one branch of the client's tree."""

from __future__ import annotations

from collections.abc import Mapping

from mfa_middleware.client.errors import ClientError


class AuthingError(ClientError):
    """An answer whose ``code`` is not 200: 6001 wrong code, 6002 wrong recovery code, 2021 token dead, 2057 locked."""

    def __init__(self, status: int, code: int, message: str, data: object = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class MFARequired(AuthingError):
    """Code 1635: the login is held. ``data`` says whose it is, as far as the held answer does."""

    @property
    def mfa_token(self) -> str:
        """What stands for the held login."""
        return str(self.data["mfaToken"]) if isinstance(self.data, Mapping) and "mfaToken" in self.data else ""

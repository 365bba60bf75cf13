"""What an app that speaks Authing's API answers. Secrets, codes and tokens never stand in a ``repr``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from mfa_middleware.client.results import Result


@dataclass(frozen=True)
class MFAAuthenticator(Result):
    """A bound authenticator. ``secret`` and ``recovery_code`` are empty unless the server reveals them."""

    id: str
    created_at: str
    updated_at: str
    user_id: str
    enable: bool
    authenticator_type: str
    secret: str = field(default="", repr=False)
    recovery_code: str = field(default="", repr=False)


@dataclass(frozen=True)
class Association:
    """A pending authenticator. ``qrcode_data_url`` is a picture, for ``<img src>``."""

    authenticator_type: str
    secret: str = field(repr=False)
    qrcode_uri: str = field(repr=False)
    qrcode_data_url: str = field(repr=False)
    recovery_code: str = field(repr=False)


@dataclass(frozen=True)
class LoggedIn:
    """The released login. ``user`` is as the app gave it, ``recovery_code`` the new one if one was used up."""

    user: Mapping[str, object] = field(repr=False)
    recovery_code: str = field(default="", repr=False)

    @property
    def token(self) -> str:
        """The user's token at the app."""
        return str(self.user.get("token") or "")


@dataclass(frozen=True)
class UserMFA(Result):
    """Whether a user's logins need a second factor, as the older API says it."""

    id: Annotated[str, Field(alias="_id")]
    user_id: str
    user_pool_id: str
    enable: bool
    share_key: str | None = field(default=None, repr=False)

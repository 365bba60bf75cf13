"""What an authenticator app does with the QR code that it scans: it keeps a secret, and shows codes."""

from __future__ import annotations

import base64
import time

import pyotp
import pyotp.totp


class _Clock(pyotp.totp.TOTP):
    """pyotp's arithmetic for short secrets, too: people bring them from other systems."""

    def byte_secret(self) -> bytes:
        return base64.b32decode(self.secret + "=" * (-len(self.secret) % 8), casefold=True)


class VirtualAuthenticator:
    """An authenticator app that holds one account.

    :param uri: the ``otpauth://`` URI of the QR code, or the bare secret in base32.
    :raises ValueError: for a URI that an app would refuse to scan.
    """

    def __init__(self, uri: str) -> None:
        scanned = pyotp.parse_uri(uri) if ":" in uri else _Clock(uri.replace(" ", ""))
        if not isinstance(scanned, pyotp.totp.TOTP):
            raise ValueError("This virtual authenticator shows codes that go by the time, not by a counter.")
        self._clock = scanned

    @property
    def name(self) -> str:
        """The account name that the app shows."""
        return self._clock.name

    @property
    def issuer(self) -> str | None:
        """The issuer that the app shows beside it."""
        return self._clock.issuer

    def code(self, at: float | None = None, *, offset_steps: int = 0) -> str:
        """The code that the app shows at a time (seconds since the epoch; now), or some steps before or after it."""
        return self._clock.at(time.time() if at is None else at, counter_offset=offset_steps)

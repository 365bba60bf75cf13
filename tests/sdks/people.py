"""What the tests do again and again: somebody registers, logs in, binds an authenticator app."""

from __future__ import annotations

import secrets
from typing import Any

from mfa_middleware.testing import VirtualAuthenticator
from tests.sdks.clients import Client, Thrown

PASSWORD = "wonderland"
CHALLENGE = {"mfaToken", "nickname", "email", "username", "avatar", "phone"}
CHALLENGE |= {"totpMfaEnabled", "faceMfaEnabled", "applicationMfa"}


def new_email() -> str:
    """An address that nobody has registered yet."""
    return f"{secrets.token_hex(6)}@example.com"


def wrong(right: str) -> str:
    """A code that is not that one."""
    return "000000" if right != "000000" else "000001"


def challenge_of(thrown: Thrown) -> dict[str, Any]:
    """The data of the challenge that a login threw."""
    assert thrown.code == 1635, thrown
    assert thrown.data.keys() >= CHALLENGE
    assert isinstance(thrown.data["mfaToken"], str)
    data: dict[str, Any] = thrown.data
    return data


class Alice:
    """A user of authing-js-sdk 4, who has registered and logged in."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.email = new_email()
        self.id: str = client.call("registerByEmail", self.email, PASSWORD)["id"]
        self.token: str = client.call("loginByEmail", self.email, PASSWORD)["token"]
        self.phone = VirtualAuthenticator("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        self.recovery_code = ""

    def bind(self) -> None:
        """Bind an authenticator app. Its code is spent then; the next one is good already."""
        given = self.client.call("mfa.assosicateMfaAuthenticator", {"authenticatorType": "totp"})
        self.phone = VirtualAuthenticator(given["qrcode_uri"])
        self.recovery_code = given["recovery_code"]
        totp = self.phone.code()
        self.client.call("mfa.confirmAssosicateMfaAuthenticator", {"authenticatorType": "totp", "totp": totp})

    def challenged(self) -> str:
        """Log in; gives the mfaToken of the challenge."""
        challenge = challenge_of(self.client.refusal("loginByEmail", self.email, PASSWORD))
        assert challenge["email"] == self.email
        return str(challenge["mfaToken"])

    def keep(self, user: dict[str, Any]) -> None:
        """Go on with the token of a login that was released."""
        assert user["id"] == self.id
        self.token = user["token"]
        self.client.call("setToken", self.token)

    def authenticators(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.call("mfa.getMfaAuthenticators", {"type": "totp"})
        return found

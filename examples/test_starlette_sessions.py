"""How the author of `starlette_sessions.py` knows that its login is covered.

MFA_DATABASE_URL=sqlite:// pytest examples/test_starlette_sessions.py
"""

from __future__ import annotations

from examples.starlette_sessions import app as my_app
from mfa_middleware.testing import Conformance, Login
from mfa_middleware.testing.conformance import Client


class TestMyApp(Conformance):
    """Attacks on the login of alice."""

    app = my_app
    user = "alice"

    def login(self) -> Login:
        return Login.form("/login", username="alice", password="wonderland")

    async def who(self, client: Client) -> object:
        return (await client.get("/me")).json()["user"]

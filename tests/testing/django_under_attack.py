"""What the author of the Django example writes, whose login wants a CSRF token. Run by ``test_conformance.py``."""

from __future__ import annotations

import re

from examples.django_auth.wrapped import application
from mfa_middleware.testing import Conformance, Login
from mfa_middleware.testing.conformance import Client


class TestDjango(Conformance):
    app = application
    user = "1"
    visits = ("/login/",)

    def login(self) -> Login:
        return Login.form("/login/", username="alice", password="wonderland")

    async def before_login(self, client: Client, login: Login) -> Login:
        """As a browser does it: fetch the form, send it back with its CSRF token."""
        form = await client.get("/login/", headers={"accept": "text/html"})
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        return login.with_fields(csrfmiddlewaretoken=found[1] if found else "")

    async def who(self, client: Client) -> object:
        return (await client.get("/whoami")).json()["user"]

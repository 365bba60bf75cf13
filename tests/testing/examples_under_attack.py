"""What the authors of the examples write to know that their apps are covered. Run by ``test_conformance.py``."""

from __future__ import annotations

from examples import bare_asgi, demo, fastapi_bearer, litestar_app, quart_app
from mfa_middleware import Settings
from mfa_middleware.testing import Conformance, Login
from mfa_middleware.testing.conformance import Client


class Example(Conformance):
    user = "alice"
    visits = ("/me",)

    def login(self) -> Login:
        return Login.form("/login", username="alice", password="wonderland")

    async def who(self, client: Client) -> object:
        return (await client.get("/me")).json()["user"]


class TestBareASGI(Example):
    app = bare_asgi.app


class TestQuart(Example):
    app = quart_app.app


class TestLitestar(Example):
    app = litestar_app.app


class TestDemo(Example):
    app = demo.make_app(Settings())


class TestFastAPI(Example):
    app = fastapi_bearer.app

    def login(self) -> Login:
        return Login.form("/token", grant_type="password", username="alice", password="wonderland")

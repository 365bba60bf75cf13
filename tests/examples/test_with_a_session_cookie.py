"""The examples whose login is a form at /login and whose session is a cookie, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.serving import bind, challenge, client, served, verify

pytestmark = pytest.mark.slow
EXAMPLES = ("starlette_sessions", "bare_asgi", "quart_app", "litestar_app")
ALICE = {"username": "alice", "password": "wonderland"}


@pytest.fixture(scope="module", params=EXAMPLES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(f"examples.{request.param}:app", tmp_path_factory.mktemp(request.param)) as address:
        yield address


def test_a_login_is_free_until_a_factor_is_bound_and_held_from_then_on(url):
    with client(url) as browser, client(url) as other:
        wrong = browser.post("/login", data=ALICE | {"password": "no"})
        assert (wrong.status_code, "mfaToken" in wrong.text) == (401, False)
        assert browser.get("/mfa/authenticators").json()["code"] == "not_signed_in"

        free = browser.post("/login", data=ALICE)
        assert (free.status_code, free.json()) == (200, {"user": "alice"})
        assert browser.get("/me").json() == {"user": "alice"}
        phone, _ = bind(browser)

        held = other.post("/login", data=ALICE)
        token = challenge(held)["mfaToken"]
        assert "session" not in other.cookies
        assert other.get("/me").json() == {"user": None}

        released = verify(other, token, phone)
        assert (released.status_code, released.json()) == (200, {"user": "alice"})
        assert other.get("/me").json() == {"user": "alice"}

        authenticator = other.get("/mfa/authenticators").json()["authenticators"][0]["id"]
        assert other.delete(f"/mfa/authenticators/{authenticator}").status_code == 204
        browser.cookies.clear()
        assert browser.post("/login", data=ALICE).json() == {"user": "alice"}


def test_the_header_that_names_the_user_stays_inside(tmp_path):
    with served("examples.bare_asgi:app", tmp_path) as address, client(address) as browser:
        answer = browser.post("/login", data=ALICE)
        assert answer.json() == {"user": "alice"}
        assert "x-signed-in" not in answer.headers

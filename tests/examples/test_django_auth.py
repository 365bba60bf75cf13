"""The Django example: contrib.auth's own login view with CSRF protection, wrapped in code and by variables alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.examples.serving import ROOT, bind, challenge, client, environment, served, verify

pytestmark = pytest.mark.slow

BY_VARIABLES = {
    "MFA_APP": "examples.django_auth.asgi:application",
    "MFA_LOGIN": "POST /login/",
    "MFA_LOGIN_USER": "whoami:/whoami#/user",
    "MFA_REQUEST_USER": "whoami:/whoami#/user",
    "MFA_REQUEST_NAME": "whoami:/whoami#/name",
}
WAYS = {
    "in code": ("examples.django_auth.wrapped:application", {}),
    "by variables": ("mfa_middleware.asgi:app", BY_VARIABLES),
}


@pytest.fixture(scope="module", params=WAYS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("django")
    own = {
        "DJANGO_SETTINGS_MODULE": "examples.django_auth.settings",
        "DJANGO_DATABASE": str(folder / "django.sqlite3"),
        "DJANGO_SUPERUSER_PASSWORD": "wonderland",
    }
    new_user = ["createsuperuser", "--noinput", "--username=alice", "--email=alice@example.com"]
    for command in (["migrate", "--verbosity=0"], new_user):
        django = [sys.executable, "-m", "django", *command]
        subprocess.run(django, cwd=ROOT, env=environment(folder, **own), check=True)
    app, variables = WAYS[request.param]
    with served(app, folder, **own, **variables) as address:
        yield address


def sign_in(one: httpx2.Client, password: str = "wonderland") -> httpx2.Response:
    """As a browser does it: fetch the form, send it back with its CSRF token."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', one.get("/login/").text)
    assert found is not None
    return one.post("/login/", data={"username": "alice", "password": password, "csrfmiddlewaretoken": found[1]})


def test_djangos_own_login_is_held(url):
    with client(url) as browser, client(url) as other:
        assert "correct username and password" in sign_in(browser, "no").text
        free = sign_in(browser)
        assert (free.status_code, free.headers["location"]) == (302, "/")
        assert browser.get("/whoami").json() == {"user": 1, "name": "alice"}
        phone, _ = bind(browser)
        assert phone.name == "alice"

        token = challenge(sign_in(other))["mfaToken"]
        assert "sessionid" not in other.cookies
        assert other.get("/whoami").json() == {"user": None, "name": ""}

        released = verify(other, token, phone)
        assert (released.status_code, released.headers["location"]) == (302, "/")
        assert "Signed in as alice." in other.get("/").text

        only = other.get("/mfa/authenticators").json()["authenticators"][0]["id"]
        assert other.delete(f"/mfa/authenticators/{only}").status_code == 204


def test_a_form_without_its_csrf_token_is_refused_as_ever(url):
    with client(url) as browser:
        refused = browser.post("/login/", data={"username": "alice", "password": "wonderland"})
        assert (refused.status_code, "CSRF" in refused.text) == (403, True)

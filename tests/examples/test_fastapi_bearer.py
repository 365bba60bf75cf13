"""The FastAPI example: an access token is held like any other login."""

from __future__ import annotations

import pytest

from tests.examples.serving import bind, challenge, client, served, verify

pytestmark = pytest.mark.slow
ALICE = {"grant_type": "password", "username": "alice", "password": "wonderland"}


def test_the_access_token_leaves_only_after_the_second_factor(tmp_path):
    with served("examples.fastapi_bearer:app", tmp_path) as url, client(url) as app:
        assert app.post("/token", data=ALICE | {"password": "no"}).json() == {"detail": "wrong name or password"}
        free = app.post("/token", data=ALICE).json()["access_token"]
        app.headers["Authorization"] = f"Bearer {free}"
        assert app.get("/me").json() == {"user": "alice"}
        phone, _ = bind(app)

        with client(url) as other:
            held = other.post("/token", data=ALICE)
            token = challenge(held)["mfaToken"]
            assert "access_token" not in held.text
            assert other.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401

            released = verify(other, token, phone)
            assert released.json()["token_type"] == "bearer"
            other.headers["Authorization"] = f"Bearer {released.json()['access_token']}"
            other.cookies.clear()
            assert other.get("/me").json() == {"user": "alice"}
            only = other.get("/mfa/authenticators").json()["authenticators"][0]["id"]
            assert other.delete(f"/mfa/authenticators/{only}").status_code == 204

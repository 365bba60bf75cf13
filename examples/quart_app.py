"""A Quart app with its signed session cookie, and the second factor around it: it is asked who is signed in.

uvicorn examples.quart_app:app
"""

from __future__ import annotations

import secrets

from quart import Quart, request, session

from mfa_middleware import MFAMiddleware, Settings

PASSWORDS = {"alice": "wonderland"}

quart = Quart(__name__)
quart.secret_key = secrets.token_hex()


@quart.post("/login")
async def login() -> tuple[dict[str, str], int]:
    """Sign in whoever knows the password."""
    form = await request.form
    name, password = form.get("username", ""), form.get("password", "")
    if (name, password) not in PASSWORDS.items():
        return {"error": "wrong name or password"}, 401
    session["user_id"] = name
    return {"user": name}, 200


@quart.get("/me")
async def me() -> dict[str, str | None]:
    """Who is signed in."""
    return {"user": session.get("user_id")}


app = MFAMiddleware(quart, settings=Settings(login_user="whoami:/me#/user", request_user="whoami:/me#/user"))

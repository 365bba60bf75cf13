"""A Starlette app with sessions, and the second factor inside of its session middleware.

uvicorn examples.starlette_sessions:app
"""

from __future__ import annotations

import secrets

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mfa_middleware import MFAMiddleware

PASSWORDS = {"alice": "wonderland"}


async def login(request: Request) -> Response:
    """Sign in whoever knows the password."""
    async with request.form() as form:
        name, password = form.get("username"), form.get("password")
    if (name, password) not in PASSWORDS.items():
        return JSONResponse({"error": "wrong name or password"}, 401)
    request.session["user_id"] = name
    return JSONResponse({"user": name})


async def me(request: Request) -> Response:
    """Who is signed in."""
    return JSONResponse({"user": request.session.get("user_id")})


app = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])
app.add_middleware(MFAMiddleware)
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())  # added after it, and so around it

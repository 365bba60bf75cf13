"""A FastAPI app with a login form and sessions, and the second factor inside of its session middleware.

uvicorn examples.fastapi_forms:app
"""

from __future__ import annotations

import html
import secrets
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

from mfa_middleware import MFAMiddleware

PASSWORDS = {"alice": "wonderland"}
PAGE = "<!doctype html><html lang='en'><title>FastAPI</title>{}</html>"
FORM = """<form method="post" action="/login"><label>Name <input name="username" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Sign in</button></form>"""

app = FastAPI()
app.add_middleware(MFAMiddleware)
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())  # added after it, and so around it


@app.get("/")
def home(request: Request) -> HTMLResponse:
    """Who is signed in."""
    user = html.escape(request.session.get("user_id", "nobody"))
    return HTMLResponse(PAGE.format(f"<h1>Hello {user}</h1><a href='/mfa/'>Second factors</a>"))


@app.get("/login")
def form() -> HTMLResponse:
    """The login form."""
    return HTMLResponse(PAGE.format(FORM))


@app.post("/login")
def login(request: Request, username: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Sign in whoever knows the password."""
    if (username, password) not in PASSWORDS.items():
        return HTMLResponse(PAGE.format(f"<p>Wrong name or password.</p>{FORM}"), 401)
    request.session["user_id"] = username
    return RedirectResponse("/", 303)

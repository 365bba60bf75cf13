"""An app with a plain HTML form, wrapped, and a browser without JavaScript that walks through it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mfa_middleware import MFAMiddleware, Settings

PASSWORD = "correct horse"
_LOGIN = """<!doctype html><html lang="en"><title>Log in</title>
<form method="post"><input name="user" aria-label="user"><input name="password" aria-label="password">
<button>Log in</button></form>"""


async def _login(request: Request) -> Response:
    if request.method == "GET":
        return HTMLResponse(_LOGIN)
    form = await request.form()
    if form["password"] != PASSWORD:
        return HTMLResponse(_LOGIN, 401)
    request.session["user_id"] = form["user"]
    response = RedirectResponse(request.query_params.get("to", "/home?first=1"), 302)
    response.set_cookie("remember_me", "the-app-remembers")
    return response


async def _home(request: Request) -> Response:
    user = html.escape(str(request.session.get("user_id", "nobody")))
    return HTMLResponse(f"<!doctype html><html lang='en'><title>Home</title><h1>Hello {user}</h1>")


async def _logout(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/login", 303)


def form_app(folder: Path, *plugins: object, **settings: object) -> Starlette:
    """The app, inside of whose session middleware ours stands."""
    database = f"sqlite:///{folder / 'mfa.sqlite3'}"
    middleware = [
        Middleware(SessionMiddleware, secret_key="the app's own secret"),
        Middleware(MFAMiddleware, settings=Settings(database_url=database, **settings), plugins=plugins),
    ]
    routes = [Route("/login", _login, methods=["GET", "POST"]), Route("/home", _home), Route("/logout", _logout)]
    return Starlette(routes=routes, middleware=middleware)


class Browser(TestClient):
    """Sends what a browser sends, and submits forms as they stand on the page."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            app,
            headers={
                "accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
                "origin": "http://testserver",
                "sec-fetch-site": "same-origin",
            },
            follow_redirects=False,
        )
        self.page: object = None

    def log_in(self, user: str = "alice", password: str = PASSWORD):
        return self.post("/login", data={"user": user, "password": password})

    def submit(self, page, button: str, **typed: str):
        """Press the button of that name on a page, with what is typed into the form's fields."""
        form = form_of(page.text, button)
        data = form.hidden | typed
        assert data.keys() >= form.required, f"{form.required} must be filled in"
        if form.method == "get":
            return self.get(form.action)
        return self.post(form.action, data=data)


class Form:
    """A form as it stands in the markup."""

    def __init__(self, markup: str) -> None:
        start = re.match(r"<form([^>]*)>", markup)
        assert start is not None
        fields = [_attributes(one) for one in re.findall(r"<input([^>]*)>", markup)]
        self.method = _attributes(start[1])["method"]
        self.action = _attributes(start[1])["action"]
        self.hidden = {one["name"]: one["value"] for one in fields if one.get("type") == "hidden"}
        self.required = {one["name"] for one in fields if "required" in one and "name" in one}


def form_of(page: str, button: str) -> Form:
    """The form with that button."""
    for markup in re.findall(r"<form.*?</form>", page, re.DOTALL):
        if any(html.unescape(text).strip() == button for text in re.findall(r"<button[^>]*>(.*?)</button>", markup)):
            return Form(markup)
    raise AssertionError(f"no form with the button {button!r} in:\n{page}")


def _attributes(markup: str) -> dict[str, str]:
    found = re.findall(r'([a-z-]+)(?:="([^"]*)")?', markup)
    return {name: html.unescape(value) for name, value in found}


def heading(page) -> str:
    """What the page is about."""
    found = re.search(r"<h1>(.*?)</h1>", page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def link(page, text: str) -> str:
    """Where the link with that text leads."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>{re.escape(text)}</a>', page.text)
    assert found is not None, f"no link {text!r} in:\n{page.text}"
    return html.unescape(found[1])


def secret_of(page) -> str:
    """The secret that a page tells, as it is to be typed."""
    found = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page.text)
    assert found is not None, page.text
    return found[1].replace(" ", "")


def codes_of(page) -> list[str]:
    """The recovery codes that a page tells."""
    found = re.search(r"<pre[^>]*>(.*?)</pre>", page.text, re.DOTALL)
    return found[1].split() if found else []

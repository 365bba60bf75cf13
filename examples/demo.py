"""What `make demo` serves: a small app with its own login, and the second factor around it.

python -m examples.demo [--port PORT] [--data DIR]   serve it
python -m examples.demo code SECRET [--next]         what an authenticator app with that secret shows
"""

from __future__ import annotations

import argparse
import hmac
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pyotp
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from mfa_middleware import ConfigurationError, MFAMiddleware, Settings

PASSWORDS = {"alice": "wonderland", "bob": "builder"}
templates = Jinja2Templates(Path(__file__).parent)


# --------------------------------------------------------------------------------------- the app: no word of a factor


async def index(request: Request) -> Response:
    """A page with a login form, or who is signed in."""
    return page(request)


async def login(request: Request) -> Response:
    """Take a name and a password, as JSON or as a form."""
    name, password = await credentials(request)
    if not hmac.compare_digest(PASSWORDS.get(name, "").encode(), password.encode()) or not password:
        if wants_html(request):
            return page(request, wrong=True, status=401)
        return JSONResponse({"error": "wrong name or password"}, 401)
    request.session["user_id"] = name
    return RedirectResponse("/", 303) if wants_html(request) else JSONResponse({"user": name})


async def logout(request: Request) -> Response:
    """Sign out."""
    request.session.clear()
    return RedirectResponse("/", 303) if wants_html(request) else JSONResponse({"user": None})


async def me(request: Request) -> Response:
    """Who is signed in."""
    return JSONResponse({"user": request.session.get("user_id")})


async def credentials(request: Request) -> tuple[str, str]:
    """What was given as name and password; empty where nothing usable was."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            given = await request.json()
        except ValueError:
            given = None
        fields = given if isinstance(given, dict) else {}
    else:
        fields = dict(await request.form())
    name, password = (value if isinstance(value := fields.get(one), str) else "" for one in ("username", "password"))
    return name, password


def wants_html(request: Request) -> bool:
    """Whether a browser asks."""
    return "text/html" in request.headers.get("accept", "")


def page(request: Request, *, wrong: bool = False, status: int = 200) -> Response:
    """The app's own page."""
    shown = {"user": request.session.get("user_id"), "wrong": wrong, "passwords": PASSWORDS, "on_phone": False}
    return templates.TemplateResponse(request, "demo.html", shown, status_code=status)


async def phone(request: Request) -> Response:
    """What an authenticator app with that secret shows, for who has none at hand."""
    given = (await request.form()).get("secret", "") if request.method == "POST" else ""
    secret = str(given).strip()
    try:
        codes = [code(secret.replace(" ", ""), ahead=ahead) for ahead in (False, True)] if secret else []
    except ValueError:
        codes = []
    shown = {"on_phone": True, "secret": secret, "codes": codes, "wrong": bool(secret)}
    return templates.TemplateResponse(request, "demo.html", shown)


ROUTES = [
    Route("/", index),
    Route("/login", index),  # where the pages below /mfa send who is not signed in
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/me", me),
    Route("/phone", phone, methods=["GET", "POST"]),
]


# -------------------------------------------------------------------------------------------------- and what wraps it


def make_app(settings: Settings, greeting: str = "") -> Starlette:
    """The app, wrapped: the middleware stands inside of the session middleware."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        print(greeting, flush=True)
        yield

    return Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[
            Middleware(SessionMiddleware, secret_key=secrets.token_hex(), max_age=None),
            Middleware(MFAMiddleware, settings=settings),
        ],
    )


# -------------------------------------------------------------------------------------------------------- the program


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or show a code."""
    options = parse(arguments)
    if options.command == "code":
        try:
            print(code(options.secret, ahead=options.next))
        except ValueError as error:
            sys.exit(f"That is no secret of an authenticator app: {error}.")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the temporary folder goes, too
    with suppress(KeyboardInterrupt), folder(options.data) as data, listening(options.port) as listener:
        serve(data, listener, kept=options.data is not None)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="The demo of mfa-middleware.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--data", type=Path, help="keep authenticators in this folder (otherwise they go with the demo)"
    )
    commands = parser.add_subparsers(dest="command")
    shows = commands.add_parser("code", help="show what an authenticator app with that secret shows")
    shows.add_argument("secret")
    shows.add_argument("--next", action="store_true", help="the code after the present one (accepted already)")
    return parser.parse_args(arguments)


def code(secret: str, *, ahead: bool) -> str:
    """The code that an authenticator app shows now, or shows next.

    :raises ValueError: for what is no secret.
    """
    return pyotp.TOTP(secret).at(int(time.time()), counter_offset=int(ahead))


@contextmanager
def folder(data: Path | None) -> Iterator[Path]:
    """The folder that is given, or a temporary one."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="mfa-demo-") as temporary:
            yield Path(temporary)
    else:
        data.mkdir(parents=True, exist_ok=True)
        yield data


def listening(port: int) -> socket.socket:
    """A socket on that port of this machine."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError):
        sys.exit(f"Port {port} is not free: choose another, as in `make demo PORT=8123`.")


def serve(data: Path, listener: socket.socket, *, kept: bool) -> None:
    """Serve until Ctrl-C."""
    try:
        settings = demo_settings(data)
    except ConfigurationError as error:
        sys.exit(str(error))
    log_events()
    app = make_app(settings, greeting(data, listener.getsockname()[1], kept=kept))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(3)


def demo_settings(data: Path) -> Settings:
    """What ``MFA_*`` variables say, and the demo's defaults for the rest."""
    defaults = {"database_url": f"sqlite:///{data.resolve()}/mfa.sqlite3", "issuer": "mfa-middleware demo"}
    return Settings(**{name: value for name, value in defaults.items() if f"MFA_{name.upper()}" not in os.environ})


class EventLine(logging.Formatter):
    """An event in one line: what, who, why."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "mfa", None)
        if event is None:
            return super().format(record)
        return "  ".join(filter(None, (event["event"], event["user_id"], event.get("reason"))))


def log_events() -> None:
    """Show what happens. That the key is made here is said in the greeting."""
    handler = logging.StreamHandler()
    handler.setFormatter(EventLine())
    logging.getLogger("mfa_middleware").addHandler(handler)
    logging.getLogger("mfa_middleware").setLevel(logging.INFO)
    logging.getLogger("mfa_middleware.keys").setLevel(logging.ERROR)


def greeting(data: Path, port: int, *, kept: bool) -> str:
    """Where to look, and what to try."""
    text = GREETING if "MFA_DATABASE_URL" in os.environ else GREETING + (KEPT if kept else GONE)
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return (text + COMMANDS).format(port=port, data=data, code=f"{shown} -m examples.demo code")


GREETING = """
The demo is at http://localhost:{port} (alice / wonderland, bob / builder). Ctrl-C ends it.
"""
GONE = "Authenticators, and the key that seals them, are in {data} and go when it ends.\n"
KEPT = "Authenticators, and the key that seals them, are kept in {data}.\n"
COMMANDS = """
With curl, in this folder, with what the answers give for ID, SECRET and TOKEN:

  # no second factor yet: the password is enough
  curl -b /tmp/jar -c /tmp/jar localhost:{port}/login -d username=alice -d password=wonderland
  # bind an authenticator: gives ID and SECRET; confirm it with a code
  curl -b /tmp/jar localhost:{port}/mfa/authenticators -d factor=totp
  curl -b /tmp/jar localhost:{port}/mfa/authenticators/ID/confirm -d code=$({code} SECRET)
  # now the password alone is answered 401, with a TOKEN; a code releases the app's own answer
  curl localhost:{port}/login -d username=alice -d password=wonderland
  curl -c /tmp/jar localhost:{port}/mfa/verify -d mfaToken=TOKEN -d factor=totp -d code=$({code} SECRET --next)
  curl -b /tmp/jar localhost:{port}/me

A code works once, so `--next` shows the one after it, which is accepted already. What happens, as the log has it:
"""

if __name__ == "__main__":
    main()

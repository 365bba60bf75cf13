"""Rule 1 through real servers: what each makes of odd request lines and cookie fields is no way round."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engines import free_port
from tests.rules.conftest import KEY

pytestmark = pytest.mark.slow
SERVERS = {
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning"],
    "uvicorn-httptools": ["uvicorn", "--http", "httptools", "--host", "127.0.0.1", "--port", "{port}"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"],
}
APPS = {  # the app, MFA_LOGIN_USER, MFA_REQUEST_USER
    "litestar": ("litestar_server", "session:user_id", "whoami:/me#/user"),
    "litestar-asked": ("litestar_server", "whoami:/me#/user", "whoami:/me#/user"),
    "quart": ("quart_signed", "whoami:/me#/user", "whoami:/me#/user"),
    "starlette": ("starlette_form", "whoami:/me#/user", "whoami:/me#/user"),
}
LOGIN = b"username=alice&password=wonderland"
TARGETS = [
    "/login",
    "/login/",
    "//login",
    "/%6cogin",
    "/login%2f",
    "/./login",
    "/x/../login",
    "/LOGIN",
    "/login?x=1",
    "/login;x",
    "http://app.test/login",
    "http://app.test//login",
    "HTTP://APP.TEST/%6cogin",
    "login",
    "*",
    "/login#x",
    "/rootlogin",
]
PROGRAM = """
import importlib
from mfa_middleware import MFAMiddleware
from tests.rules import apps
wrapped = MFAMiddleware(getattr(apps, "{name}")())
"""


@pytest.fixture(scope="module", params=[(server, app) for server in SERVERS for app in APPS], ids="-".join)
def port(request: pytest.FixtureRequest, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, name = request.param
    folder = tmp_path_factory.mktemp("served")
    build, login_user, request_user = APPS[name]
    (folder / "served.py").write_text(PROGRAM.format(name=build))
    (folder / "alice.sqlite3").write_bytes(database.read_bytes())
    number = free_port()
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(root), str(root / "plugins")]),
        "MFA_DATABASE_URL": f"sqlite:///{folder}/alice.sqlite3",
        "MFA_SECRET_KEY": KEY,
        "MFA_LOGIN_USER": login_user,
        "MFA_REQUEST_USER": request_user,
    }
    command = [sys.executable, "-m", *[part.format(port=number) for part in SERVERS[server]], "served:wrapped"]
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        _wait(number, process)
        yield number
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")


def say(port: int, line: str, *fields: str, body: bytes = LOGIN) -> str:
    """One raw request, and all that comes back."""
    head = [line, "Host: app.test", "Connection: close", f"Content-Length: {len(body)}", *fields]
    if body:
        head.append("Content-Type: application/x-www-form-urlencoded")
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.settimeout(10)
        connection.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except (TimeoutError, ConnectionError):
            pass  # a server that hangs up on nonsense
    return received.decode("latin-1")


def cookies_of(answer: str) -> list[str]:
    head = answer.split("\r\n\r\n", maxsplit=1)[0].split("\r\n")
    return [line.split(":", 1)[1].strip().split(";")[0] for line in head if line.lower().startswith("set-cookie:")]


def who(port: int, *cookies: str) -> str:
    return say(port, "GET /me HTTP/1.1", *[f"Cookie: {one}" for one in cookies], body=b"")


def in_as_alice(port: int, *cookies: str) -> bool:
    answer = who(port, *cookies)
    return " 200 " in answer.split("\r\n")[0] + " " and '"alice"' in answer


def test_the_honest_way_is_challenged(port: int):
    assert '"mfa_required"' in say(port, "POST /login HTTP/1.1")


def test_who_has_no_factor_is_in_by_the_cookies_of_the_login(port: int):
    """The looks below would see somebody who is in."""
    answer = say(port, "POST /login HTTP/1.1", body=b"username=bob&password=builder")
    assert '"bob"' in who(port, "; ".join(cookies_of(answer)))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["POST", "post", "PUT", "GET"])
def test_no_request_line_is_a_way_round(port: int, method: str, target: str):
    answer = say(port, f"{method} {target} HTTP/1.1")
    assert not in_as_alice(port, "; ".join(cookies_of(answer)))


@pytest.mark.parametrize(
    "fields",
    [
        ["Cookie: {0}", "Cookie: {0}"],
        ["Cookie: a=b", "cookie: {0}"],
        ["Cookie: $Version=1; {0}"],
        ["Cookie: {1} ={2}"],
        ["Cookie: {1}\t={2}"],
        ['Cookie: {1}="{2}"'],
        ["Cookie:{0}"],
        ["Cookie: ;{0};"],
        ["Cookie: a=b, {0}"],
        ["Cookie: \xa0{0}"],
    ],
)
def test_no_cookie_field_brings_a_known_session_to_the_login(port: int, fields: list[str]):
    known = cookies_of(say(port, "GET /visit HTTP/1.1", body=b""))[0]
    name, _, value = known.partition("=")
    answer = say(port, "POST /login HTTP/1.1", *[one.format(known, name, value) for one in fields])
    assert not in_as_alice(port, known)
    assert not in_as_alice(port, *cookies_of(answer))

"""What `make demo` serves, over a real socket: the way of a login by HTTP alone, and what it prints."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from examples.demo import code
from tests.engines import free_port
from tests.examples.serving import bind, challenge, client, environment, running

pytestmark = pytest.mark.slow
ALICE = {"username": "alice", "password": "wonderland"}
BOB = {"username": "bob", "password": "builder"}


def demo_environment(folder: Path) -> dict[str, str]:
    env = environment(folder, TMPDIR=str(folder))
    del env["MFA_DATABASE_URL"]
    return env


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with running(["examples.demo", "--port", str(port)], tmp_path, demo_environment(tmp_path), port) as address:
        yield address


def test_the_way_of_a_login(url):
    with client(url) as one, client(url) as other:
        assert one.post("/login", json=ALICE | {"password": "no"}).status_code == 401
        free = one.post("/login", json=ALICE)
        assert (free.status_code, free.json()) == (200, {"user": "alice"})
        assert one.get("/mfa/status").json() == {"enabled": False, "required": False, "factors": []}
        phone, recovery_codes = bind(one)
        assert len(recovery_codes) == 10

        token = challenge(other.post("/login", json=ALICE))["mfaToken"]
        assert other.get("/me").json() == {"user": None}
        assert other.get("/mfa/authenticators").json()["code"] == "not_signed_in"

        right = phone.code(offset_steps=1)
        wrong = "000000" if right != "000000" else "000001"
        refused = other.post("/mfa/verify", json={"mfaToken": token, "factor": "totp", "code": wrong})
        assert (refused.status_code, refused.json()["attemptsLeft"]) == (401, 4)
        answer = {"mfaToken": token, "factor": "totp", "code": right}
        released = other.post("/mfa/verify", json=answer)
        assert (released.status_code, released.json()) == (200, {"user": "alice"})
        assert other.get("/me").json() == {"user": "alice"}
        assert other.post("/mfa/verify", json=answer).json()["code"] == "token_invalid"

        other.post("/logout")
        assert other.get("/me").json() == {"user": None}
        token = challenge(other.post("/login", json=ALICE))["mfaToken"]
        assert other.post("/mfa/verify", json=answer | {"mfaToken": token}).json()["code"] == "invalid_code"
        recovery = {"mfaToken": token, "factor": "recovery_code", "code": recovery_codes[0]}
        assert other.post("/mfa/verify", json=recovery).json() == {"user": "alice"}

        [only] = other.get("/mfa/authenticators").json()["authenticators"]
        assert other.delete(f"/mfa/authenticators/{only['id']}").status_code == 204
        other.post("/logout")
        assert other.post("/login", json=ALICE).json() == {"user": "alice"}


def test_one_users_factor_is_not_anothers(url):
    with client(url) as alice, client(url) as bob:
        alice.post("/login", data=ALICE)
        bind(alice)
        assert bob.post("/login", data=BOB).json() == {"user": "bob"}


def test_a_browser_gets_pages_and_is_sent_on(url):
    with client(url) as browser:
        browser.headers["Accept"] = "text/html,application/xhtml+xml"
        for path in ("/", "/login"):
            page = browser.get(path)
            assert "<form" in page.text
            assert "/mfa/" in page.text
        wrong = browser.post("/login", data=ALICE | {"password": "no"})
        assert (wrong.status_code, "Wrong name or password." in wrong.text) == (401, True)
        right = browser.post("/login", data=ALICE)
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert "<strong>alice</strong>" in browser.get("/").text
        left = browser.post("/logout")
        assert (left.status_code, left.headers["location"]) == (303, "/")


def test_a_browsers_held_login_leads_to_the_page_that_asks(url):
    with client(url) as first, client(url) as browser:
        first.post("/login", data=ALICE)
        bind(first)
        browser.headers["Accept"] = "text/html"
        held = browser.post("/login", data=ALICE)
        assert (held.status_code, held.headers["location"]) == (303, "/mfa/challenge")
        assert browser.get("/me").json() == {"user": None}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_that_it_prints_work(url, tmp_path):
    log = tmp_path / "log"
    assert client_is_free(url)  # it has started, and so has said what to do
    commands = [line.strip() for line in log.read_text().splitlines() if line.startswith("  curl ")]
    assert len(commands) == 6
    known = {"/tmp/jar": str(tmp_path / "jar")}
    answers = []
    for command in commands:
        line = re.sub("|".join(known), lambda word: known[word[0]], command)
        done = subprocess.run(
            ["sh", "-c", line], env=demo_environment(tmp_path), capture_output=True, text=True, check=True
        )
        answers.append(done.stdout)
        for word, name in (("ID", "id"), ("SECRET", "secret"), ("TOKEN", "mfaToken")):
            if found := re.search(rf'"{name}":"([^"]+)"', done.stdout):
                known.setdefault(word, found[1])
    assert answers[0] == answers[4] == answers[5] == '{"user":"alice"}'
    assert '"recoveryCodes":[' in answers[2]
    assert '"code":"mfa_required"' in answers[3]


def test_it_leaves_nothing_behind(tmp_path):
    port = free_port()
    with running(["examples.demo", "--port", str(port)], tmp_path, demo_environment(tmp_path), port) as url:
        assert client_is_free(url)
        assert list(tmp_path.glob("mfa-demo-*"))
    assert not list(tmp_path.glob("mfa-demo-*"))
    assert "WARNING" not in (tmp_path / "log").read_text()


def client_is_free(url: str) -> bool:
    with client(url) as one:
        return one.post("/login", data=ALICE).status_code == 200


def test_with_a_folder_it_remembers(tmp_path):
    env = demo_environment(tmp_path)
    port = free_port()
    command = ["examples.demo", "--port", str(port), "--data", str(tmp_path / "data")]
    with running(command, tmp_path, env, port) as url, client(url) as one:
        one.post("/login", data=ALICE)
        bind(one)
    with running(command, tmp_path, env, port) as url, client(url) as one:
        challenge(one.post("/login", data=ALICE))


def demo(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.demo", *arguments]
    env = demo_environment(folder) | variables
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_a_port_in_use_is_told_in_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo(tmp_path, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is not free: choose another, as in `make demo PORT=8123`.\n"


def test_a_wrong_setting_is_told_in_one_sentence(tmp_path):
    done = demo(tmp_path, "--port", str(free_port()), MFA_TOKEN_TTL="soon")
    assert done.returncode == 1
    assert re.fullmatch(r"MFA_TOKEN_TTL: .*\n", done.stderr)


def test_a_code_is_what_an_authenticator_app_shows():
    secret = pyotp.random_base32()
    assert pyotp.TOTP(secret).verify(code(secret, ahead=False), valid_window=1)
    assert code(secret, ahead=True) != code(secret, ahead=False)


def test_a_code_of_no_secret_is_told_in_one_sentence(tmp_path):
    done = demo(tmp_path, "code", "SECRET1")
    assert done.returncode == 1
    assert re.fullmatch(r"That is no secret of an authenticator app: .*\.\n", done.stderr)

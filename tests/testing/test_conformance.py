"""The conformance kit: good stacks pass, and of bad ones it says in words what is open and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from mfa_middleware import MFAMiddleware, Settings
from mfa_middleware.callers import Caller
from mfa_middleware.held_login import HeldLogin
from mfa_middleware.testing import Conformance, ConformanceWarning, Login, Steps
from mfa_middleware.testing.conformance import Client, Response, served
from tests.documents import ROOT, section, tables
from tests.rules import apps
from tests.rules.asgi_client import App

pytestmark = pytest.mark.slow
IN_SESSION = {"login_user": "session:user_id", "request_user": "session:user_id"}
ASKS = {"login_user": "whoami:/me#/user", "request_user": "whoami:/me#/user"}


def wrapped(app: App, **values: Any) -> MFAMiddleware:
    return MFAMiddleware(app, settings=Settings(**{"database_url": "sqlite://", **ASKS} | values))


class Author(Conformance):
    """What all authors here have in common."""

    user = "alice"
    visits = ("/visit",)

    def login(self) -> Login:
        return Login.json("/login", **apps.RIGHT)

    async def who(self, client: Client) -> object:
        return (await client.get("/me")).json()["user"]


def attacked(kit: type[Conformance]) -> Mapping[str, str]:
    """What the attacks that failed said, by their names. Those that are skipped said it before."""
    said: dict[str, str] = {}
    with served(kit) as author:
        for name in [one for one in vars(Conformance) if one.startswith("test_")]:
            try:
                getattr(author, name)()
            except pytest.skip.Exception:
                pass
            except pytest.fail.Exception as failure:
                said[name] = str(failure)
    return said


def on(app: object, **more: Any) -> Mapping[str, str]:
    """What the attacks on that app say."""
    return attacked(type("OnIt", (Author,), {"app": app, **more}))


# --------------------------------------------------------------------------------------------------------- good stacks


def run_as_their_author(file: str, folder: Any, **variables: str) -> str:
    """What pytest says of a file of tests, in a process and a configuration of its own."""
    command = [sys.executable, "-m", "pytest", "--override-ini=addopts=", "-p", "no:cacheprovider", "-q", file]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MFA_")}
    environment |= {"MFA_DATABASE_URL": f"sqlite:///{folder}/mfa.sqlite3", **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_pass(tmp_path):
    said = run_as_their_author("tests/testing/examples_under_attack.py", tmp_path, MFA_DATABASE_URL="sqlite://")
    assert re.search(r"^90 passed", said, re.MULTILINE), said


def test_the_example_of_a_test_passes(tmp_path):
    said = run_as_their_author("examples/test_starlette_sessions.py", tmp_path)
    assert re.search(r"^18 passed", said, re.MULTILINE), said


def test_the_django_example_passes(tmp_path):
    django = {
        "DJANGO_SETTINGS_MODULE": "tests.testing.django_settings",
        "DJANGO_DATABASE": str(tmp_path / "django.sqlite3"),
        "DJANGO_SUPERUSER_PASSWORD": "wonderland",
    }
    for command in ("migrate --verbosity=0", "createsuperuser --noinput --username=alice --email=alice@example.com"):
        line = [sys.executable, "-m", "django", *command.split()]
        subprocess.run(line, cwd=ROOT, env=os.environ | django, check=True, capture_output=True)
    said = run_as_their_author("tests/testing/django_under_attack.py", tmp_path, **django)
    assert re.search(r"^18 passed", said, re.MULTILINE), said


GOOD = {
    "server-side sessions, strip": lambda: wrapped(apps.litestar_server()),
    "server-side sessions under any id, strip": lambda: wrapped(apps.starlette_form()),
    "server-side sessions, gate": lambda: wrapped(apps.litestar_server(), session_mode="gate"),
    "inside of starsessions": lambda: apps.starsessions(lambda app: wrapped(app, **IN_SESSION)),
    "everybody must have a factor": lambda: wrapped(apps.quart_signed(), enrolment="required"),
}


@pytest.mark.parametrize("stack", GOOD)
@pytest.mark.filterwarnings("ignore:remember looks like a session")
def test_a_good_stack_passes(stack: str):
    login = {"login": lambda self: Login.form("/login", **apps.RIGHT)} if "any id" in stack else {}
    assert on(GOOD[stack](), **login) == {}


def test_nothing_of_the_kit_stays_with_the_user(tmp_path):
    app = wrapped(apps.fastapi_bearer(), database_url=f"sqlite:///{tmp_path}/mfa.sqlite3")
    assert on(app) == {}

    class Later(Author):
        pass

    Later.app = app
    with served(Later) as author:
        overview = author._stage.run(app.mfa.overview("alice"))
    assert overview.authenticators == ()


# ---------------------------------------------------------------------------------------------------------- bad stacks


def test_a_login_that_is_not_declared_is_named():
    said = on(wrapped(apps.fastapi_signed(), login="POST /signin"))
    assert said["test_a_right_password_alone_signs_nobody_in"] == (
        "OPEN: POST /login signs alice in with the password alone.\n"
        "WHAT TO DO: declare it: MFA_LOGIN=POST /signin, POST /login"
    )


@pytest.mark.filterwarnings("ignore:session looks like a session")
@pytest.mark.parametrize("app", [apps.litestar_server, apps.starlette_form])
def test_a_session_cookie_that_is_not_named_is_named(app):
    login = {"login": lambda self: Login.form("/login", **apps.RIGHT)}
    said = on(wrapped(app(), session_cookie="sid"), **login)
    told = said["test_an_anonymous_session_from_before_stays_anonymous"]
    assert told == (
        "OPEN: A session got at /visit before a login is signed in by it, without the second factor.\n"
        "WHAT TO DO: name the session's cookie: MFA_SESSION_COOKIE=sid, session"
    )
    assert "cookie session" in said["test_a_session_id_of_the_attackers_choosing_stays_anonymous"]
    assert "session" in said["test_odd_spellings_of_the_session_cookie_change_nothing"]


class NaiveHolder(MFAMiddleware):
    """A holder as one would write it on an afternoon, around the same use-cases: it swallows the login's response."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/login"):
            await super().__call__(scope, receive, send)
            return
        kept: list[Any] = []

        async def swallow(message: Any) -> None:
            kept.append(message)

        await self.app(scope, receive, swallow)
        body = b"".join(one.get("body", b"") for one in kept[1:])
        held = HeldLogin(kept[0]["status"], tuple(kept[0]["headers"]), body, "/login")
        challenge = await self.mfa.begin_login("alice", held)
        if kept[0]["status"] >= 400 or challenge is None:
            for message in kept:
                await send(message)
            return
        await self.mfa.parts.dialect.challenge(challenge, scope, mount="/mfa", held=held).send(send)


def test_a_naive_holder_falls_to_the_attacks_on_sessions_and_spellings():
    settings = Settings(database_url="sqlite://", login="POST /never", **ASKS)
    said = on(NaiveHolder(apps.litestar_server(), settings=settings))
    assert {
        "test_an_anonymous_session_from_before_stays_anonymous",
        "test_a_session_id_of_the_attackers_choosing_stays_anonymous",
        "test_odd_spellings_of_the_session_cookie_change_nothing",
        "test_other_spellings_of_the_path_are_held",
    } <= said.keys()
    assert "POST /login/ (as json) signs alice in" in said["test_other_spellings_of_the_path_are_held"]
    assert "test_a_right_password_alone_signs_nobody_in" not in said


def test_a_whoami_at_no_view_is_told_with_the_reason_of_the_log():
    said = on(wrapped(apps.quart_signed(), login_user="whoami:/nothing#/user"))
    assert "answered 500" in said["test_a_right_password_alone_signs_nobody_in"]
    assert "/nothing answers whoami: with 404" in said["test_a_right_password_alone_signs_nobody_in"]


@pytest.mark.parametrize("selector", ["whoami:/me#/nobody", "json:/nobody"])
def test_a_selector_that_points_nowhere_is_named(selector: str):
    said = on(wrapped(apps.quart_signed(), login_user=selector))["test_a_right_password_alone_signs_nobody_in"]
    assert said.startswith("OPEN: POST /login signs alice in with the password alone.")
    assert f"MFA_LOGIN_USER ({selector}) does not find 'alice'" in said


def test_what_an_outer_middleware_adds_to_the_challenge_is_named():
    class Outer:
        def __init__(self, app: App) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def adding(message: Any) -> None:
                login = message["type"] == "http.response.start" and scope["path"] in ("/login", "/mfa/verify")
                if login and (message["status"] == 200 or b"insufficient" in repr(message["headers"]).encode()):
                    message["headers"] = [*message["headers"], (b"x-access", b"token")]
                await send(message)

            await self.app(scope, receive, adding)

    said = on(Outer(wrapped(apps.fastapi_bearer())))
    assert list(said) == ["test_the_challenge_gives_nothing_of_the_login"]
    assert "has x-access of the app's own login" in said["test_the_challenge_gives_nothing_of_the_login"]


def test_a_cookie_that_looks_like_a_session_is_a_warning():
    app = apps.starlette_signed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert on(wrapped(app)) == {}
    [told] = [str(one.message) for one in caught if one.category is ConformanceWarning]
    assert told.startswith("remember looks like a session cookie, and is not in MFA_SESSION_COOKIE.")
    assert "MFA_SESSION_COOKIE=session, sessionid, remember" in told


@pytest.mark.filterwarnings("ignore:remember looks like a session")
def test_another_login_that_is_not_declared_is_named():
    async def reset(client: Client) -> Response:
        return await client.post("/reset")

    ways = (Login.form("/reset", token="mailed"), Steps("the password reset", reset))
    for way in ways:
        said = on(wrapped(apps.starlette_signed()), other_logins=lambda self, way=way: [way])
        assert list(said) == ["test_other_logins_are_held"]
        assert f"OPEN: {way.name} signs alice in without the second factor." in said["test_other_logins_are_held"]
    declared = wrapped(apps.starlette_signed(), login="POST /login, POST /reset")
    assert on(declared, other_logins=lambda self: ways) == {}
    inside = apps.starlette_signed(lambda app: wrapped(app, **IN_SESSION))
    assert on(inside, other_logins=lambda self: ways) == {}


# ---------------------------------------------------------------------------------------------- what cannot be attacked


def test_an_app_without_the_middleware_is_told_apart():
    assert set(on(apps.fastapi_signed()).values()) == {
        "No MFAMiddleware is to be found on `app`; give the app with the middleware on it."
    }


def test_an_app_that_does_not_start_is_told_with_its_reason():
    [said] = set(on(wrapped(apps.fastapi_signed(), login_user="nonsense")).values())
    assert said.startswith("The app does not start: mfa-middleware: MFA_LOGIN_USER: there is no selector 'nonsense'")


def test_a_user_with_a_factor_of_their_own_is_left_alone(tmp_path):
    app = wrapped(apps.fastapi_bearer(), database_url=f"sqlite:///{tmp_path}/mfa.sqlite3")

    class Mine(Author):
        pass

    Mine.app = app
    with served(Mine) as author:
        stage = author._stage
        stage.run(stage.bind("alice"))
        [own] = stage.run(app.mfa.overview("alice")).authenticators
        stage.run(app.mfa.change(Caller("alice", admin=True), own.id, label="my phone"))
        with pytest.raises(pytest.fail.Exception, match="has a second factor already, which the kit does not touch"):
            author.test_a_right_password_alone_signs_nobody_in()
        assert stage.run(app.mfa.overview("alice")).authenticators[0].label == "my phone"
        stage.run(app.mfa.reset("alice"))


@pytest.mark.parametrize("mistake", ["login", "who"])
def test_a_mistake_of_the_author_is_no_pass(mistake: str):
    async def nobody(self: object, client: Client) -> object:
        raise KeyError("user")

    wrong: dict[str, object] = {"login": lambda self: Login.json("/login", **apps.WRONG), "who": nobody}
    said = on(wrapped(apps.fastapi_bearer()), **{mistake: wrong[mistake]})
    assert "correct login(), who() or `user`" in " ".join(said.values()) or "correct who()" in " ".join(said.values())


def test_another_login_that_signs_nobody_in_is_no_pass():
    said = on(wrapped(apps.fastapi_bearer()), other_logins=lambda self: [Login.form("/nothing", a="b")])
    assert said == {
        "test_other_logins_are_held": "POST /nothing does not sign alice in, with or without a factor: "
        "see other_logins()."
    }


def test_another_answer_is_the_authors_to_make():
    said = on(wrapped(apps.fastapi_bearer()), answer=lambda self, key: "000000")
    assert "The right code was answered 401" in said["test_a_right_code_releases_the_login"]


# ------------------------------------------------------------------------------------------------ what is told about it


def test_each_attack_is_a_sentence_that_the_document_has():
    attacks = {name: one.__doc__ for name, one in vars(Conformance).items() if name.startswith("test_")}
    [table] = tables(section((ROOT / "docs" / "conformance.md").read_text(), "The attacks"))
    assert {name.strip("`"): sentence for name, sentence in table} == attacks


# ------------------------------------------------------------------------------------------------- the plugin of pytest

AUTHORS_FILE = """
from tests.rules import apps
from tests.testing.test_conformance import Author, wrapped

class TestOpen(Author):
    app = wrapped(apps.quart_signed(), login="POST /signin")

def test_of_something_else():
    assert False, "OPEN: not ours"
"""


def test_what_is_open_is_said_once_more_at_the_end(tmp_path):
    file = tmp_path / "test_mine.py"
    file.write_text(AUTHORS_FILE)
    options = ["-p", "mfa_conformance", "-p", "no:cacheprovider", "--override-ini=addopts=", f"--rootdir={ROOT}"]
    command = [sys.executable, "-m", "pytest", *options, "-c", "pyproject.toml", "-m", "mfa_conformance", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    [said] = re.findall(r"=+ the second factor can be got round =+\n(.*?)\n=", done.stdout, re.DOTALL)
    assert said == (
        "OPEN: POST /login signs alice in with the password alone.\n"
        "WHAT TO DO: declare it: MFA_LOGIN=POST /signin, POST /login"
    )
    assert "1 deselected" in done.stdout


def test_the_plugin_imports_nothing_of_the_middleware():
    script = "import sys, mfa_conformance; sys.exit(any(one.startswith('mfa_middleware') for one in sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "plugins")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_the_app_does_not_import_pytest():
    script = "import sys, mfa_middleware.asgi, mfa_middleware.web.app; sys.exit('pytest' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins")))}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)

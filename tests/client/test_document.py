"""docs/client.md: its programs run as printed, against the demo; its tables name each method and error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import httpx2
import pytest
from starlette.testclient import TestClient

from mfa_middleware import MFAMiddleware, client
from mfa_middleware.client import authing
from mfa_middleware.testing import VirtualAuthenticator
from tests.conftest import IN_MEMORY
from tests.documents import ROOT, blocks, section, tables
from tests.engines import free_port
from tests.examples.serving import environment, running
from tests.world import LoginApp

DOCUMENT = (ROOT / "docs" / "client.md").read_text()
PROGRAM, ASYNC_PROGRAM, ENROL, REMOVE, LOG_IN = blocks(DOCUMENT, "python")
ALICE = {"username": "alice", "password": "wonderland"}


class Person:
    """Reads what a program prints, and types the codes of an authenticator app: each once, as they are to be used."""

    def __init__(self, first_step: int = 0) -> None:
        self.phone: VirtualAuthenticator | None = None
        self.steps = count(first_step)
        self.read: list[str] = []

    def print(self, *told: object) -> None:
        self.read.append(" ".join(map(str, told)))
        if found := re.search(r"otpauth://\S+", self.read[-1]):
            self.phone = VirtualAuthenticator(found[0])

    def input(self, prompt: str) -> str:
        assert self.phone is not None
        return self.phone.code(offset_steps=next(self.steps))

    def runs(self, program: str, url: str, **known: object) -> dict[str, object]:
        """Run a program; gives its names."""
        names: dict[str, object] = {"print": self.print, "input": self.input, **known}
        exec(program.replace("http://localhost:8000", url), names)
        return names


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo; its codes may be some minutes off, since a code works once."""
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    variables = environment(folder, MFA_TOTP_WINDOW="10")
    with running(["examples.demo", "--port", str(port)], folder, variables, port) as url:
        yield url


@pytest.mark.slow
def test_the_programs_run_as_shown(demo):
    alice = Person(first_step=-4)
    alice.runs(PROGRAM, demo)
    assert re.match("Give this to your authenticator app: otpauth://", alice.read[0])
    assert re.fullmatch(r"Keep these recovery codes:( [\w-]+){10}", alice.read[1])
    assert alice.read[2:] == ["{'user': 'alice'}"] * 2
    alice.runs(ASYNC_PROGRAM, demo)
    assert alice.read[4:] == ["{'user': 'alice'}"]

    remove = alice.runs(REMOVE, demo, **vars(client))["remove"]
    with httpx2.Client(base_url=demo) as http:
        mfa = client.MFAClient(http)
        challenge = client.challenge_of(http.post("/login", data=ALICE))
        assert challenge is not None
        mfa.verify(challenge, alice.input(""))
        http.cookies.delete("mfa_assurance")
        [one] = mfa.authenticators().authenticators
        assert callable(remove)
        remove(mfa, one.id)
        assert not mfa.status().enabled


def test_the_piece_on_enrolment_releases_the_login(settings):
    app = MFAMiddleware(LoginApp(), settings=settings(**IN_MEMORY, enrolment="required"))
    with TestClient(app, base_url="http://app.example") as http:
        challenge = client.challenge_of(http.post("/login"))
        enrol = Person().runs(ENROL, "", **vars(client), httpx2=httpx2)["enrol"]
        assert callable(enrol)
        assert enrol(client.MFAClient(http), challenge).json()["user_id"] == "alice"


def rows(title: str) -> list[list[str]]:
    return [row for table in tables(section(DOCUMENT, title)) for row in table]


def documented(title: str) -> dict[str, set[str]]:
    """Each method, with its parameters."""
    found = [re.fullmatch(r"`(\w+)\((.*)\)`", row[0]) for row in rows(title)]
    return {one[1]: set(re.findall(r"\w+(?==|,|$)", one[2])) for one in found if one}


def methods(*kinds: type) -> set[str]:
    return {name for kind in kinds for name, one in vars(kind).items() if hasattr(one, "_describe")}


def test_each_method_is_documented():
    assert set(documented("Methods")) == methods(client.MFAClient, client.MFAAdminClient)
    assert set(documented("Apps that speak Authing's API")) == methods(authing.AuthingClient)


def test_each_error_is_documented():
    named = {name for row in rows("Errors") for name in re.findall(r"`([A-Z]\w+)`", row[0])}
    public = {name: getattr(client, name) for name in client.__all__}
    errors = {name for name, one in public.items() if isinstance(one, type) and issubclass(one, client.ClientError)}
    assert named == errors - {"ClientError"}

"""What the README shows is what was run: its code stands in an example with a test, its commands work as printed."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import mfa_middleware
from mfa_middleware.testing import VirtualAuthenticator
from tests.documents import README, ROOT, anchors, blocks, section
from tests.engines import free_port
from tests.examples.serving import environment, running
from tests.examples.test_django_auth import BY_VARIABLES

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/*.md")])
EXAMPLES = {file: file.read_text() for file in sorted((ROOT / "examples").rglob("*.py"))}
SHELL = [line for block in blocks(README, "sh") for line in block.splitlines()]
CONSOLE = "".join(blocks(section(README, "How a client goes through it"), "console"))


def title(block: str) -> str:
    return block.splitlines()[0][:60]


@pytest.mark.parametrize("block", blocks(README, "python"), ids=title)
def test_each_piece_of_code_stands_in_an_example(block):
    assert any(block in text for text in EXAMPLES.values())


def test_each_framework_is_shown():
    shown = section(README, "Wrap your app")
    for name in ("Starlette", "FastAPI", "Django", "Litestar", "Quart", "Any ASGI app", "no line of code"):
        assert name in shown


def test_what_the_document_on_logins_imports_is_public():
    """(What stands in docs/plugins.md is held to the example plugin by that one's test.)"""
    for block in blocks((ROOT / "docs" / "logins.md").read_text(), "python"):
        imported = [one for one in ast.walk(ast.parse(block)) if isinstance(one, ast.ImportFrom)]
        assert imported
        for one in imported:
            assert one.module == "mfa_middleware"
            assert {name.name for name in one.names} <= set(mfa_middleware.__all__)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_each_link_leads_somewhere(file):
    text = file.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = (file.parent / path) if path else file
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("line", SHELL)
def test_each_command_exists(line):
    words = shlex.split(line, comments=True)
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["export", setting]:
            name, _, value = setting.partition("=")
            assert BY_VARIABLES[name] == value
        case ["uvicorn", app]:
            module, _, attribute = app.partition(":")
            found = importlib.util.find_spec(module)
            assert found is not None
            assert found.origin is not None
            assert f"\n{attribute} = " in Path(found.origin).read_text()
        case ["pip", "install", what]:
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", what)
            assert extra is not None
            assert extra[1] is None or f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()
        case _:
            pytest.fail(f"no way is known to look at {line!r}")


def test_all_variables_of_the_example_are_shown():
    shown = {shlex.split(line)[1].partition("=")[0] for line in SHELL if line.startswith("export ")}
    assert shown == set(BY_VARIABLES)


# ----------------------------------------------------------------------------------------------- the way of a client


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command with the answer that is shown."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def same(shown: object, real: object, known: dict[str, str]) -> bool:
    """Whether an answer is the one shown, where "…" is anything and a word in capitals is the same each time."""
    match shown, real:
        case dict(), dict():
            return list(shown) == list(real) and all(same(shown[name], real[name], known) for name in shown)
        case list(), list():
            every = shown[-1:] == ["…"]
            return (every or len(shown) == len(real)) and all(
                same(one, other, known) for one, other in zip(shown, real, strict=False)
            )
        case (("ID" | "SECRET" | "TOKEN"), str()):
            return known.setdefault(shown, real) == real
        case str(), str():
            return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), real, re.DOTALL) is not None
        case _:
            return shown == real


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_client_goes_through_it_as_shown(tmp_path):
    port = free_port()
    env = environment(tmp_path)
    known: dict[str, str] = {}
    offsets = count()
    with running(["examples.demo", "--port", str(port)], tmp_path, env, port):
        for command, answer in steps(CONSOLE):
            line = command.replace("localhost:8000", f"localhost:{port}")
            if "CODE" in command:
                phone = VirtualAuthenticator(known["SECRET"])
                line = line.replace("CODE", phone.code(offset_steps=next(offsets)))
            for word, value in known.items():
                line = re.sub(rf"\b{word}\b", value, line)
            done = subprocess.run(
                [*shlex.split(line), "--silent", "--show-error"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            )
            if answer.strip():
                assert same(json.loads(answer), json.loads(done.stdout), known), f"$ {command}\n{done.stdout}"
            else:
                assert not done.stdout, command
    assert set(known) == {"ID", "SECRET", "TOKEN"}

"""The command ``mfa``: what it does, how it tells an error, and that nothing on the terminal is a secret."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mfa_middleware import MFA, Settings
from mfa_middleware.cli import app, terminal
from mfa_middleware.errors import Unavailable
from mfa_middleware.keyring import new_key, parse_keys
from mfa_middleware.stores.sql.sqlite import SQLiteStore
from tests.engines import EngineMissing, PostgreSQL, Valkey, free_port

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SHORT = "JBSWY3DPEHPK3PX"
CODES = ["alpha-bravo", "charlie-delta"]
ALICE = {"user": "alice", "factor": "totp", "secret": SECRET, "label": "my phone", "recoveryCodes": CODES}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the embedded defaults; wide enough a terminal that no cell is broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(terminal.out, "width", 200)
    return tmp_path


def mfa(*arguments: str, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, arguments, input=given, catch_exceptions=False)
    assert not any(secret in result.output for secret in (SECRET, SHORT, *CODES))
    return result


def process(*arguments: str, given: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command as a shell runs it."""
    command = [sys.executable, "-m", "mfa_middleware", *arguments]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, input=given, env=inherited | environment, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done


def lines(*objects: object) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def users_with_factors() -> list[str]:
    """Whose authenticators the database has, in order."""

    async def ask() -> list[str]:
        store = MFA(Settings()).parts.core.authenticator_store
        await store.open()
        found = [one.user_id async for batch in store.scan() for one in batch if not one.backup]
        await store.close()
        return sorted(found)

    return asyncio.run(ask())


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_commands_are_those_of_the_contract():
    listed = mfa("--help").output
    commands = [line.split()[1] for line in listed.partition("Commands")[2].splitlines() if line.startswith("│ ")]
    assert {"keygen", "check", "plugins", "status", "reset", "import", "migrate"} <= set(commands)


def test_the_entry_point_is_the_module():
    (entry_point,) = metadata.entry_points(group="console_scripts", name="mfa")
    assert entry_point.value == "mfa_middleware.cli:main"
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, f"mfa-middleware {metadata.version('mfa-middleware')}\n")


def test_a_command_that_is_none_is_a_usage_error():
    assert mfa("chek").exit_code == 2


@pytest.mark.parametrize("command", ["status alice", "reset alice --yes", "migrate", "plugins", "import -"])
def test_a_setting_that_cannot_work_is_one_sentence_on_stderr(monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.setenv("MFA_TOKEN_TTL", "soon")
    done = mfa(*command.split(), given=lines(ALICE))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("mfa: MFA_TOKEN_TTL: ")
    assert done.stderr.count("\n") == 1


def test_a_store_that_is_away_is_one_sentence_on_stderr_and_nothing_was_done(monkeypatch: pytest.MonkeyPatch):
    mfa("import", "-", given=lines(ALICE))
    monkeypatch.setenv("MFA_SECRET_KEY", Path("mfa.sqlite3.key").read_text())
    monkeypatch.setenv("MFA_REDIS_URL", f"redis://:hush@127.0.0.1:{free_port()}/0")
    done = mfa("reset", "alice", "--yes")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "mfa: redis: ConnectionError: no answer; see `mfa check`.\n"
    assert users_with_factors() == ["alice"]
    assert "my phone" in mfa("status", "alice").stdout  # which asks the database alone


# --------------------------------------------------------------------------------------------------------------- keygen


def test_keygen_prints_a_key_that_the_settings_take(monkeypatch: pytest.MonkeyPatch):
    key, other = mfa("keygen").stdout.strip(), mfa("keygen").stdout.strip()
    assert key != other
    assert len(parse_keys(f"{other},{key}")) == 2
    monkeypatch.setenv("MFA_SECRET_KEY", key)
    done = mfa("check", "--inside")
    assert done.exit_code == 0
    assert key not in done.output


# ---------------------------------------------------------------------------------------------------------------- check


def test_check_finds_the_embedded_defaults_well_in_an_empty_folder_and_leaves_it_empty(folder: Path):
    done = process("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok", "warning"}
    assert list(folder.iterdir()) == []


def test_check_tells_where_the_middleware_must_not_stand():
    assert mfa("check").exit_code == mfa("check", "--inside").exit_code == 0
    done = mfa("check", "--outside")
    assert done.exit_code == 1
    assert "error   From outside of the session middleware, none of the selectors of MFA_REQUEST_USER" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MFA_TOKEN_TTL", "soon", "MFA_TOKEN_TTL: "),
        (
            "MFA_TOKN_TTL",
            "30",
            "MFA_TOKN_TTL is no setting of mfa-middleware or its plugins; did you mean MFA_TOKEN_TTL?",
        ),
        ("MFA_TOTP_DIGIT", "6", "did you mean MFA_TOTP_DIGITS?"),
        ("MFA_APP", "acme_nowhere:app", "MFA_APP: acme_nowhere:app does not import"),
    ],
)
def test_check_names_a_wrong_variable_and_the_mend(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
):
    monkeypatch.setenv(variable, value)
    done = mfa("check")
    assert done.exit_code == 1
    assert any(line.startswith("error   ") and said in line for line in done.stdout.splitlines())


def test_check_finds_an_app_in_the_current_folder_as_uvicorn_does(folder: Path):
    (folder / "acme_shop.py").write_text("async def app(scope, receive, send): ...\n")
    done = process("check", MFA_APP="acme_shop:app", MFA_REQUEST_USER="whoami:/me#/id")
    assert "ok      MFA_APP: acme_shop:app is there" in done.stdout
    assert done.returncode == 0


def test_check_on_a_redis_that_is_away_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MFA_SECRET_KEY", mfa("keygen").stdout.strip())
    monkeypatch.setenv("MFA_REDIS_URL", f"redis://:hush@127.0.0.1:{free_port()}/0")
    done = mfa("check", "--inside")
    assert done.exit_code == 1
    assert (
        "error   MFA_REDIS_URL: Redis does not answer (redis: ConnectionError); start it, or mend the URL."
        in done.stdout
    )
    assert "hush" not in done.output


# -------------------------------------------------------------------------------------------------------------- plugins


def test_plugins_lists_what_each_registers_and_whether_it_is_in_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MFA_FACTORS", "totp")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in mfa("plugins").stdout.splitlines()]
    version = metadata.version("mfa-middleware")
    assert ["totp", "mfa-middleware", version, "factor totp", "yes"] in rows
    assert ["recovery_code", "mfa-middleware", version, "factor recovery_code", "no"] in rows


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[mfa_middleware]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)


_EVERYTHING = """
from mfa_middleware import hookimpl
from mfa_middleware.dialects.native import Native
from mfa_middleware.selectors.builtin import Header, Json

class Klingon(Native):
    name = "klingon"

class Ticket(Header):
    kind = "ticket"

class Stamp(Json):
    kind = "stamp"

class Diary:
    async def __call__(self, event): ...

@hookimpl
def mfa_register_dialects(settings):
    return [Klingon()]

@hookimpl
def mfa_register_selectors(settings):
    return [Ticket, Stamp]

@hookimpl
def mfa_register_event_listeners(settings):
    return [Diary()]
"""


@pytest.mark.parametrize("dialect", ["native", "klingon"])
def test_plugins_lists_dialects_selectors_and_listeners(folder: Path, monkeypatch: pytest.MonkeyPatch, dialect: str):
    install(monkeypatch, folder, "acme_everything", _EVERYTHING)
    monkeypatch.setenv("MFA_DIALECT", dialect)
    monkeypatch.setenv("MFA_REQUEST_USER", "user, ticket:X-Ticket")
    done = mfa("plugins")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    assert [row[3:] for row in rows if row[:3] == ["acme_everything", "acme-everything", "1.2"]] == [
        ["dialect klingon", "yes" if dialect == "klingon" else "no"],
        ["selector ticket", "yes"],
        ["selector stamp", "no"],
        ["listener Diary", "yes"],
    ]
    assert done.exit_code == 0


def test_plugins_lists_a_broken_one_too_and_names_its_distribution(folder: Path, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, folder, "acme_broken", "import a_module_that_nobody_has\n")
    done = mfa("plugins")
    assert done.exit_code == 1
    assert "broken: ModuleNotFoundError" in done.stdout
    assert "factor totp" in done.stdout
    assert done.stderr.startswith("mfa: plugin acme_broken of acme-broken cannot be imported")
    assert "plugin acme_broken of acme-broken cannot be imported" in mfa("check").stdout


# --------------------------------------------------------------------------------------------------------------- import


def test_what_is_imported_stands_in_the_status():
    done = mfa("import", "-", given=lines(ALICE))
    assert (done.exit_code, done.stdout) == (0, "1 authenticators imported.\n")
    status = mfa("status", "alice").stdout
    (row,) = [[cell.strip() for cell in line.split("│")[1:-1]] for line in status.splitlines() if "my phone" in line]
    assert row[:3] == ["totp", "my phone", "yes"]
    assert row[4] == "never"
    assert "alice proves a second factor at login." in status
    assert "Recovery codes left: 2." in status
    assert "Consecutive wrong answers: 0. Not locked." in status


def test_a_file_is_imported_whatever_its_blank_lines_and_byte_order_mark(folder: Path):
    text = "\ufeff" + lines(ALICE) + "\r\n\n" + lines({"user": 7, "factor": "totp", "secret": SECRET})
    (folder / "secrets.jsonl").write_text(text)
    assert mfa("import", "secrets.jsonl").exit_code == 0
    assert users_with_factors() == ["7", "alice"]


def test_a_file_that_can_be_read_only_once_is_imported(folder: Path):
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_text, args=[lines(ALICE)])
    writer.start()
    assert mfa("import", "pipe").exit_code == 0
    writer.join()
    assert users_with_factors() == ["alice"]


def test_a_dry_run_looks_at_all_lines_and_imports_none():
    done = mfa("import", "-", "--dry-run", given=lines(ALICE, ALICE))
    assert (done.exit_code, done.stdout) == (0, "2 lines can be imported. Nothing was imported.\n")
    assert users_with_factors() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"user": "bob"', "JSON: Invalid JSON"),
        ("[]", "JSON: "),
        (json.dumps(ALICE | {"user": None}), "user: "),
        (json.dumps(ALICE | {"user": True}), "user: "),
        (json.dumps(ALICE | {"user": ""}), "user: is empty."),
        (json.dumps(ALICE | {"user": "a\0b"}), "user: is no user's id"),
        (json.dumps(ALICE | {"factor": "smile"}), "factor: no factor of that name is in use."),
        (json.dumps(ALICE | {"factor": "recovery_code"}), "factor: secrets of this factor cannot be imported."),
        (json.dumps(ALICE | {"secret": SHORT}), "secret: The secret has 72 bits, but MFA_TOTP_IMPORT_BITS is 112."),
        (json.dumps(ALICE | {"secret": SECRET + "!"}), "secret: The secret is not base32"),
        (json.dumps({"user": "bob", "factor": "totp"}), "secret: Field required."),
        (json.dumps(ALICE | {"secrt": SECRET}), "secrt: Extra inputs are not permitted."),
        (json.dumps(ALICE | {"label": "\x1b[2J"}), "label: must have no control characters."),
        (
            json.dumps(ALICE | {"recoveryCodes": [CODES[0], CODES[0]]}),
            "recoveryCodes: There are no recovery codes, or two",
        ),
    ],
)
def test_a_bad_line_is_named_by_number_and_field_and_nothing_is_imported(line: str, said: str):
    done = mfa("import", "-", given=lines(ALICE) + "\n" + line + "\n" + lines(ALICE))
    assert (done.exit_code, done.stdout) == (1, "")
    named, end = done.stderr.splitlines()
    assert named.startswith(f"line 3: {said}")
    assert end == "mfa: 1 of 3 lines cannot be imported; nothing was imported."
    assert users_with_factors() == []


def test_of_many_bad_lines_the_first_twenty_are_named():
    done = mfa("import", "-", given="{}\n" * 25)
    assert done.stderr.count("line ") == 20
    assert done.stderr.endswith(
        "mfa: 25 of 25 lines cannot be imported (the first 20 are named); nothing was imported.\n"
    )


def test_an_import_that_breaks_off_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch):
    change = SQLiteStore.change

    async def breaking(self, user_id, decide):
        if user_id == "bob":
            raise Unavailable("database: gone")
        return await change(self, user_id, decide)

    monkeypatch.setattr(SQLiteStore, "change", breaking)
    done = mfa("import", "-", given=lines(ALICE, ALICE | {"user": "bob"}))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "mfa: line 2: database: gone: no answer; see `mfa check`.",
        "1 authenticators were imported: those of the lines before. Import the rest alone.",
    ]
    assert users_with_factors() == ["alice"]


def test_a_file_that_is_not_there_is_a_usage_error():
    assert mfa("import", "nothing.jsonl").exit_code == 2


# ----------------------------------------------------------------------------------------------------- status and reset


@pytest.mark.parametrize("command", ["status", "reset"])
def test_a_command_about_a_user_in_another_folder_than_the_server_s_makes_no_database(command: str, tmp_path: Path):
    """It would say that nobody has a second factor."""
    before = sorted(tmp_path.iterdir())
    done = mfa(command, "alice")
    assert done.exit_code == 2
    assert "is not there; run this in the server's folder" in done.stderr.replace("\n", " ")
    assert sorted(tmp_path.iterdir()) == before


def test_the_status_of_who_has_nothing_says_so(monkeypatch: pytest.MonkeyPatch):
    mfa("migrate")
    assert mfa("status", "bob").stdout.splitlines()[0] == "bob logs in without a second factor."
    monkeypatch.setenv("MFA_ENROLMENT", "required")
    assert (
        mfa("status", "bob").stdout.splitlines()[0] == "bob has no second factor, and must bind one at the next login."
    )


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        (3, "answers: 3. Not locked."),
        (10, "answers: 10. Locked until 20"),
        (100, "Locked until a recovery code or an admin"),
    ],
)
def test_the_status_tells_of_wrong_answers_and_the_lock(failures: int, said: str):
    async def fail() -> None:
        core = MFA(Settings()).parts.core
        await core.authenticator_store.open()
        for _ in range(failures):
            await core.authenticator_store.fail("alice", at=time.time(), policy=core.policy)
        await core.authenticator_store.close()

    asyncio.run(fail())
    assert said in mfa("status", "alice").stdout


def test_what_steers_a_terminal_is_not_passed_on_to_it():
    mfa("import", "-", given=lines(ALICE | {"user": "\x1b[2Jevil", "label": "[red]\x9b2Jmy phone"}))
    shown = mfa("status", "\x1b[2Jevil").stdout
    assert "[red]\ufffd2Jmy phone" in shown
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_reset_removes_everything_of_one_user_and_of_no_other():
    mfa("import", "-", given=lines(ALICE, ALICE | {"user": "bob"}))
    done = mfa("reset", "alice", "--yes")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "alice: 1 authenticator(s), 2 recovery code(s) left.",
        "alice has none now, and is not locked.",
    ]
    assert "MFA_REDIS_URL is memory://" in done.stderr
    assert users_with_factors() == ["bob"]


@pytest.mark.parametrize(("answer", "left"), [("n\n", ["alice"]), ("", ["alice"]), ("y\n", [])])
def test_reset_asks_first(answer: str, left: list[str]):
    mfa("import", "-", given=lines(ALICE))
    done = mfa("reset", "alice", given=answer)
    assert "let this user log in without a second factor? [y/N]" in done.output
    assert done.exit_code == bool(left)
    assert users_with_factors() == left


def test_commands_work_beside_a_running_server():
    """The server has the lock that keeps a second one out; the commands want none."""

    async def serve() -> None:
        server = MFA(Settings())
        await server.open()
        imported = await asyncio.to_thread(process, "import", "-", given=lines(ALICE))
        assert (imported.returncode, imported.stderr) == (0, "")
        assert (await server.status("alice")).enabled
        reset = await asyncio.to_thread(process, "reset", "alice", "--yes")
        assert reset.returncode == 0
        assert not (await server.status("alice")).enabled
        await server.close()

    asyncio.run(serve())


# --------------------------------------------------------------------------------------------------------- real engines


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Valkey, PostgreSQL]]:
    try:
        valkey, postgresql = Valkey(), PostgreSQL()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    with valkey, postgresql:
        yield valkey, postgresql


@pytest.mark.slow
def test_the_way_from_an_empty_postgresql_to_a_user_with_a_factor(engines, monkeypatch: pytest.MonkeyPatch):
    valkey, postgresql = engines
    monkeypatch.setenv("MFA_SECRET_KEY", mfa("keygen").stdout.strip())
    monkeypatch.setenv("MFA_REDIS_URL", valkey.url)
    monkeypatch.setenv("MFA_DATABASE_URL", postgresql.url)
    before = mfa("check", "--inside")
    assert before.exit_code == 1
    assert "error   MFA_DATABASE_URL: the database has no tables yet; run `mfa migrate`." in before.stdout
    assert [mfa("migrate").exit_code, mfa("migrate").exit_code] == [0, 0]
    after = mfa("check", "--inside")
    assert after.exit_code == 0
    assert "ok      MFA_DATABASE_URL: the database answers" in after.stdout
    mfa("import", "-", given=lines(ALICE))
    assert "my phone" in mfa("status", "alice").stdout
    done = mfa("reset", "alice", "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert users_with_factors() == []
    assert postgresql.password not in before.output + after.output


def test_rotate_seals_anew_what_an_older_key_has_sealed(monkeypatch: pytest.MonkeyPatch):
    old, new = new_key(), new_key()
    monkeypatch.setenv("MFA_SECRET_KEY", old)
    mfa("import", "-", given=lines(ALICE))
    monkeypatch.setenv("MFA_SECRET_KEY", f"{new},{old}")
    assert "2 of 2 authenticators were sealed anew" in mfa("rotate").stdout
    assert "0 of 2 authenticators were sealed anew" in mfa("rotate").stdout
    monkeypatch.setenv("MFA_SECRET_KEY", new)
    assert mfa("status", "alice").exit_code == 0
    monkeypatch.setenv("MFA_SECRET_KEY", new_key())
    assert mfa("rotate").exit_code == 1

"""A factor that a stranger wrote installs, is found, and works, without a word about it in this project."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "outsider_factor"

USE_IT = """
import asyncio, mailbox, re, time
import mfa_totp
from mfa_middleware import Settings
from mfa_middleware.factor import Answer, Enrolling
from mfa_middleware.models import Purpose
from mfa_middleware.plugins import Plugins

plugins = Plugins.load(Settings(factors="mail_code"), extra=[mfa_totp])
print([str(one) for one in plugins.installed if one.name == "mail_code"], list(plugins.factors))

async def use(factor):
    state = (await factor.enrol(Enrolling("7", "alice@example.com", "Example"))).state
    prepared = await factor.challenge(state)
    print(prepared.shown)
    for message in mailbox.Maildir("outbox"):
        code = re.findall("[0-9]{8}", message.get_payload())[0]
        for purpose in (Purpose.CONFIRM, Purpose.LOGIN):
            try:
                proof = await factor.check(state, Answer(code, time.time(), purpose, prepared.kept))
                print(purpose, type(proof).__name__)
            except Exception as error:
                print(purpose, type(error).__name__)

asyncio.run(use(plugins.factors["mail_code"]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the example is installed, as pip does it."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", site, EXAMPLE], check=True)
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins")))}


def run(code: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, text=True, capture_output=True, check=False
    )


def test_it_is_found_by_its_entry_point_and_works(installed, tmp_path):
    done = run(USE_IT, tmp_path, installed | {"MFA_MAIL_CODE_OUTBOX": "outbox"})
    found, shown, *checks = done.stdout.splitlines() or [done.stderr]
    assert found == "['plugin mail_code of outsider-mail-code'] ['mail_code']"
    assert shown == "{'sentTo': 'a…@example.com'}"
    assert sorted(checks) == ["confirm InvalidCode", "confirm Once", "login InvalidCode", "login Once"]


def test_a_setting_that_it_needs_is_named_with_the_mend(installed, tmp_path):
    done = run(USE_IT, tmp_path, installed)
    assert done.stderr.splitlines()[-1].endswith(
        "ConfigurationError: MFA_MAIL_CODE_OUTBOX: field required; "
        "set it to a Maildir folder, from which your mail server takes what it is to send."
    )


def test_it_holds_the_contract_of_factors(installed, tmp_path):
    """Its own test, as its author runs it."""
    (tmp_path / "test_mail_code.py").write_text((EXAMPLE / "test_mail_code.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    tests = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--disable-plugin-autoload"]
    done = subprocess.run(tests, cwd=tmp_path, env=installed, text=True, capture_output=True, check=False)
    assert re.search(r"^5\d passed, \d skipped in ", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_the_page_in_the_docs_is_the_example():
    page = (ROOT / "docs" / "plugins.md").read_text()
    for name in ("mfa_mail_code.py", "test_mail_code.py"):
        assert f"```python\n{(EXAMPLE / name).read_text()}```" in page
    toml = (EXAMPLE / "pyproject.toml").read_text()
    assert f"```toml\n{toml}```" in page

"""Documents and code say the same, in both directions: settings, hooks, endpoints, codes, commands, public names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import pytest
import typer.main
from pydantic import BaseModel

import mfa_middleware
from mfa_authing.settings import AuthingSettings
from mfa_middleware import Settings, cli, errors, hookspecs
from mfa_middleware.dialects.native import STATUS
from mfa_middleware.plugins import Plugins
from mfa_middleware.selectors.choice import BUILTIN
from mfa_middleware.web import admin, api
from mfa_recovery_code.settings import RecoveryCodeSettings
from mfa_totp.settings import TOTPSettings
from tests.documents import README, ROOT, section, tables

SECTIONS: dict[str, type[BaseModel]] = {
    "totp": TOTPSettings,
    "recovery_code": RecoveryCodeSettings,
    "authing": AuthingSettings,
}


def defaults() -> Iterator[tuple[str, object]]:
    yield from (("MFA_" + name.upper(), field.default) for name, field in Settings.model_fields.items())
    for plugin, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            yield f"MFA_{plugin}_{name}".upper(), field.default


def shown(default: object) -> str:
    if default == "":
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_each_setting_stands_in_the_readme_with_its_default():
    [table] = tables(section(README, "Settings"))
    assert {name.strip("`"): default for name, default, _ in table} == {
        name: shown(default) for name, default in defaults()
    }


def test_each_setting_of_a_bundled_plugin_is_among_them():
    settings = Settings()
    Plugins.load(settings)
    known = {f"{plugin}_{name}" for plugin, model in SECTIONS.items() for name in model.model_fields}
    assert settings._read == known


def test_no_document_names_a_setting_that_there_is_not():
    known = {name for name, _ in defaults()} | {"MFA_MAIL_CODE_OUTBOX"}  # that of the example plugin
    for file in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for name in re.findall(r"MFA_[A-Z][A-Z_]*\b(?!\*)", file.read_text()):
            assert name in known or any(one.startswith(name) for one in known if name.endswith("_")), (file.name, name)


def test_each_hook_is_documented():
    hooks = {name for name, one in vars(hookspecs).items() if hasattr(one, "mfa_middleware_spec")}
    assert len(hooks) == 4
    for text in (README, (ROOT / "docs" / "plugins.md").read_text()):
        assert set(re.findall(r"\bmfa_register_\w+", text)) == hooks


def test_each_endpoint_is_documented():
    text = section(README, "HTTP API")
    shown_ones = {" ".join(found) for found in re.findall(r"^\| `([A-Z]+) ([^ `]+)`", text, re.MULTILINE)}
    assert shown_ones == {f"{one.method} {one.path}" for one in (*api.OPERATIONS, *admin.OPERATIONS)}


def test_each_code_is_documented_with_its_status():
    table = tables(section(README, "HTTP API"))[-1]
    documented = {code.strip("`"): statuses for code, statuses, _ in table}
    expected = {error.code: str(status) for error, status in STATUS.items()}
    expected |= {"mfa_required": "401", "mfa_enrolment_required": "401, 403", "invalid_code": "401, 422"}
    assert documented == expected


def test_each_command_is_documented():
    [table] = tables(section(README, "Command line"))
    commands = typer.main.get_group(cli.app).commands
    assert {words.strip("`").split()[1] for words, _ in table} == set(commands)


def test_each_selector_is_documented():
    [table] = tables(section(README, "Who logged in: selectors"))
    assert {re.findall(r"\w+", words)[0] for words, *_ in table} == set(BUILTIN)


def public_names(module: ModuleType) -> set[str]:
    return {name for name, one in vars(module).items() if not name.startswith("_") and not isinstance(one, ModuleType)}


def test_what_is_public_is_what_all_names():
    assert public_names(mfa_middleware) == set(mfa_middleware.__all__)


def test_each_error_is_public():
    tree = {name for name, one in vars(errors).items() if isinstance(one, type) and one.__module__ == errors.__name__}
    assert tree <= set(mfa_middleware.__all__)


@pytest.mark.parametrize("word", ["TODO", "FIXME"])
def test_the_readme_promises_nothing_that_is_not_there(word):
    assert word not in README


def test_each_rule_names_tests_that_there_are():
    text = (ROOT / "docs" / "security.md").read_text()
    [rules] = tables(section(text, "What is guaranteed"))
    assert [rule.partition(".")[0] for rule, _ in rules] == [str(number) for number in range(1, 13)]
    for tests in [*(tests for _, tests in rules), text]:
        named = re.findall(r"`(tests/\S+\.py)`", tests)
        assert named
        assert [one for one in named if not (ROOT / one).is_file()] == []

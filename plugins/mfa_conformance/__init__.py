"""The conformance kit's plugin of pytest: the mark ``mfa_conformance``, and what is open said once more at the end.

It does nothing where no test class inherits the kit, and imports nothing of ``mfa_middleware``.
"""

from __future__ import annotations

import pytest

_OPEN = "OPEN: "


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark."""
    config.addinivalue_line("markers", "mfa_conformance: an attack of mfa-middleware's conformance kit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the attacks, so that ``-m mfa_conformance`` chooses them."""
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is not None and _is_attack(item.cls, item.originalname):
            item.add_marker("mfa_conformance")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is open, and what to do about it."""
    reports = [one for one in terminalreporter.stats.get("failed", ()) if isinstance(one, pytest.TestReport)]
    found = [one.longreprtext for one in reports if "mfa_conformance" in one.keywords]
    holes = [text for text in dict.fromkeys(found) if text.startswith(_OPEN)]
    if holes:
        terminalreporter.section("the second factor can be got round")
        for text in holes:
            terminalreporter.line(text)


def _is_attack(cls: type, name: str) -> bool:
    """By name: to import the kit for that would import it into every run of pytest."""
    return any(
        base.__module__.startswith("mfa_middleware.testing.conformance") and name in vars(base) for base in cls.__mro__
    )

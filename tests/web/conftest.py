"""One browser for each module that needs one."""

from __future__ import annotations

import pytest

from tests.web import browsing


@pytest.fixture(scope="module")
def chromium():
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium):
    """Somebody new at the browser; when they leave, the browser must have had nothing to complain of."""
    visitors = []

    def visit(site: str, **choices: object) -> browsing.Visitor:
        visitors.append(browsing.Visitor(chromium, site, **choices))
        return visitors[-1]

    with browsing.deadline():
        yield visit
        for one in visitors:
            one.check_and_leave()

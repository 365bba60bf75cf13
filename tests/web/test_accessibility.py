"""The pages are for everybody (WCAG 2.2 AA): axe-core finds nothing in light and dark, and they can be zoomed."""

from __future__ import annotations

import pytest

from tests.web import axe
from tests.web.browsing import Visitor, needs_browser, serving
from tests.web.form_app import form_app

pytestmark = needs_browser

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_FINDINGS = """tags => axe.run(document, {runOnly: tags}).then(result =>
    result.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' | ')}`))"""
_COLORS = """() => axe.run(document, {runOnly: {type: 'rule', values: ['color-contrast']}}).then(result =>
    result.violations.flatMap(one => one.nodes.map(node => node.html + node.any[0].message)))"""
_ZOOMED = 320  # CSS pixels that 1280 have at 400 % (WCAG 2.2, 1.4.10)
_SMALL = """() => [...document.querySelectorAll('button, summary, input:not([type=hidden]), a[href]')]
    .filter(one => one.checkVisibility())
    .filter(one => one.getBoundingClientRect().height < 24).map(one => one.outerHTML)"""
_MOVING = """() => document.getAnimations().length
    + [...document.querySelectorAll('*')].filter(one => getComputedStyle(one).transitionDuration !== '0s').length"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with serving(form_app(tmp_path_factory.mktemp("site"), brand_name="Acme", brand_color="#0b6e4f")) as url:
        yield url


@pytest.fixture(scope="module")
def enrolling(tmp_path_factory):
    with serving(form_app(tmp_path_factory.mktemp("enrolling"), enrolment="required", user_failures=2)) as url:
        yield url


class Inspector:
    """Looks at each page that it is shown."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._axe = axe.source()
        self.seen: list[str] = []
        self.findings: list[str] = []

    def look(self, what: str) -> None:
        page = self._visitor.page
        page.locator("h1").wait_for()
        self.seen.append(what)
        page.emulate_media(color_scheme="light")
        page.evaluate(self._axe)
        found = [*page.evaluate(_FINDINGS, _TAGS), *page.evaluate(_SMALL)]
        page.emulate_media(color_scheme="dark")
        found += page.evaluate(_COLORS)
        page.set_viewport_size({"width": _ZOOMED, "height": 256})
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append("it is wider than the screen")
        page.set_viewport_size({"width": 1280, "height": 800})
        if page.evaluate(_MOVING):
            found.append("something moves")
        self.findings += [f"{what}: {one}" for one in found]


@pytest.fixture
def inspector(visit, site):
    return Inspector(visit(site, user="a-name-that-is-rather-long@a-host-that-is-rather-long.example"))


def test_who_is_signed_in(inspector):
    one = inspector._visitor
    one.go("/mfa/")
    inspector.look("nobody")
    one.log_in()
    one.go("/mfa/")
    inspector.look("overview, empty")
    one.press("Set up: %(title)s", title="Authenticator app")
    phone = one.scan()
    one.page.get_by_text("I cannot scan it").click()
    inspector.look("bind")
    one.type("000", "Confirm")
    one.reads("That code is not right.")
    inspector.look("bind, wrong")
    one.type(phone.code(), "Confirm")
    one.sees("Keep your recovery codes")
    inspector.look("codes")
    codes = one.keep_codes()
    inspector.look("overview")
    one.page.locator(".cards a").first.click()
    one.sees("Authenticator app")
    one.page.get_by_text("Remove…").click()
    inspector.look("edit")
    one.page.locator("#label").evaluate("field => field.removeAttribute('maxlength')")
    one.page.locator("#label").fill("x" * 101)
    one.press("Rename")
    one.page.get_by_role("alert").wait_for()
    assert one.page.evaluate("document.activeElement.id") == "label"
    inspector.look("edit, wrong")
    one.press("Disable")
    one.reads("It is disabled: no login asks for it.")
    inspector.look("overview, disabled")
    one.go("/mfa/add")
    inspector.look("add")
    one.go("/mfa/codes")
    inspector.look("recovery codes")
    one.context.clear_cookies(name="mfa_assurance")
    one.go("/mfa/add")
    inspector.look("proof first")
    one.press("Prove that it is you")
    one.sees("Prove that it is you")
    inspector.look("step-up")
    one.follow("Recovery code")
    one.type("0000-0000", "Continue")
    one.page.get_by_role("alert").wait_for()
    inspector.look("step-up, wrong")
    one.type(codes[0], "Continue")
    one.sees("Add a second factor")
    one.go("/mfa/no-such-page")
    inspector.look("no such page")
    assert inspector.findings == []


def test_who_must_bind_a_factor_and_who_is_locked(visit, enrolling):
    inspector = Inspector(visit(enrolling, language="zh-Hans"))
    one = inspector._visitor
    one.log_in()
    inspector.look("enrol")
    one.press("Set up: %(title)s", title=one.say("Authenticator app"))
    one.type(one.scan().code(), "Confirm")
    one.keep_codes()
    one.forget()
    one.log_in()
    inspector.look("challenge")
    for _ in range(2):
        one.type("000", "Continue")
        one.page.get_by_role("alert").wait_for()
    inspector.look("challenge, wrong")
    one.type("000", "Continue")
    one.sees("Too many attempts")
    inspector.look("locked")
    assert inspector.findings == []

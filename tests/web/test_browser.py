"""The pages in a real browser: with and without JavaScript, on a phone and on a desk."""

from __future__ import annotations

import shutil
import threading
import time
from urllib.parse import urlsplit

import pytest
import uvicorn

from mfa_middleware.testing import VirtualAuthenticator
from tests.web.form_app import PASSWORD, form_app

playwright = pytest.importorskip("playwright.sync_api", reason="no browser to test with: pip install playwright")

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_CHROMIUM is None, reason="no browser to test with: no chromium in PATH"),
]


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=_CHROMIUM, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def site(tmp_path):
    """The wrapped app on a server; its address."""
    config = uvicorn.Config(form_app(tmp_path), port=0, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://localhost:{port}"
    server.should_exit = True
    thread.join()


class Visitor:
    """Somebody at a browser. Notes what the browser complains of, and which hosts it asks."""

    def __init__(self, context, site: str) -> None:
        self.page = context.new_page()
        self.site = site
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _note(self, text: str) -> None:
        if "status of 4" not in text:  # a wrong code is a 401, and the console says so
            self.complaints.append(text)

    def log_in(self, query: str = "") -> None:
        self.page.goto(f"{self.site}/login{query}")
        self.page.get_by_label("user").fill("alice")
        self.page.get_by_label("password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()

    def bind(self) -> VirtualAuthenticator:
        page = self.page
        page.goto(f"{self.site}/mfa/")
        page.get_by_role("button", name="Set up: Authenticator app").click()
        page.get_by_text("The app is on this device").click()
        authenticator = VirtualAuthenticator(page.locator("#secret").inner_text())
        page.get_by_label("The code that it shows now").fill(authenticator.code())
        page.get_by_role("button", name="Confirm").click()
        assert len(page.locator("pre").inner_text().split()) == 10
        page.get_by_label("I have kept these codes").check()
        page.get_by_role("button", name="Continue").click()
        self.arrive("Second factors")
        return authenticator

    def arrive(self, heading: str) -> None:
        """Wait for the page with that heading."""
        self.page.get_by_role("heading", name=heading, exact=True).wait_for()

    def answer(self, code: str) -> None:
        self.page.get_by_label("Authenticator app").fill(code)
        self.page.get_by_role("button", name="Continue").click()


@pytest.fixture(
    params=[(375, True), (375, False), (1280, True), (1280, False)], ids=lambda one: f"{one[0]}px-js-{one[1]}"
)
def visitor(request, chromium, site):
    width, scripts = request.param
    context = chromium.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    context.set_default_timeout(10_000)
    yield Visitor(context, site)
    context.close()


def test_from_login_over_binding_to_the_next_login(visitor):
    page = visitor.page
    visitor.log_in()
    authenticator = visitor.bind()
    page.goto(f"{visitor.site}/logout")
    visitor.log_in()
    visitor.arrive("Finish logging in")
    assert page.evaluate("document.activeElement.id") == "code"
    visitor.answer("12 34 56")
    assert "That code is not right. You have 4 attempts left." in page.get_by_role("alert").inner_text()
    code = authenticator.code(offset_steps=1)  # that of this step confirmed the binding
    visitor.answer(f"{code[:3]} {code[3:]}")
    visitor.arrive("Hello alice")
    assert page.url == f"{visitor.site}/home?first=1"
    assert visitor.complaints == []
    assert visitor.hosts == {urlsplit(visitor.site).netloc}


def test_no_page_is_wider_than_the_screen(visitor):
    visitor.log_in()
    visitor.bind()
    page = visitor.page
    page.get_by_role("link", name="Change").first.click()
    page.wait_for_url("**/edit/*")
    for path in (urlsplit(page.url).path, "/mfa/", "/mfa/codes", "/mfa/nothing"):
        page.goto(visitor.site + path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_the_released_login_may_redirect_to_another_host(visitor):
    """``form-action`` in the policy would forbid it: Chromium applies it to the redirect after the form's POST."""
    visitor.log_in()
    authenticator = visitor.bind()
    visitor.page.goto(f"{visitor.site}/logout")
    elsewhere = visitor.site.replace("localhost", "127.0.0.1") + "/home"
    visitor.log_in(f"?to={elsewhere}")
    visitor.answer(authenticator.code(offset_steps=1))
    visitor.page.wait_for_url(elsewhere)
    visitor.arrive("Hello nobody")  # another host, so without the session's cookie
    assert visitor.complaints == []


def test_by_keyboard_alone(visitor):
    visitor.log_in()
    authenticator = visitor.bind()
    page = visitor.page
    page.goto(f"{visitor.site}/logout")
    visitor.log_in()
    visitor.arrive("Finish logging in")
    page.keyboard.type(authenticator.code(offset_steps=1))
    page.keyboard.press("Enter")
    visitor.arrive("Hello alice")

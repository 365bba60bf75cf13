"""Chromium, driven by Playwright, on a wrapped app: somebody who goes through the pages, in a language.

Every wait has a time-out, and a test as a whole has one, too: a call of Playwright's may have none.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.translations import translated
from tests.web.form_app import PASSWORD

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_MILLISECONDS = 15_000
_SECONDS = 120

#: For modules that need the browser. CI installs it, and must not go without.
needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(
        _CHROMIUM is None and "CI" not in os.environ, reason="no browser to test with: no chromium in PATH"
    ),
]


@contextmanager
def chromium() -> Iterator[object]:
    """The browser."""
    assert _CHROMIUM, "CI must install chromium"
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS, timeout=2 * _MILLISECONDS)
        yield browser
        browser.close()


@contextmanager
def deadline() -> Iterator[None]:
    """Ends a test that hangs."""

    def too_late(_number: int, _frame: object) -> None:
        raise TimeoutError(f"after {_SECONDS} seconds")

    former = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@contextmanager
def serving(app) -> Iterator[str]:
    """The app on a server in a thread; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + _SECONDS / 4
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(_SECONDS / 4)


class Visitor:
    """Somebody at a browser. Notes what the browser complains of, and which hosts it asks.

    Texts are given in English and looked for in the visitor's language.
    """

    def __init__(self, browser, site: str, *, language="en", width=1280, scripts=True, user="alice", password=PASSWORD):
        self.language = language
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=language, java_script_enabled=scripts
        )
        self.context.set_default_timeout(_MILLISECONDS)
        self.page = self.context.new_page()
        self.site = site
        self.user = user
        self.password = password
        self.secret = ""
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.allowed = {urlsplit(site).netloc, ""}  # data: has none
        self.context.on("console", lambda message: self._note(message.text))
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _note(self, text: str) -> None:
        # A wrong code is a 401, and the console says so; it also says that a quick visitor was in the field already.
        if "status of 4" not in text and "Autofocus processing was blocked" not in text:
            self.complaints.append(text)

    def check_and_leave(self) -> None:
        """Nothing was asked of another host, and the browser had nothing to complain of."""
        self.context.close()
        assert not self.complaints, self.complaints
        assert self.hosts <= self.allowed, self.hosts

    def say(self, text: str) -> str:
        return translated(text, self.language)

    def go(self, path: str) -> None:
        self.page.goto(self.site + path)

    def log_in(self, query: str = "") -> None:
        """By the app's own form: the first two fields, whatever their names are."""
        self.go(f"/login{query}")
        fields = self.page.locator("input:not([type=hidden])")
        fields.nth(0).fill(self.user)
        fields.nth(1).fill(self.password)
        self.page.locator("button").first.click()

    def forget(self) -> None:
        """As if the session had ended: another login is due."""
        self.context.clear_cookies()

    def press(self, name: str, **words: str) -> None:
        self.page.get_by_role("button", name=self.say(name) % words, exact=True).click()

    def follow(self, name: str, **words: str) -> None:
        self.page.get_by_role("link", name=self.say(name) % words, exact=True).click()

    def sees(self, heading: str) -> None:
        """Wait for the page with that heading."""
        self.page.get_by_role("heading", level=1, name=self.say(heading), exact=True).wait_for()

    def reads(self, text: str) -> None:
        """Wait for a page with that sentence."""
        self.page.get_by_text(self.say(text)).first.wait_for()

    def type(self, code: str, button: str) -> None:
        self.page.locator("#code").fill(code)
        self.press(button)

    def scan(self) -> VirtualAuthenticator:
        """Take the secret from the page, as from its picture."""
        self.sees("Set up your authenticator")
        self.secret = self.page.locator("#secret").text_content().replace(" ", "")
        return VirtualAuthenticator(self.secret)

    def keep_codes(self) -> list[str]:
        self.sees("Keep your recovery codes")
        codes: list[str] = self.page.locator("#codes").inner_text().split()
        assert len(codes) == 10
        self.page.get_by_label(self.say("I have kept these codes in a safe place.")).check()
        self.press("Continue")
        return codes

    def bind(self) -> tuple[VirtualAuthenticator, list[str]]:
        """Set up the first factor."""
        self.go("/mfa/")
        self.press("Set up: %(title)s", title=self.say("Authenticator app"))
        phone = self.scan()
        self.type(phone.code(), "Confirm")
        codes = self.keep_codes()
        self.sees("Second factors")
        return phone, codes

    def is_home(self) -> None:
        """The app's own page, as whoever logged in."""
        self.page.get_by_text(self.user).first.wait_for()
        assert "/mfa" not in self.page.url

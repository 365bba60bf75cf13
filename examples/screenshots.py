"""Pictures of the pages, taken from the running demo by Chromium, so that they show what there is.

python -m examples.screenshots [--folder docs/pictures]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from examples.demo import code

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SECONDS = 30
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: What is appended to a picture's name, and how the browser is set.
LOOKS = {
    "": {"locale": "en", "color_scheme": "light", "viewport": {"width": 680, "height": 400}},
    "-dark-zh": {"locale": "zh-CN", "color_scheme": "dark", "viewport": {"width": 375, "height": 400}},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(prog="python -m examples.screenshots", description="Pictures of the pages.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or sys.exit("Pictures are taken with chromium: install it.")
    with demo() as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET, timeout=SECONDS * 1000)
        for (name, look), user in zip(LOOKS.items(), ("alice", "bob"), strict=True):
            take(browser, site, user, folder, name, look)
        browser.close()


def take(browser: Browser, site: str, user: str, folder: Path, suffix: str, look: Mapping[str, object]) -> None:
    """The pages that one user comes by."""
    context = browser.new_context(device_scale_factor=1.5, **look)  # type: ignore[arg-type]  # checked by Playwright
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()

    def shoot(name: str) -> None:
        page.screenshot(path=folder / f"{name}{suffix}.png", full_page=True, animations="disabled")

    log_in(page, site, user)
    page.goto(f"{site}/mfa/")
    page.locator("main button").click()
    shoot("binding")
    secret = (page.locator("#secret").text_content() or "").replace(" ", "")
    send(page, code(secret, ahead=False))
    shoot("recovery-codes")
    page.locator("#kept").check()
    page.locator("main button[type=submit]").click()
    shoot("overview")
    context.clear_cookies()
    log_in(page, site, user)
    shoot("challenge")
    context.close()


def log_in(page: Page, site: str, user: str) -> None:
    """By the demo's form."""
    page.goto(f"{site}/login")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill({"alice": "wonderland", "bob": "builder"}[user])
    page.locator("main button").click()


def send(page: Page, text: str) -> None:
    """Answer the field for a code."""
    page.locator("#code").fill(text)
    page.locator("form:has(#code) button").click()


@contextmanager
def demo() -> Iterator[str]:
    """The demo, in a process of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MFA_")}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "examples.demo", "--port", str(port), "--data", folder]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)  # noqa: S603  our own
        try:
            wait_for(port, process)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait(SECONDS)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until it answers."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("The demo did not start.")
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()

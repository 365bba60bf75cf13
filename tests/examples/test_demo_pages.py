"""The demo's own page: every link on it leads somewhere, its stand-in for a phone works, and its pictures are taken."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from examples import screenshots
from mfa_middleware.testing import VirtualAuthenticator
from tests.documents import ROOT
from tests.engines import free_port
from tests.examples.serving import bind, client, running
from tests.examples.test_demo import ALICE, demo_environment

pytestmark = pytest.mark.slow
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    with running(["examples.demo", "--port", str(port)], folder, demo_environment(folder), port) as address:
        yield address


def links(page: str) -> set[str]:
    return set(re.findall(r'href="(?!data:)([^"]+)"', page))


def test_each_link_leads_somewhere(url):
    with client(url) as browser:
        browser.headers["Accept"] = "text/html"
        outside = links(browser.get("/").text)
        browser.post("/login", data=ALICE)
        bind_as_json(browser)
        inside = links(browser.get("/").text)
        assert {"mfa/", "mfa/add", "mfa/codes", "phone", "mfa/openapi.json"} <= inside
        answers = {link: browser.get(f"/{link}", follow_redirects=True).status_code for link in outside | inside}
        assert set(answers.values()) == {200}


def bind_as_json(browser) -> None:
    browser.headers["Accept"] = "application/json"
    bind(browser)
    browser.headers["Accept"] = "text/html"


def test_the_stand_in_for_a_phone_shows_what_a_phone_shows(url):
    with client(url) as browser:
        page = browser.post("/phone", data={"secret": f"{SECRET[:4]} {SECRET[4:]}"}).text
        shown = re.findall(r"<output[^>]*>(\d{6})<", page)
        phone = VirtualAuthenticator(SECRET)
        assert len(shown) == 2
        assert set(shown) <= {phone.code(offset_steps=step) for step in (-1, 0, 1)}
        assert "That is no secret" in browser.post("/phone", data={"secret": "1"}).text


@pytest.mark.skipif(
    shutil.which("chromium") is None and "CI" not in os.environ,
    reason="no browser to take pictures with: no chromium in PATH",
)
def test_the_pictures_can_be_taken_anew(tmp_path):
    screenshots.main(["--folder", str(tmp_path)])
    taken = {one.name for one in tmp_path.iterdir()}
    assert taken == {one.name for one in (ROOT / "docs" / "pictures").iterdir()}
    assert all(one.read_bytes().startswith(b"\x89PNG") for one in tmp_path.iterdir())


def test_each_picture_is_shown_somewhere():
    documents = "".join(one.read_text() for one in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
    assert [one.name for one in (ROOT / "docs" / "pictures").iterdir() if one.name not in documents] == []

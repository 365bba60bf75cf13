"""The pages in a real browser: with and without JavaScript, on a phone and on a desk, in two languages."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from mfa_middleware.testing import VirtualAuthenticator
from tests.examples.serving import ROOT, environment, served
from tests.web.browsing import Visitor, needs_browser, serving
from tests.web.form_app import form_app

pytestmark = needs_browser

PHONE, DESK = 375, 1280
WONDERLAND = "wonderland"  # alice's password in the examples


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Address of the apps, each served when it is first asked for. Only Starlette's know users other than alice."""
    makers = {"fastapi": _fastapi, "django": _django}
    found: dict[str, str] = {}
    with ExitStack() as servers:

        def address(name: str, **settings: object) -> str:
            if name not in found:
                folder = tmp_path_factory.mktemp(name)
                server = makers[name](folder) if name in makers else serving(form_app(folder, **settings))
                found[name] = servers.enter_context(server)
            return found[name]

        yield address


def _fastapi(folder: Path) -> AbstractContextManager[str]:
    return served("examples.fastapi_forms:app", folder)


def _django(folder: Path) -> AbstractContextManager[str]:
    own = {
        "DJANGO_SETTINGS_MODULE": "examples.django_auth.settings",
        "DJANGO_DATABASE": str(folder / "django.sqlite3"),
        "DJANGO_SUPERUSER_PASSWORD": WONDERLAND,
    }
    new_user = ["createsuperuser", "--noinput", "--username=alice", "--email=alice@example.com"]
    for command in (["migrate", "--verbosity=0"], new_user):
        django = [sys.executable, "-m", "django", *command]
        subprocess.run(django, cwd=ROOT, env=environment(folder, **own), check=True, timeout=60)
    return served("examples.django_auth.wrapped:application", folder, **own)


@pytest.fixture(scope="module")
def site(sites):
    return sites("starlette")


def wrong(phone: VirtualAuthenticator) -> str:
    """Six digits that are no code of it for some time."""
    near = {phone.code(offset_steps=step) for step in range(-2, 4)}
    digits = next(digit for digit in "0123456789" if digit * 6 not in near)
    return f"{digits * 3} {digits * 3}"


@pytest.mark.parametrize(
    ("app", "choices"),
    [
        ("starlette", {"width": PHONE, "scripts": True, "language": "en"}),
        ("starlette", {"width": DESK, "scripts": False, "language": "zh-Hans"}),
        ("fastapi", {"width": DESK, "scripts": True, "language": "zh-Hans", "password": WONDERLAND}),
        ("django", {"width": PHONE, "scripts": False, "language": "en", "password": WONDERLAND}),
    ],
)
def test_every_path(sites, visit, app, choices):
    """A code works once and the clock is the real one, so what asks for more proofs gets recovery codes."""
    one = visit(sites(app), **choices)
    one.log_in()
    one.is_home()  # the password alone: there is no second factor yet
    phone, codes = _binds_with_a_slip(one)
    _logs_in_with_a_slip(one, phone)
    _renames_and_disables(one)
    _proves_again(one, codes)
    _replaces_the_phone(one)
    fresh = _makes_new_codes(one)
    _logs_in_by_recovery_code(one, codes[5], fresh[0])
    _removes(one)
    one.forget()
    one.log_in()
    one.is_home()


def _binds_with_a_slip(one: Visitor) -> tuple[VirtualAuthenticator, list[str]]:
    one.go("/mfa/")
    one.reads("With a second factor, nobody gets in who has found out your password.")
    one.press("Set up: %(title)s", title=one.say("Authenticator app"))
    phone = one.scan()
    one.type(wrong(phone), "Confirm")
    one.reads("That code is not right.")
    assert one.secret[:4] not in one.page.content()
    one.type(f"{phone.code()[:3]} {phone.code()[3:]}", "Confirm")
    codes = one.keep_codes()
    one.sees("Second factors")
    return phone, codes


def _logs_in_with_a_slip(one: Visitor, phone: VirtualAuthenticator) -> None:
    one.forget()
    one.log_in()
    one.sees("Finish logging in")
    assert one.page.evaluate("document.activeElement.id") == "code"
    one.type(wrong(phone), "Continue")
    message = one.page.get_by_role("alert")
    message.wait_for()
    assert "4" in message.inner_text()
    assert message.get_attribute("id") in one.page.locator("#code").get_attribute("aria-describedby")
    assert one.page.evaluate("document.activeElement.id") == "code"
    code = phone.code(offset_steps=1)  # that of this step confirmed the binding
    one.type(f" {code[:3]} {code[3:]} ", "Continue")
    one.is_home()


def _renames_and_disables(one: Visitor) -> None:
    one.go("/mfa/")
    one.follow("Change: %(label)s", label=one.say("Authenticator app"))
    one.sees("Authenticator app")
    one.page.get_by_label(one.say("Name"), exact=True).fill("My phone")
    one.press("Rename")
    one.reads("The name was changed.")
    disabled, enabled = "It is disabled: no login asks for it.", "It is enabled: logins ask for it again."
    for button, told in (("Disable", disabled), ("Enable", enabled)):
        one.follow("Change: %(label)s", label="My phone")
        one.press(button)
        one.reads(told)


def _proves_again(one: Visitor, codes: list[str]) -> None:
    """Once the proof is over, a page of changes asks for another, and comes back."""
    one.context.clear_cookies(name="mfa_assurance")
    one.follow("Add another")
    one.press("Prove that it is you")
    one.sees("Prove that it is you")
    one.follow("Recovery code")
    one.reads("Type one of the codes that you kept when you set up your second factor. Each works once.")
    one.type(codes[1].lower(), "Continue")
    one.sees("Add a second factor")
    one.press("Set up: %(title)s", title=one.say("Authenticator app"))
    second = one.scan()
    one.type(second.code(), "Confirm")
    one.reads("It is set up. You can use it from now on.")
    one.page.get_by_role("heading", name=one.say("Authenticator app") + " 2").wait_for()


def _replaces_the_phone(one: Visitor) -> None:
    one.follow("Change: %(label)s", label="My phone")
    one.press("Set up anew")
    one.reads("What you have works until the new one is confirmed.")
    one.type(one.scan().code(), "Confirm")
    one.sees("Second factors")
    assert one.page.get_by_role("heading", name="My phone").count() == 1


def _makes_new_codes(one: Visitor) -> list[str]:
    one.follow("New codes")
    one.press("Make new codes")
    return one.keep_codes()


def _logs_in_by_recovery_code(one: Visitor, former: str, code: str) -> None:
    one.forget()
    one.log_in()
    one.follow("Recovery code")
    one.type(former, "Continue")
    one.page.get_by_role("alert").wait_for()
    one.type(code, "Continue")
    one.is_home()


def _removes(one: Visitor) -> None:
    one.go("/mfa/")
    for _ in range(2):
        one.page.locator(".cards a").first.click()
        one.page.get_by_text(one.say("Remove…")).click()
        one.press("Yes, remove it")
        one.reads("It was removed.")
    assert one.page.locator(".cards").count() == 0


@pytest.mark.parametrize(("width", "scripts", "language"), [(PHONE, True, "zh-Hans"), (DESK, False, "en")])
def test_a_demanded_binding_goes_from_the_login_to_the_login_in_one_go(sites, visit, width, scripts, language):
    user = f"{language}-{width}"
    one = visit(sites("required", enrolment="required"), width=width, scripts=scripts, language=language, user=user)
    one.log_in()
    one.sees("Set up a second factor")
    one.press("Set up: %(title)s", title=one.say("Authenticator app"))
    phone = one.scan()
    one.type(wrong(phone), "Confirm")
    one.reads("That code is not right.")
    one.type(phone.code(), "Confirm")
    one.keep_codes()
    one.is_home()
    if scripts:  # without, the browser asks before it sends the form again
        one.page.go_back()
        one.reads("This has expired, or it was finished already.")
        one.follow("Go on")
    else:
        one.go("/mfa/enrol")
        one.reads("This has expired, or it was finished already.")
        one.follow("Log in")
        assert "/login" in one.page.url


def test_by_keyboard_alone(site, visit):
    one = visit(site, user="keyboard")
    page = one.page
    one.log_in()
    one.go("/mfa/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    one.sees("Set up your authenticator")
    _tab_to(page, "summary")
    page.keyboard.press("Enter")
    phone = VirtualAuthenticator(page.locator("#secret").inner_text())
    _tab_to(page, "#code")
    page.keyboard.type(phone.code())
    page.keyboard.press("Enter")
    one.sees("Keep your recovery codes")
    _tab_to(page, "#kept")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    one.sees("Second factors")
    one.forget()
    one.log_in()
    one.sees("Finish logging in")
    page.keyboard.type(phone.code(offset_steps=1))
    page.keyboard.press("Enter")
    one.is_home()


def _tab_to(page, selector: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def test_comforts_of_javascript(site, visit):
    """Copying, and a code that is pasted sends itself."""
    one = visit(site, user="comforts")
    one.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.log_in()
    one.go("/mfa/")
    one.press("Set up: %(title)s", title="Authenticator app")
    phone = one.scan()
    one.page.get_by_text("I cannot scan it").click()
    one.press("Copy")
    one.page.get_by_role("status").get_by_text("Copied").wait_for(state="attached")
    assert one.page.evaluate("navigator.clipboard.readText()") == one.secret
    _paste(one, phone.code())
    codes = one.keep_codes()
    one.forget()
    one.log_in()
    one.sees("Finish logging in")
    _paste(one, f"{phone.code(offset_steps=1)[:3]} {phone.code(offset_steps=1)[3:]}")
    one.is_home()
    assert len(codes) == 10


def _paste(one: Visitor, text: str) -> None:
    one.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    one.page.locator("#code").focus()
    one.page.keyboard.press("Control+V")


@pytest.mark.parametrize("scripts", [True, False])
def test_recovery_codes_are_downloaded_and_printed(site, visit, scripts):
    one = visit(site, user=f"download-{scripts}", scripts=scripts)
    one.log_in()
    one.go("/mfa/")
    one.press("Set up: %(title)s", title="Authenticator app")
    one.type(one.scan().code(), "Confirm")
    one.sees("Keep your recovery codes")
    with one.page.expect_download() as download:
        one.follow("Download")
    assert download.value.suggested_filename == "recovery-codes.txt"
    codes = one.page.locator("#codes").inner_text().split()
    assert Path(download.value.path()).read_text().split() == codes
    one.page.emulate_media(media="print")
    assert one.page.locator("#codes").is_visible()
    assert one.page.get_by_role("button").count() == 0


@pytest.mark.parametrize("scripts", [True, False])
def test_reload_back_and_double_submit_do_nothing_surprising(site, visit, scripts):
    one = visit(site, user=f"again-{scripts}", scripts=scripts)
    page = one.page
    one.log_in()
    phone, _ = one.bind()
    one.forget()
    one.log_in()
    one.type(wrong(phone), "Continue")
    one.reads("That code is not right. You have 4 attempts left.")
    page.reload()
    if scripts:  # the form is not sent again
        one.sees("Finish logging in")
        assert page.get_by_role("alert").count() == 0
    else:  # it is, as the browser says
        one.reads("That code is not right. You have 3 attempts left.")
    page.locator("#code").fill(phone.code(offset_steps=1))
    button = page.get_by_role("button", name="Continue")
    button.dblclick() if scripts else button.click()
    one.is_home()
    one.go("/mfa/challenge")
    one.reads("This has expired, or it was finished already.")
    one.reads("You are signed in as ")
    one.follow("Go on")
    assert page.url == f"{site}/"


def test_a_second_tab_says_that_the_login_was_finished_in_the_first(site, visit):
    one = visit(site, user="tabs")
    one.log_in()
    _, codes = one.bind()
    one.forget()
    one.log_in()
    first, second = one.page, one.context.new_page()
    second.goto(f"{site}/mfa/challenge")
    second.locator("#code").fill("123456")
    one.follow("Recovery code")
    one.type(codes[0], "Continue")
    one.is_home()
    one.page = second
    one.press("Continue")
    one.reads("You are signed in as ")
    assert first.url == f"{site}/home?first=1"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_locked_user_sees_when_the_lock_ends(sites, visit, scripts):
    one = visit(sites("locking", user_failures=1), user=f"locked-{scripts}", scripts=scripts)
    one.log_in()
    phone, _ = one.bind()
    one.forget()
    one.log_in()
    one.type(wrong(phone), "Continue")
    one.type(phone.code(offset_steps=1), "Continue")
    one.sees("Too many attempts")
    one.page.get_by_text("Try again in 15 minutes.").wait_for()
    assert one.page.locator("[data-countdown]").is_visible() is scripts
    if scripts:
        one.page.get_by_text("14:5").wait_for()
    one.follow("Back to the login")
    assert one.page.url.endswith("/login")


def test_the_released_login_may_redirect_to_another_host(site, visit):
    """``form-action`` in the policy would forbid it: Chromium applies it to the redirect after the form's POST."""
    one = visit(site, user="elsewhere")
    one.log_in()
    phone, _ = one.bind()
    one.forget()
    elsewhere = site.replace("localhost", "127.0.0.1") + "/home"
    one.log_in(f"?to={elsewhere}")
    one.type(phone.code(offset_steps=1), "Continue")
    one.page.wait_for_url(elsewhere)
    one.page.get_by_text("Hello nobody").wait_for()  # another host, so without the session's cookie
    one.allowed.add(elsewhere.split("/")[2])


def test_the_language_is_the_first_one_that_there_is(site, visit):
    for language, tag in (("fr-FR", "en"), ("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hant"), ("ja-JP", "ja")):
        one = visit(site, language=tag)
        one.context.set_extra_http_headers({"Accept-Language": f"x-none, {language};q=0.9, *;q=0.1"})
        one.go("/mfa/")
        one.sees("You are not signed in")
        assert one.page.locator("html").get_attribute("lang") == tag

"""The pages, walked through as a browser without JavaScript does."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest
import time_machine

from mfa_middleware import ConfigurationError, Factor, Settings, hookimpl
from mfa_middleware.errors import InvalidCode
from mfa_middleware.factor import Answer, Enrolling, Enrolment, Prepared, State
from mfa_middleware.models import Once
from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.web.pages.looks import Looks, _luminance, in_words
from tests.web.form_app import Browser, codes_of, form_app, form_of, heading, link, secret_of

NOW = 1_800_000_000
JSON = {"accept": "application/json"}
EVIL = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def browse(tmp_path, clock):
    """A browser on the wrapped app with those settings."""
    server = ExitStack()  # one at a time: the embedded stores serve one process

    def browse(*plugins: object, **settings: object) -> Browser:
        server.close()
        return server.enter_context(Browser(form_app(tmp_path, *plugins, **settings)))

    with server:
        yield browse


@pytest.fixture
def browser(browse):
    return browse()


def bind(browser: Browser) -> tuple[VirtualAuthenticator, list[str]]:
    """Set up a factor for who is signed in."""
    begun = browser.submit(browser.get("/mfa/"), "Set up: Authenticator app")
    authenticator = VirtualAuthenticator(secret_of(begun))
    kept = browser.submit(begun, "Confirm", code=authenticator.code())
    assert heading(kept) == "Keep your recovery codes"
    return authenticator, codes_of(kept)


@pytest.fixture
def bound(browser, clock):
    """Alice has a factor, is logged out, and the code that confirmed it is over."""
    browser.log_in()
    authenticator, codes = bind(browser)
    browser.cookies.clear()
    clock.shift(30)
    return authenticator, codes


def challenged(browser: Browser):
    """The page that a login leads to."""
    browser.get("/logout")
    held = browser.log_in()
    assert held.status_code == 303
    page = browser.get(held.headers["location"])
    assert heading(page) == "Finish logging in"
    return page


def wrong(authenticator: VirtualAuthenticator) -> str:
    """Six digits that are no code of that authenticator now."""
    right = {authenticator.code(offset_steps=step) for step in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


class TestLogin:
    def test_a_right_code_gives_the_login_exactly_as_the_app_answered(self, browser, bound):
        authenticator, _ = bound
        page = challenged(browser)
        assert "remember_me" not in browser.cookies
        typed = authenticator.code()
        released = browser.submit(page, "Continue", code=f"{typed[:3]} {typed[3:]}")
        assert (released.status_code, released.headers["location"]) == (302, "/home?first=1")
        assert browser.cookies["remember_me"] == "the-app-remembers"
        assert "mfa_token" not in browser.cookies
        assert "Hello alice" in browser.get("/home").text

    def test_a_wrong_code_asks_again_says_so_and_how_many_attempts_are_left(self, browser, bound):
        authenticator, _ = bound
        refused = browser.submit(challenged(browser), "Continue", code=wrong(authenticator))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"]
        assert "That code is not right. You have 4 attempts left." in refused.text
        assert 'role="alert"' in refused.text
        assert 'aria-describedby="code-error code-hint"' in refused.text
        assert "Hello nobody" in browser.get("/home").text
        assert browser.submit(refused, "Continue", code=authenticator.code()).status_code == 302

    def test_the_last_wrong_code_leads_back_to_the_login(self, browser, bound):
        authenticator, _ = bound
        page = challenged(browser)
        for _ in range(4):
            page = browser.submit(page, "Continue", code=wrong(authenticator))
        assert "You have one attempt left." in page.text
        last = browser.submit(page, "Continue", code=wrong(authenticator))
        assert last.status_code == 401
        assert "it was the last attempt" in last.text
        assert link(last, "Log in") == "/login"

    def test_a_locked_user_is_told_when_to_try_again(self, browse, bound):
        authenticator, _ = bound
        browser = browse(user_failures=1)
        page = challenged(browser)
        browser.submit(page, "Continue", code=wrong(authenticator))
        locked = browser.submit(page, "Continue", code=authenticator.code())
        assert locked.status_code == 429
        assert locked.headers["retry-after"] == "900"
        assert "Try again in 15 minutes." in locked.text
        assert link(locked, "Back to the login") == "/login"  # by then the held login has expired

    def test_a_short_lock_leads_back_to_the_challenge(self, browse, bound):
        authenticator, _ = bound
        browser = browse(user_failures=1, lockout=60)
        page = challenged(browser)
        browser.submit(page, "Continue", code=wrong(authenticator))
        locked = browser.submit(page, "Continue", code=authenticator.code())
        assert 'data-countdown="60"' in locked.text
        assert link(locked, "Try again") == "/mfa/challenge"

    @pytest.mark.parametrize("path", ["/mfa/challenge", "/mfa/enrol"])
    def test_an_expired_login_is_no_dead_end(self, browser, bound, clock, path):
        challenged(browser)
        cookie = browser.cookies["mfa_token"]
        clock.shift(301)
        expired = browser.get(path, headers={"cookie": f"mfa_token={cookie}"})
        assert expired.status_code == 401
        assert heading(expired) == "Start again"
        assert link(expired, "Log in") == "/login"

    def test_a_form_sent_twice_leads_back_to_the_login(self, browser, bound, clock):
        authenticator, _ = bound
        page = challenged(browser)
        token = {"cookie": f"mfa_token={browser.cookies['mfa_token']}"}
        browser.submit(page, "Continue", code=authenticator.code())
        again = browser.post("/mfa/verify", data={"factor": "totp", "code": authenticator.code()}, headers=token)
        assert again.status_code == 401
        assert link(again, "Log in") == "/login"

    def test_the_code_of_one_tab_does_not_answer_the_login_of_another(self, browser, bound):
        authenticator, _ = bound
        first = challenged(browser)
        second = challenged(browser)
        elsewhere = browser.submit(first, "Continue", code=wrong(authenticator))
        told = browser.get(elsewhere.headers["location"])
        assert heading(told) == "Finish logging in"
        assert "Another login was begun in this browser" in told.text
        refused = browser.submit(second, "Continue", code=wrong(authenticator))
        assert "You have 4 attempts left." in refused.text  # the first one's answer did not count
        assert browser.submit(told, "Continue", code=authenticator.code()).status_code == 302

    def test_who_goes_back_after_the_login_is_told_so_and_led_on(self, browser, bound):
        authenticator, _ = bound
        browser.submit(challenged(browser), "Continue", code=authenticator.code())
        back = browser.get("/mfa/challenge")
        assert "You are signed in as <strong>alice</strong>." in back.text
        assert link(back, "Go on") == "/"
        assert link(back, "Log in") == "/login"

    def test_a_recovery_code_is_one_click_away(self, browser, bound):
        _, codes = bound
        page = browser.get(link(challenged(browser), "Recovery code"))
        assert 'inputmode="text"' in page.text
        assert link(page, "Authenticator app").startswith("/mfa/challenge?factor=totp")
        refused = browser.submit(page, "Continue", code="0000-0000-0000-0000")
        assert form_of(refused.text, "Continue").hidden == {"factor": "recovery_code"}
        assert browser.submit(refused, "Continue", code=codes[0]).status_code == 302

    def test_the_field_takes_a_code_as_phones_offer_it(self, browser, bound):
        page = challenged(browser).text
        assert 'autocomplete="one-time-code"' in page
        assert 'inputmode="numeric"' in page
        assert "autofocus" in page

    def test_a_guesser_is_not_told_that_a_code_is_one_of_another_time(self, browser, bound):
        authenticator, _ = bound
        refused = browser.submit(challenged(browser), "Continue", code=authenticator.code(offset_steps=10))
        assert "That code is not right. You have 4 attempts left." in refused.text

    def test_an_empty_code_is_asked_for_and_costs_nothing(self, browser, bound):
        empty = browser.submit(challenged(browser), "Continue", code="")
        assert empty.status_code == 422
        assert "Type the code." in empty.text

    @pytest.mark.parametrize("path", ["/mfa/verify", "/mfa/release", "/mfa/step-up"])
    def test_a_forms_address_loaded_again_leads_to_the_page(self, browser, bound, path):
        challenged(browser)
        again = browser.get(path)
        assert (again.status_code, again.headers["location"]) == (303, "/mfa/challenge")

    @pytest.mark.parametrize(
        ("patterns", "path"),
        [("POST /login", "/login"), ("* /auth/**, POST /sign-in", "/sign-in"), ("POST /a/*/b", "/")],
    )
    def test_the_way_back_is_the_first_login_path_without_a_star(self, browse, patterns, path):
        assert link(browse(login=patterns).get("/mfa/challenge"), "Log in") == path


class TestEnrolment:
    """``MFA_ENROLMENT=required``."""

    @pytest.fixture
    def browser(self, browse):
        return browse(enrolment="required")

    def test_it_goes_from_the_login_over_binding_to_the_released_login(self, browser):
        held = browser.log_in()
        assert (held.status_code, held.headers["location"]) == (303, "/mfa/enrol")
        begun = browser.submit(browser.get("/mfa/enrol"), "Set up: Authenticator app")
        assert re.search(r'<img src="data:image/svg\+xml', begun.text)
        kept = browser.submit(begun, "Confirm", code=VirtualAuthenticator(secret_of(begun)).code())
        assert len(codes_of(kept)) == 10
        released = browser.submit(kept, "Continue")
        assert (released.status_code, released.headers["location"]) == (302, "/home?first=1")
        assert "Hello alice" in browser.get("/home").text

    def test_a_wrong_code_asks_again_and_never_shows_the_secret_again(self, browser):
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/enrol"), "Set up: Authenticator app")
        authenticator = VirtualAuthenticator(secret_of(begun))
        refused = browser.submit(begun, "Confirm", code=wrong(authenticator))
        assert refused.status_code == 422
        assert "That code is not right." in refused.text
        assert secret_of(begun)[:4] not in refused.text
        assert link(refused, "Start again") == "/mfa/enrol"
        assert heading(browser.submit(refused, "Confirm", code=authenticator.code())) == "Keep your recovery codes"

    def test_going_on_before_anything_is_bound_leads_back_to_binding(self, browser):
        browser.log_in()
        early = browser.post("/mfa/release")
        assert (early.status_code, early.headers["location"]) == (303, "/mfa/enrol")
        assert "Hello nobody" in browser.get("/home").text

    def test_confirming_twice_still_leads_on_to_the_login(self, browser):
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/enrol"), "Set up: Authenticator app")
        code = VirtualAuthenticator(secret_of(begun)).code()
        browser.submit(begun, "Confirm", code=code)
        again = browser.submit(begun, "Confirm", code=code)
        assert (again.status_code, again.headers["location"]) == (303, "/mfa/enrol")
        page = browser.get("/mfa/enrol")
        assert heading(page) == "Your second factor is set up"
        assert codes_of(page) == []
        assert browser.submit(page, "Continue").status_code == 302

    def test_it_binds_for_who_logs_in_not_for_who_is_still_signed_in_in_this_browser(self, browser):
        for user, before in (("bob", "nobody"), ("alice", "bob")):
            browser.log_in(user)
            assert f"Hello {before}" in browser.get("/home").text
            begun = browser.submit(browser.get("/mfa/enrol"), "Set up: Authenticator app")
            kept = browser.submit(begun, "Confirm", code=VirtualAuthenticator(secret_of(begun)).code())
            assert browser.submit(kept, "Continue").status_code == 302
            assert f"Hello {user}" in browser.get("/home").text
            assert browser.get("/mfa/").text.count("Change</a>") == 1

    def test_without_the_token_nothing_is_bound_even_for_who_is_signed_in(self, browse):
        browser = browse()
        browser.log_in()
        refused = browser.post("/mfa/enrol", data={"factor": "totp"})
        assert refused.status_code == 401
        assert link(refused, "Log in") == "/login"


class TestManagement:
    def test_nobody_is_led_to_the_login(self, browser):
        page = browser.get("/mfa/")
        assert page.status_code == 401
        assert link(page, "Log in") == "/login"

    def test_a_first_factor_is_set_up_and_listed(self, browser):
        browser.log_in()
        assert "asks for nothing but the password" in browser.get("/mfa/").text
        bind(browser)
        page = browser.get("/mfa/").text
        assert "asks for one of these" in page
        assert "Added " in page
        assert "10 codes left" in page

    def test_no_later_page_shows_a_secret_or_a_code_again(self, browser):
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/"), "Set up: Authenticator app")
        secret = secret_of(begun)
        codes = codes_of(browser.submit(begun, "Confirm", code=VirtualAuthenticator(secret).code()))
        later = [browser.get("/mfa/"), browser.get("/mfa/codes"), browser.get(link(browser.get("/mfa/"), "Change"))]
        for page in later:
            assert page.status_code == 200
            text = page.text.replace(" ", "")
            assert secret not in text
            assert not any(code in text for code in codes)

    def test_rename_disable_enable_remove(self, browser):
        browser.log_in()
        bind(browser)
        edit = link(browser.get("/mfa/"), "Change")
        for button, typed, told in (
            ("Rename", {"label": "My phone"}, "The name was changed."),
            ("Disable", {}, "It is disabled: no login asks for it."),
            ("Enable", {}, "It is enabled: logins ask for it again."),
        ):
            done = browser.submit(browser.get(edit), button, **typed)
            page = browser.get(done.headers["location"]).text
            assert "<h2>My phone" in page
            assert told in page
            assert ("Disabled" in page) is (button == "Disable")
        removed = browser.submit(browser.get(edit), "Yes, remove it")
        page = browser.get(removed.headers["location"]).text
        assert "It was removed." in page
        assert "My phone" not in page
        assert browser.get(edit).status_code == 404

    def test_a_bad_name_is_told_beside_its_field(self, browser):
        browser.log_in()
        bind(browser)
        refused = browser.submit(browser.get(link(browser.get("/mfa/"), "Change")), "Rename", label="a\x01b")
        assert refused.status_code == 422
        assert 'aria-describedby="label-error"' in refused.text

    def test_a_new_secret_replaces_the_old_one_once_it_is_confirmed(self, browser, clock):
        browser.log_in()
        bind(browser)
        clock.shift(30)
        begun = browser.submit(browser.get(link(browser.get("/mfa/"), "Change")), "Set up anew")
        assert "What you have works until the new one is confirmed." in begun.text
        fresh = VirtualAuthenticator(secret_of(begun))
        assert browser.submit(begun, "Confirm", code=fresh.code()).headers["location"] == "/mfa/?done=bound"
        clock.shift(30)
        assert browser.submit(challenged(browser), "Continue", code=fresh.code()).status_code == 302

    def test_new_recovery_codes_void_the_former_ones(self, browser):
        browser.log_in()
        _, old = bind(browser)
        kept = browser.submit(browser.get("/mfa/codes"), "Make new codes")
        assert kept.status_code == 201
        assert len(codes_of(kept)) == 10
        page = browser.get(link(challenged(browser), "Recovery code"))
        assert browser.submit(page, "Continue", code=old[0]).status_code == 401
        assert browser.submit(page, "Continue", code=codes_of(kept)[0]).status_code == 302

    def test_a_label_is_text_and_never_markup(self, browser):
        browser.log_in("<b>alice</b>")
        bind(browser)
        label = '"><script>alert(1)</script>'
        edit = link(browser.get("/mfa/"), "Change")
        browser.submit(browser.get(edit), "Rename", label=label)
        for page in (browser.get("/mfa/").text, browser.get(edit).text):
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
            assert "<b>alice" not in page

    def test_confirming_twice_says_that_it_was_finished_already(self, browser):
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/"), "Set up: Authenticator app")
        code = VirtualAuthenticator(secret_of(begun)).code()
        browser.submit(begun, "Confirm", code=code)
        again = browser.submit(begun, "Confirm", code=code)
        page = browser.get(again.headers["location"])
        assert heading(page) == "Second factors"
        assert "That was finished already, or it has expired." in page.text

    @pytest.mark.parametrize("steps", [-10, 10])
    def test_a_phone_whose_clock_is_off_is_told_so_when_it_is_bound(self, browser, steps):
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/"), "Set up: Authenticator app")
        code = VirtualAuthenticator(secret_of(begun)).code(offset_steps=steps)
        refused = browser.submit(begun, "Confirm", code=code)
        assert "Set the clock of your phone to automatic" in refused.text

    def test_a_further_factor_is_added_and_each_gets_in(self, browser, clock):
        browser.log_in()
        first, _ = bind(browser)
        chooser = browser.get(link(browser.get("/mfa/"), "Add another"))
        assert 'value="Authenticator app 2"' in chooser.text
        begun = browser.submit(chooser, "Set up: Authenticator app", label="On my tablet")
        second = VirtualAuthenticator(secret_of(begun))
        done = browser.submit(begun, "Confirm", code=second.code())
        assert "<h2>On my tablet</h2>" in browser.get(done.headers["location"]).text
        for phone in (first, second):
            clock.shift(30)
            assert browser.submit(challenged(browser), "Continue", code=phone.code()).status_code == 302

    def test_who_has_nothing_yet_is_not_asked_to_add_another(self, browser):
        browser.log_in()
        assert browser.get("/mfa/add").headers["location"] == "/mfa/"


class TestStepUp:
    @pytest.fixture
    def stale(self, browser, bound, clock):
        """Alice is signed in, and her proof is over."""
        authenticator, _ = bound
        browser.submit(challenged(browser), "Continue", code=authenticator.code())
        clock.shift(601)
        return authenticator

    @pytest.mark.parametrize("path", ["edit", "/mfa/codes", "/mfa/add"])
    def test_a_page_of_changes_asks_for_a_proof_first_and_comes_back(self, browser, stale, path):
        path = link(browser.get("/mfa/"), "Change") if path == "edit" else path
        page = browser.submit(browser.get(path), "Prove that it is you")
        asked = browser.get(page.headers["location"])
        assert heading(asked) == "Prove that it is you"
        assert link(asked, "Go back") == path
        refused = browser.submit(asked, "Continue", code=wrong(stale))
        proven = browser.submit(refused, "Continue", code=stale.code())
        assert (proven.status_code, proven.headers["location"]) == (303, path)
        assert "Prove that it is you" not in browser.get(path).text

    @pytest.mark.parametrize(
        ("button", "typed"), [("Rename", {"label": "x"}), ("Disable", {}), ("Yes, remove it", {}), ("Set up anew", {})]
    )
    def test_a_form_whose_proof_has_expired_leads_over_a_proof_back_to_it(self, browser, bound, clock, button, typed):
        authenticator, _ = bound
        browser.submit(challenged(browser), "Continue", code=authenticator.code())
        edit = link(browser.get("/mfa/"), "Change")
        form = browser.get(edit)
        clock.shift(601)
        asked = browser.submit(form, button, **typed)
        page = browser.get(asked.headers["location"])
        assert heading(page) == "Prove that it is you"
        proven = browser.submit(page, "Continue", code=authenticator.code())
        assert (proven.status_code, proven.headers["location"]) == (303, edit)
        assert browser.submit(browser.get(edit), button, **typed).status_code in (201, 303)

    @pytest.mark.parametrize(
        ("path", "button", "typed"),
        [("/mfa/codes", "Make new codes", {}), ("/mfa/add", "Set up: Authenticator app", {"label": "x"})],
    )
    def test_new_codes_and_another_factor_lead_over_a_proof_too(self, browser, bound, clock, path, button, typed):
        authenticator, _ = bound
        browser.submit(challenged(browser), "Continue", code=authenticator.code())
        form = browser.get(path)
        clock.shift(601)
        page = browser.get(browser.submit(form, button, **typed).headers["location"])
        proven = browser.submit(page, "Continue", code=authenticator.code())
        assert proven.headers["location"] == path

    @pytest.mark.parametrize(
        "evil",
        [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/../admin",
            "javascript:alert(1)",
            "/a//b",
            "/%2e",
        ],
    )
    def test_the_way_back_never_leaves_the_mount(self, browser, stale, evil):
        begun = browser.post("/mfa/step-up", params={"next": evil})
        page = browser.get("/mfa/challenge", params={"next": evil})
        assert begun.headers["location"] == "/mfa/challenge?next=/"
        assert link(page, "Go back") == "/mfa/"
        data = {"factor": "totp", "code": stale.code()}
        assert browser.post("/mfa/verify", params={"next": evil}, data=data).headers["location"] == "/mfa/"

    def test_an_expired_proof_leads_back_to_where_it_began(self, browser, stale, clock):
        asked = browser.submit(browser.get("/mfa/codes"), "Prove that it is you")
        page = browser.get(asked.headers["location"])
        clock.shift(301)
        expired = browser.submit(page, "Continue", code=stale.code())
        assert expired.status_code == 401
        assert link(expired, "Go back") == "/mfa/codes"


class Post:
    """A factor that sends its codes."""

    name, title, amr = "post", "Code by post", "otp"

    async def enrol(self, enrolling: Enrolling) -> Enrolment:
        return Enrolment(state={}, shown={})

    async def challenge(self, state: State) -> Prepared:
        return Prepared(shown={"sentTo": "a…@<host>"}, kept={"code": "4711"})

    async def check(self, state: State, answer: Answer) -> Once:
        if answer.code != (answer.kept or {"code": "0000"})["code"]:
            raise InvalidCode("another code")
        return Once(answer.code.encode())

    @hookimpl
    def mfa_register_factors(self, settings: Settings) -> list[Factor]:
        return [self]


class TestFactorThatSends:
    def test_its_code_is_sent_by_a_button_and_then_asked_for(self, browse):
        browser = browse(Post(), factors="post")
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/"), "Set up: Code by post")
        assert "<img" not in begun.text
        assert browser.submit(begun, "Confirm", code="0000").headers["location"] == "/mfa/?done=bound"
        page = challenged(browser)
        sent = browser.submit(page, "Send a code")
        assert "A code was sent to a…@&lt;host&gt;." in sent.text
        refused = browser.submit(sent, "Continue", code="0000")
        assert refused.status_code == 401
        assert browser.submit(refused, "Continue", code="4711").status_code == 302

    def test_a_demanded_binding_without_recovery_codes_goes_on_to_the_login(self, browse):
        browser = browse(Post(), factors="post", enrolment="required")
        browser.log_in()
        begun = browser.submit(browser.get("/mfa/enrol"), "Set up: Code by post")
        confirmed = browser.submit(begun, "Confirm", code="0000")
        page = browser.get(confirmed.headers["location"])
        assert "recovery codes" not in page.text
        assert browser.submit(page, "Continue").status_code == 302


class TestCrossOrigin:
    def test_every_post_is_refused_that_a_page_of_another_origin_sends(self, browser):
        browser.log_in()
        bind(browser)
        before = browser.get("/mfa/authenticators", headers=JSON).json()
        row = before["authenticators"][0]["id"]
        for path, data in (
            ("/mfa/enrol", {"factor": "totp"}),
            (f"/mfa/enrol/{row}/confirm", {"code": "000000"}),
            (f"/mfa/edit/{row}", {"enabled": "no"}),
            (f"/mfa/edit/{row}/remove", {}),
            ("/mfa/authenticators", {"factor": "totp"}),
            ("/mfa/recovery-codes", {}),
            ("/mfa/step-up", {}),
        ):
            refused = browser.post(path, data=data, headers=EVIL)
            assert refused.status_code == 403, path
            assert heading(refused) == "Nothing was changed"
        assert browser.get("/mfa/authenticators", headers=JSON).json() == before

    def test_no_page_changes_anything_by_get(self, browser):
        browser.log_in()
        bind(browser)
        before = browser.get("/mfa/authenticators", headers=JSON).json()
        row = before["authenticators"][0]["id"]
        for path in (
            "/",
            "/add",
            "/codes",
            "/challenge",
            "/enrol",
            f"/edit/{row}",
            f"/edit/{row}/remove",
            "/recovery-codes",
        ):
            browser.get(f"/mfa{path}")
        assert browser.get("/mfa/authenticators", headers=JSON).json() == before


class TestLooks:
    PAGES = ("/mfa/", "/mfa/challenge", "/mfa/codes", "/mfa/no-such-page")

    @pytest.mark.parametrize("path", PAGES)
    def test_every_page_has_a_strict_policy_and_is_not_stored(self, browser, path):
        page = browser.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;")
        assert "frame-ancestors 'none'; base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page.text)
        assert re.search(r'<html lang="en">', page.text)

    def test_the_stylesheet_is_kept_under_its_version_alone(self, browse):
        browser = browse(brand_color="#ffcc00")
        href = re.search(r'rel="stylesheet" href="([^"]+)"', browser.get("/mfa/").text)
        assert href is not None
        style = browser.get(href[1], headers={"accept": "text/css,*/*;q=0.1"})
        assert style.headers["content-type"].startswith("text/css")
        assert "immutable" in style.headers["cache-control"]
        assert "--accent: #ffcc00" in style.text
        assert "--on-accent: #000000" in style.text
        assert browser.get(href[1].partition("?")[0]).headers["cache-control"] == "no-store"

    def test_the_stylesheet_of_another_colour_has_another_version(self):
        versions = {Looks(Settings(brand_color=color))._version for color in ("", "#ffcc00", "#001122")}
        assert len(versions) == 3

    @pytest.mark.parametrize("color", ["#ffffff", "#000000", "#777777", "#1f5fbf", "#e91e63"])
    def test_text_on_the_accent_colour_can_be_read(self, color):
        """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
        known = Looks(Settings(brand_color=color))._in("en").globals
        for ground, text in (
            (color, known["on_accent"]),
            (known["bright_accent"], known["on_bright_accent"]),
            (known["bright_accent"], "#1a1d22"),  # the accent colour itself, on a dark card
        ):
            light, dark = sorted((_luminance(str(ground)), _luminance(str(text))), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (1, "1 second"),
            (45, "45 seconds"),
            (61, "2 minutes"),
            (900, "15 minutes"),
            (3601, "2 hours"),
            (86_400, "1 day"),
            (86_401, "2 days"),
        ],
    )
    def test_a_time_to_wait_is_rounded_up(self, seconds, words):
        assert in_words(seconds, "en") == words

    @pytest.mark.parametrize("name", ["secrets.css", "..%2fbase.html", "base.html"])
    def test_no_other_file_is_served(self, browser, name):
        assert browser.get(f"/mfa/static/{name}").status_code == 404

    def test_the_mount_without_its_slash_leads_to_the_overview(self, browser):
        browser.log_in()
        page = browser.get("/mfa", follow_redirects=True)
        assert heading(page) == "Second factors"

    def test_name_and_logo_of_the_brand(self, browse):
        page = browse(brand_name="Acme & Sons", brand_logo="https://cdn.example/logo.svg").get("/mfa/")
        assert '<img src="https://cdn.example/logo.svg" alt="Acme &amp; Sons"' in page.text
        assert "img-src 'self' data: https://cdn.example;" in page.headers["content-security-policy"]

    @pytest.mark.parametrize("logo", ["https://cdn.example; script-src */logo.svg", "//cdn.example/a", "javascript:1"])
    def test_a_logo_cannot_widen_the_policy(self, logo):
        with pytest.raises(ConfigurationError, match="MFA_BRAND_LOGO"):
            Settings(brand_logo=logo)

    def test_a_template_in_the_folder_takes_the_place_of_ours_and_may_extend_it(self, browse, tmp_path):
        folder = tmp_path / "templates"
        folder.mkdir()
        folder.joinpath("refused.html").write_text(
            '{% extends "ours/refused.html" %}{% block main %}Call us. {{ super() }}{% endblock %}'
        )
        page = browse(templates=str(folder)).get("/mfa/")
        assert "Call us." in page.text
        assert link(page, "Log in") == "/login"

    def test_a_template_that_fails_gives_a_problem_document(self, browse, tmp_path):
        tmp_path.joinpath("refused.html").write_text("{{ nowhere }}")
        answer = browse(templates=str(tmp_path)).get("/mfa/")
        assert answer.status_code == 401
        assert answer.json()["code"] == "not_signed_in"

    def test_a_template_that_fails_where_there_is_no_page_gives_a_problem_document(self, browse, tmp_path):
        tmp_path.joinpath("refused.html").write_text("{{ nowhere }}")
        answer = browse(templates=str(tmp_path)).get("/mfa/nowhere")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(ConfigurationError, match="MFA_TEMPLATES"):
            Settings(templates=str(tmp_path / "nowhere"))

    def test_a_template_that_does_not_parse_is_named(self, tmp_path):
        tmp_path.joinpath("challenge.html").write_text("{% if %}")
        with pytest.raises(ConfigurationError, match=r"MFA_TEMPLATES: .*challenge\.html"):
            Looks(Settings(templates=str(tmp_path)))


class TestBesideTheApi:
    def test_who_asks_for_json_gets_json(self, browser):
        browser.log_in()
        begun = browser.post("/mfa/authenticators", json={"factor": "totp"}, headers=JSON)
        assert begun.status_code == 201
        assert json.loads(begun.text)["status"] == "pending"
        assert browser.get("/mfa/nothing", headers=JSON).headers["content-type"] == "application/problem+json"

    def test_pages_are_not_in_the_openapi_document(self, browser):
        paths = browser.get("/mfa/openapi.json", headers=JSON).json()["paths"]
        assert not any(path.startswith(("/edit", "/enrol", "/codes", "/static")) for path in paths)

"""Whoever reads Chinese or Japanese finds every sentence in it; whoever reads anything else finds English."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po

from mfa_middleware.dialects.native import STATUS, Native
from mfa_middleware.errors import LoginNotHeld
from mfa_middleware.testing import VirtualAuthenticator
from mfa_middleware.translations import LANGUAGES, catalogue, language_of, translated
from tests.catalogues import CATALOGUES, extracted
from tests.documents import ROOT
from tests.web.form_app import Browser, form_app, heading

OTHERS = [one for one in LANGUAGES if one != "en"]
_NAMES = re.compile(r"%\(\w+\)s|</?strong>")


@pytest.fixture(scope="module")
def sentences():
    """Each sentence of the code, plural forms with it."""
    return {one.id for one in extracted() if one.id}


def words_of(language: str):
    with CATALOGUES[language].open("rb") as file:
        return {one.id: one for one in read_po(file, locale=language.replace("-", "_")) if one.id}


def test_what_is_extracted_is_what_people_may_see(sentences):
    assert {"Finish logging in", "Authenticator app", "That code is not right.", "Go back", "Too Many Requests"} <= (
        sentences
    )
    assert {error.message for error in STATUS} <= sentences


@pytest.mark.parametrize("language", OTHERS)
def test_no_sentence_is_missing_and_none_is_unused(sentences, language):
    """``python -m tests.catalogues`` adds and removes; the words are for people to find."""
    words = words_of(language)
    assert words.keys() == sentences
    assert [one.id for one in words.values() if one.fuzzy or not all(_texts(one.string))] == []


@pytest.mark.parametrize("language", OTHERS)
def test_each_translation_has_the_names_and_the_markup_of_its_sentence(language):
    for one in words_of(language).values():
        of = _texts(one.id)[-1]
        for text in _texts(one.string):
            assert sorted(_NAMES.findall(text)) == sorted(_NAMES.findall(of)), of
            assert text.count("%") == of.count("%"), of


def _texts(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def test_there_is_a_catalogue_for_each_language_and_no_other():
    folder = ROOT / "mfa_middleware" / "translations"
    assert {one.stem for one in folder.glob("*.po")} == set(OTHERS)
    assert all(catalogue(one).gettext("Continue") != "Continue" for one in OTHERS)


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("zh", "zh-Hans"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("ja", "ja"),
        ("JA-jp", "ja"),
        ("de, ja;q=0.2, zh;q=0.3", "zh-Hans"),
        ("ja;q=0, zh-TW;q=0.1", "zh-Hant"),
        ("ja;q=much, zh", "zh-Hans"),
        ("de,*;q=0.5", "en"),
        ("../../etc/passwd, \x00, -, ja", "ja"),
        ("x" * 100_000, "en"),
    ],
)
def test_the_language_is_the_best_liked_one_that_there_is(accept, language):
    assert language_of(accept) == language


def test_a_sentence_of_somebody_else_stays_as_it_is():
    assert translated("Code by pigeon", "ja") == "Code by pigeon"
    assert translated("", "ja") == ""


def test_the_setting_wins_over_the_browser(tmp_path):
    with Browser(form_app(tmp_path, locale="ja")) as browser:
        page = browser.get("/mfa/", headers={"accept-language": "zh-CN"})
    assert '<html lang="ja">' in page.text
    assert page.headers["content-language"] == "ja"
    assert heading(page) == translated("You are not signed in", "ja")


def test_dates_and_durations_are_written_as_in_that_language(tmp_path):
    with Browser(form_app(tmp_path, user_failures=1)) as browser:
        browser.headers["accept-language"] = "zh-CN"
        browser.log_in()
        begun = browser.submit(
            browser.get("/mfa/"), translated("Set up: %(title)s", "zh-Hans") % {"title": "身份验证器应用"}
        )
        assert '<html lang="zh-Hans">' in begun.text
        path = re.search(r'action="(/mfa/authenticators/[^"]+)"', begun.text)
        assert path is not None
        browser.post(path[1], data={"code": "none"})
        locked = browser.post(path[1], data={"code": "none"})
    assert "请在15分钟后重试。" in locked.text


def test_the_json_is_in_that_language_too_and_its_codes_never_change(tmp_path):
    with Browser(form_app(tmp_path)) as browser:
        browser.log_in()
        begun = browser.post("/mfa/authenticators", json={"factor": "totp"}, headers={"accept": "application/json"})
        phone = VirtualAuthenticator(begun.json()["uri"])
        browser.post(f"/mfa/authenticators/{begun.json()['id']}/confirm", json={"code": phone.code()})
        browser.get("/logout")
        browser.headers.update({"accept": "application/json", "accept-language": "zh-CN"})
        challenge = browser.log_in().json()
        answer = {"mfaToken": challenge["mfaToken"], "factor": "totp", "code": "none"}
        wrong = browser.post("/mfa/verify", json=answer).json()
        nowhere = browser.get("/mfa/nowhere").json()
    assert (challenge["title"], challenge["code"]) == ("请完成两步验证以登录。", "mfa_required")
    assert (wrong["title"], wrong["detail"], wrong["code"]) == ("未授权", "验证码不正确。", "invalid_code")
    assert (nowhere["detail"], nowhere["code"]) == ("此处没有该内容。", "not_found")


def test_a_login_that_is_refused_is_told_in_that_language():
    scope = {"headers": [(b"accept", b"text/html"), (b"accept-language", b"ja")]}
    for locale, language in (("", "ja"), ("zh-Hant", "zh-Hant")):
        page = Native(locale).problem(LoginNotHeld("why"), scope, trace_id="t").body.decode()
        assert f'<html lang="{language}">' in page
        assert translated(LoginNotHeld.message, language) in page

"""Which requests may be logins: any spelling that a router might take for the path."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import ConfigurationError
from mfa_middleware.paths import canonical, login_matcher, parse_patterns

POST = frozenset({"POST"})
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "path",
    [
        "/login",
        "/login/",
        "//login",
        "/login//",
        "/%6cogin",
        "/%6Cogin",
        "/%256cogin",
        "/login%2f",
        "/LOGIN",
        "/Login",
        "/./login",
        "/x/../login",
        "/login;v=1",
        "/login?x=1",
        "/login%3fx=1",
        "/login#top",
        "/login%00",
        "\\login",
        "/login\\",
        "/login ",
        "/ login",
        "/login%20",
        "/login%09",
        "http://app.example/login",
        "https://app.example:443//login/",
        "/../login",
        "/x/%2e%2e/login",
        "/%2e/login",
        "login",
    ],
)
def test_every_spelling_of_a_declared_path_may_be_a_login(path):
    assert login_matcher("POST /login")(path, "") == POST


@pytest.mark.parametrize(
    "path", ["/", "", "/logi", "/login2", "/login/x", "/x/login", "/login.json", "/log/in", "/login-x", "/log%2fin"]
)
def test_other_paths_are_none(path):
    assert login_matcher("POST /login")(path, "") == NONE


@pytest.mark.parametrize(
    "path", ["/login", "/app/login", "/app//login/", "/APP/login", "/%61pp/login", "/app/app/login"]
)
def test_a_root_path_makes_no_difference(path):
    expected = NONE if path == "/app/app/login" else POST
    assert login_matcher("POST /login")(path, "/app") == expected


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("* /auth/*", "/auth/login", True),
        ("* /auth/*", "/auth", False),
        ("* /auth/*", "/auth/a/b", False),
        ("* /auth/*/x", "/auth/a/x", True),
        ("* /auth/**", "/auth", True),
        ("* /auth/**", "/auth/a/b/c", True),
        ("* /auth/**", "/author", False),
        ("* /**/login", "/login", True),
        ("* /**/login", "/a/b/login", True),
        ("* /", "/", True),
        ("* /", "/x", False),
        ("* /a.b", "/axb", False),
        ("* /a+b", "/a+b", True),
        ("* /Login/", "/login", True),
        ("* /%6cogin", "/login", True),
        ("* /caf%C3%A9", "/café", True),
        ("* /日本", "/%E6%97%A5%E6%9C%AC", True),
    ],
)
def test_stars_match_segments(pattern, path, matches):
    assert bool(login_matcher(pattern)(path, "")) is matches


def test_all_methods_that_are_declared_for_a_path_are_told():
    methods = login_matcher("POST /login, put /login, * /auth/**")
    assert methods("/login", "") == {"POST", "PUT"}
    assert methods("/auth/x", "") == {"*"}
    assert methods("/other", "") == NONE


@pytest.mark.parametrize(
    "text",
    [
        "POST",
        "/login",
        "POST login",
        "POST /a b",
        "POST/login",
        "P0ST /login",
        "POST http://x/login",
        "POST /login POST /x",
    ],
)
def test_what_is_no_method_and_path_stops_start_up(text):
    with pytest.raises(ConfigurationError, match="MFA_LOGIN"):
        parse_patterns(text)


@given(st.text())
def test_any_path_has_one_canonical_form(path):
    once = canonical(path)
    assert once.startswith("/")
    assert "//" not in once
    if path.count("%25") == 0:  # what is encoded many times over is taken for a login's path, whatever it is
        assert canonical(once) == once


def test_a_path_whose_decoding_has_no_end_could_be_any():
    methods = login_matcher("POST /login, GET /magic/*")
    assert methods("/%2525252525252525256cogin", "") == {"POST", "GET"}
    assert methods("/about", "") == frozenset()


@pytest.mark.parametrize(
    "first", ["en", "en%3Bx", "en%3Fx", "en%23x", "%2E", "%20", "en%5Cx", "en%252Fx", ";", "%00", "en%0Ax"]
)
def test_a_segment_that_an_asterisk_stands_for_may_hold_anything_but_a_slash(first):
    for pattern in ("POST /*/login", "POST /**"):
        for path in (f"/{first}/login", unquote(f"/{first}/login")):
            assert login_matcher(pattern)(path, "") == {"POST"}


@given(st.text(), st.text())
def test_any_path_is_matched_or_not_and_nothing_is_raised(path, root_path):
    assert login_matcher("POST /login, * /**/x/*")(path, root_path) <= {"POST", "*"}

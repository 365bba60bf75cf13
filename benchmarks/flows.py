"""The complete flow of each contender: a login that is held or half done, and the code that finishes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks import people
from benchmarks.wire import Exchange, Reply, post, request


def expect(reply: Reply, status: int, within: bytes = b"", *, cookie: str = "") -> None:
    """Stop at any other reply: a flow that fails costs little."""
    if reply.status != status or within not in reply.body or cookie not in reply.cookies:
        raise AssertionError(f"{reply.status}: {reply.body[:300]!r}")


def ours(number: int) -> Exchange:
    """401 with an mfaToken, then the app's own answer."""
    held = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    expect(held, 401)
    answer = {"mfaToken": held.json()["mfaToken"], "factor": "totp", "code": people.code(number)}
    released = yield post("/mfa/verify", answer)
    expect(released, 200, cookie="session=")


def padded(padding: int) -> Callable[[int], Exchange]:
    """The same, with so many more bytes in the app's answer."""

    def exchange(number: int) -> Exchange:
        given = {"username": people.name(number), "password": people.PASSWORD, "padding": padding}
        held = yield post("/login", given)
        expect(held, 401)
        answer = {"mfaToken": held.json()["mfaToken"], "factor": "totp", "code": people.code(number)}
        released = yield post("/mfa/verify", answer)
        expect(released, 200, b"x" * padding)

    return exchange


def held(padding: int) -> Callable[[int], Exchange]:
    """Only its first half: a login that stays held."""

    def exchange(number: int) -> Exchange:
        given = {"username": people.name(number), "password": people.PASSWORD, "padding": padding}
        answered = yield post("/login", given)
        expect(answered, 401)

    return exchange


def recovery_code(number: int) -> Exchange:
    """As ours, with a code from paper."""
    held = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    code = people.recovery_codes(number)[0]
    released = yield post("/mfa/verify", {"mfaToken": held.json()["mfaToken"], "factor": "recovery_code", "code": code})
    expect(released, 200, cookie="session=")


def wrong_code(number: int) -> Exchange:
    """A login that is held, and a wrong code for it."""
    held = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    answer = {"mfaToken": held.json()["mfaToken"], "factor": "totp", "code": people.wrong(number)}
    refused = yield post("/mfa/verify", answer)
    expect(refused, 401, b"invalid_code")


def binding(number: int) -> Exchange:
    """Somebody without a factor logs in, binds an authenticator app (with its QR code), and confirms it."""
    passed = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    expect(passed, 200)
    begun = yield post("/mfa/authenticators", {"factor": "totp"}, Cookie=passed.cookies)
    expect(begun, 201)
    shown = begun.json()
    code = people.code_of(people.key_of(str(shown["secret"])), int(time.time() // 30))
    confirmed = yield post(f"/mfa/authenticators/{shown['id']}/confirm", {"code": code}, Cookie=passed.cookies)
    expect(confirmed, 200, b"recoveryCodes")


def page(cookies: Sequence[str]) -> Callable[[int], Exchange]:
    """The page that asks a browser for its code."""

    def exchange(number: int) -> Exchange:
        cookie = cookies[number % len(cookies)]
        shown = yield request("GET", "/mfa/challenge", fields={"Accept": "text/html", "Cookie": cookie})
        expect(shown, 200, b"<form")

    return exchange


def to_the_page(cookies: list[str]) -> Callable[[int], Exchange]:
    """A browser's login, which is sent to that page; its cookies are added."""

    def exchange(number: int) -> Exchange:
        given = {"username": people.name(number), "password": people.PASSWORD}
        sent = yield post("/login", given, Accept="text/html")
        expect(sent, 303)
        cookies.append(sent.cookies)

    return exchange


def floor(number: int) -> Exchange:
    """As ours."""
    held = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    expect(held, 401)
    released = yield post("/verify", {"mfaToken": held.json()["mfaToken"], "code": people.code(number)})
    expect(released, 200, cookie="session=")


def plain(number: int) -> Exchange:
    """The app's own login: no second factor."""
    signed_in = yield post("/login", {"username": people.name(number), "password": people.PASSWORD})
    expect(signed_in, 200, cookie="session=")


def allauth(number: int) -> Exchange:
    """django-allauth's client for apps: a session's token instead of a cookie."""
    begun = yield post("/_allauth/app/v1/auth/login", {"username": people.name(number), "password": people.PASSWORD})
    expect(begun, 401, b"mfa_authenticate")
    meta = begun.json()["meta"]
    assert isinstance(meta, dict)
    answer = {"code": people.code(number)}
    done = yield post("/_allauth/app/v1/auth/2fa/authenticate", answer, X_Session_Token=str(meta["session_token"]))
    expect(done, 200, b'"is_authenticated": true')


def flask_security(number: int) -> Exchange:
    """Flask-Security-Too by JSON, with its session cookie."""
    begun = yield post("/login", {"email": people.email(number), "password": people.PASSWORD})
    expect(begun, 200, b"tf_required")
    done = yield post("/tf-validate", {"code": people.code(number)}, Cookie=begun.cookies)
    expect(done, 200, cookie="session=")


def better_auth(number: int) -> Exchange:
    """better-auth, with its cookies, which it takes from a known origin alone. Its key is the secret's text."""
    origin = "http://benchmark.example.com"
    given = {"email": people.email(number), "password": people.PASSWORD}
    begun = yield post("/api/auth/sign-in/email", given, Origin=origin)
    expect(begun, 200, b"twoFactorRedirect")
    answer = {"code": people.code(number, as_text=True)}
    done = yield post("/api/auth/two-factor/verify-totp", answer, Origin=origin, Cookie=begun.cookies)
    expect(done, 200, b'"token"')

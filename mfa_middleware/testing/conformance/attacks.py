"""The attacks, as tests to inherit. Each docstring is the sentence that must be true of the app."""

from __future__ import annotations

import asyncio
import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mfa_middleware.testing.conformance.client import Client, Response
from mfa_middleware.testing.conformance.kit import Kit, attack
from mfa_middleware.testing.conformance.login import Kind, Login
from mfa_middleware.testing.conformance.spellings import (
    HARMLESS,
    cookie_spellings,
    is_like_session,
    looks,
    path_spellings,
)

_KINDS: tuple[Kind, ...] = ("form", "json", "multipart", "query")
_METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post")
_AT_ONCE = 5
_REFUSED = 403


class ConformanceWarning(UserWarning):
    """Something that is no hole by itself, and that somebody should look at."""


class Conformance(Kit):
    """Inherit it in a class whose name begins with ``Test``; give ``app``, ``user``, :meth:`login` and :meth:`who`.

    ::

        class TestMyApp(Conformance):
            app = my_app
            user = "alice"

            def login(self):
                return Login.form("/login", username="alice", password="wonderland")

            async def who(self, client):
                return (await client.get("/me")).json()["user"]

    The user's second factor is made by the kit, and taken away at the end.
    """

    # ------------------------------------------------------------------------------------------------------ the login

    @attack
    async def test_a_right_password_alone_signs_nobody_in(self) -> None:
        """A login with the right password is answered by a challenge, and nobody is signed in."""
        client = self.client()
        await self.held(client)
        if await self.signed_in(client):
            self._open(
                f"{self.login().name} is answered by a challenge, and yet {self.user} is signed in.",
                "what the client got or had before signs it in: see the other attacks for which cookie or token.",
            )

    @attack
    async def test_a_right_code_releases_the_login(self) -> None:
        """The right answer to the challenge gives the app's own login, and who() says the user."""
        client = self.client()
        token = await self.held(client)
        released = await self.verify(client, token, self.code())
        if not await self.signed_in(client):
            self._fail(
                f"The right code was answered {released.status_code}, and who() does not say {self.user!r} afterwards, "
                "so that no attack could be noticed: correct who() or `user` of this class. The log says: "
                f"{self._logged}."
            )

    @attack
    async def test_the_challenge_gives_nothing_of_the_login(self) -> None:
        """No cookie, token or header field of the app's login is in the challenge."""
        wrong = await self.send(self.client(), self.wrong_login())
        client = self.client()
        challenge = await self._challenge(client)
        released = await self.verify(client, self.mfa_token(challenge) or "", self.code())
        cookies = set(challenge.cookies) & (set(released.cookies) - set(wrong.cookies))
        fields = (set(challenge.headers) & set(released.headers)) - set(wrong.headers) - _PLAIN_FIELDS
        if cookies or fields or challenge.bearer_tokens:
            names = ", ".join(sorted(cookies | fields)) or "a bearer token"
            self._open(
                f"The challenge to {self.login().name} has {names} of the app's own login.",
                "what is added outside of the middleware cannot be held: put the middleware further out.",
            )

    @attack
    async def test_a_wrong_password_is_answered_as_without_a_factor(self) -> None:
        """Who does not know the password cannot tell whether the user has a second factor."""
        with_factor = await self.send(self.client(), self.wrong_login())
        await self._stage.free(self.user)
        without = await self.send(self.client(), self.wrong_login())
        if self.mfa_token(with_factor):
            self._fail("wrong_login() is a right one: give one with a wrong password.")
        if looks(with_factor) != looks(without):
            self._open(
                f"A wrong password is answered {with_factor.status_code} when {self.user} has a second factor, and "
                f"{without.status_code} otherwise; or the answers differ in their bodies or fields.",
                "MFA_LOGIN_USER must read whom the app signed in, and not who was asked for.",
            )

    @attack
    async def test_the_same_credentials_in_another_form_are_held(self) -> None:
        """JSON, a form, multipart or the query: what the app takes for a login is held."""
        login = self.login()
        if all(isinstance(value, str) for value in login.fields.values()):
            await self._each(replace(login, kind=kind) for kind in _KINDS)

    @attack
    async def test_other_spellings_of_the_path_are_held(self) -> None:
        """However the login's path is spelt, what the app takes for a login is held."""
        login = self.login()
        await self._each(replace(login, path=path) for path in path_spellings(login.path))

    @attack
    async def test_other_methods_are_held(self) -> None:
        """Whatever method the login comes with, what the app takes for a login is held."""
        login = self.login()
        methods = [replace(login, method=one) for one in _METHODS]
        await self._each([*methods, replace(login, method="GET", kind="query")])

    @attack
    async def test_a_browser_is_sent_to_the_challenge_and_not_signed_in(self) -> None:
        """A browser's login is held as that of a program is."""
        await self.held(self.client())
        client = self.client()
        client.headers["Accept"] = "text/html"
        await self.send(client, self.login())
        if await self.signed_in(client):
            self._open(f"{self.login().name} signs a browser in with the password alone.", self._mend_cookie(client))

    @attack
    async def test_other_logins_are_held(self) -> None:
        """Each further login that the author names signs nobody in with one factor."""
        await self._each_other_login_works()
        for login in self.other_logins():
            client = self.client()
            await self.send(client, login)
            if await self.signed_in(client):
                path = login.name if isinstance(login, Login) else "METHOD /path of its last request"
                self._open(
                    f"{login.name} signs {self.user} in without the second factor.",
                    f"declare it: MFA_LOGIN={self._settings.login}, {path}; or have the app call mark_login; or put "
                    "the middleware inside of the session middleware, where logins are seen on every path.",
                )

    # --------------------------------------------------------------------------------------- sessions from before

    @attack
    async def test_an_anonymous_session_from_before_stays_anonymous(self) -> None:
        """A session that the client had before the login is not signed in by a login that is held."""
        for page in self.visits:
            client = self.client()
            await client.get(page)
            thief = client.other(**client.cookies)
            response = await self.send(client, self.login())
            if await self.signed_in(thief):
                self._open(
                    f"A session got at {page} before a login is signed in by it, without the second factor.",
                    self._mend_cookie(thief),
                )
            await self._must_be_challenge(client, response)

    @attack
    async def test_a_session_id_of_the_attackers_choosing_stays_anonymous(self) -> None:
        """A session whose id the client made up is not signed in by a login that is held."""
        for name in await self._cookie_names():
            chosen = secrets.token_hex()
            client, thief = (self.client().other(**{name: chosen}) for _ in range(2))
            response = await self.send(client, self.login())
            if await self.signed_in(thief):
                self._open(
                    f"A session whose id is made up (cookie {name}) is signed in without the second factor.",
                    self._mend_cookie(thief),
                )
            await self._must_be_challenge(client, response)

    @attack
    async def test_odd_spellings_of_the_session_cookie_change_nothing(self) -> None:
        """Twice, quoted, in two fields, with blanks or ``$Version``: a session from before stays anonymous."""
        for name, value in [pair for one in await self._cookie_names() for pair in await self._ids(one)]:
            for spelled in cookie_spellings(name, value):
                client = self.client()
                client.spelled = spelled
                await self.send(client, self.login())
                thief = self.client().other(**{name: value})
                if await self.signed_in(thief):
                    self._open(
                        f"A session from before is signed in when its cookie is sent as {spelled!r}.",
                        self._mend_cookie(thief),
                    )

    @attack
    async def test_the_middleware_knows_the_session_cookies(self) -> None:
        """From outside: each cookie that looks like a session stands in MFA_SESSION_COOKIE (a warning, if not)."""
        known = self._stage.mfa.parts.session_cookies
        unknown = [name for name in await self._cookies_like_sessions() if not known.match(name)]
        if self._outside and unknown:
            wanted = ", ".join([self._settings.session_cookie, *unknown])
            warnings.warn(
                f"{', '.join(unknown)} looks like a session cookie, and is not in MFA_SESSION_COOKIE. If it signs "
                f"somebody in, set MFA_SESSION_COOKIE={wanted}.",
                ConformanceWarning,
                stacklevel=2,
            )

    # ------------------------------------------------------------------------------------------ tokens and codes

    @attack
    async def test_the_mfa_token_is_no_session(self) -> None:
        """The mfaToken signs nobody in, as a bearer token or as any cookie."""
        token = await self.held(self.client())
        bearer = self.client()
        bearer.bearer = token
        cookies = [self.client().other(**{name: token}) for name in await self._cookie_names()]
        for thief in (bearer, *cookies):
            if await self.signed_in(thief):
                taken = "bearer token" if thief is bearer else f"cookie {next(iter(thief.cookies))}"
                self._open(
                    f"The mfaToken signs {self.user} in, as {taken}.",
                    "the app must verify what it takes for a token: its key, audience and type.",
                )

    @attack
    async def test_a_wrong_code_releases_nothing(self) -> None:
        """A wrong answer to the challenge signs nobody in."""
        client = self.client()
        token = await self.held(client)
        right = self.code()
        await self.verify(client, token, right[:-1] + ("2" if right.endswith("1") else "1"))
        if await self.signed_in(client):
            self._open("A wrong code releases the login.", "see which factor plugin MFA_FACTORS puts in use.")

    @attack
    async def test_a_token_and_a_code_work_once(self) -> None:
        """Neither the mfaToken nor the code that released a login releases another."""
        code, first, second = self.code(), self.client(), self.client()
        token = await self.held(first)
        await self.verify(first, token, code)
        await self.verify(second, token, code)
        if await self.signed_in(second):
            self._open("An mfaToken releases a login twice.", _OURS)
        await self.verify(second, await self.held(second), code)
        if await self.signed_in(second):
            self._open("A code is accepted twice.", "see which factor plugin MFA_FACTORS puts in use.")

    @attack
    async def test_of_many_right_answers_at_once_one_is_released(self) -> None:
        """Of simultaneous right answers to one challenge exactly one gets the login."""
        token, code = await self.held(self.client()), self.code()
        clients = [self.client() for _ in range(_AT_ONCE)]
        await asyncio.gather(*(self.verify(one, token, code) for one in clients))
        winners = [one for one in clients if await self.signed_in(one)]
        if len(winners) > 1:
            self._open(f"{len(winners)} of {_AT_ONCE} simultaneous answers to one challenge got the login.", _OURS)

    @attack
    async def test_a_page_of_another_origin_cannot_answer(self) -> None:
        """An answer that a page of another origin makes a browser send is refused, and releases nothing."""
        client = self.client()
        token = await self.held(client)
        foreign = {"Origin": "https://elsewhere.invalid", "Sec_Fetch_Site": "cross-site"}
        refused = await self.verify(client, token, self.code(), **foreign)
        if refused.status_code != _REFUSED or await self.signed_in(client):
            self._open(
                f"A page of another origin was answered {refused.status_code} at {self._settings.mount}/verify.",
                "let the request's Origin and Sec-Fetch-Site come through to the middleware, and see MFA_ORIGINS.",
            )

    # ------------------------------------------------------------------------------------------------- what they use

    async def _challenge(self, client: Client) -> Response:
        response = await self.send(client, self.login())
        await self._must_be_challenge(client, response)
        return response

    async def _must_be_challenge(self, client: Client, response: Response) -> None:
        if self.mfa_token(response) is None:
            await self._not_held(client, response, self.login())

    async def _each(self, logins: Sequence[Login] | Iterator[Login]) -> None:
        """None of these signs anybody in. What the app does not take for a login is none."""
        await self.held(self.client())
        for login in logins:
            client = self.client()
            await self.send(client, login)
            if await self.signed_in(client):
                self._open(
                    f"{login.name} (as {login.kind}) signs {self.user} in without the second factor.",
                    f"it is {'' if self._declared(login) else 'not '}among MFA_LOGIN ({self._settings.login}); declare "
                    f"it, or see whether MFA_LOGIN_USER ({self._settings.login_user}) reads a user from its response.",
                )

    async def _each_other_login_works(self) -> None:
        """What signs nobody in even without a second factor would pass every attack."""
        if self._settings.enrolment == "required":
            return
        await self._stage.free(self.user)
        for login in self.other_logins():
            client = self.client()
            await self.send(client, login)
            if not await self.signed_in(client):
                self._fail(f"{login.name} does not sign {self.user} in, with or without a factor: see other_logins().")
        await self.new_factor()

    async def _cookie_names(self) -> Sequence[str]:
        """The cookies that the app sets, at a visit or a login, and those of ``MFA_SESSION_COOKIE``."""
        declared = self._stage.mfa.parts.session_cookies.names if self._outside else ()
        return tuple(dict.fromkeys([*await self._cookies_like_sessions(), *declared]))

    async def _cookies_like_sessions(self) -> Sequence[str]:
        found: dict[str, str] = {}
        client = self.client()
        for page in self.visits:
            found |= (await client.get(page)).cookies
        challenged = self.client()
        token = await self.held(challenged)
        found |= (await self.verify(challenged, token, self.code())).cookies
        await self.new_factor()  # that code is spent
        return [name for name, value in found.items() if is_like_session(name, value)]

    async def _ids(self, name: str) -> Sequence[tuple[str, str]]:
        """Ids of sessions from before: one made up, and one that the app gave, if it did."""
        client = self.client()
        for page in self.visits:
            await client.get(page)
        given = [(name, client.cookies[name])] if name in client.cookies else []
        return [(name, secrets.token_hex()), *given]

    def _mend_cookie(self, thief: Client) -> str:
        """What to do about a session that is signed in."""
        if not self._outside:
            return (
                "the session middleware must stand outside of MFAMiddleware, and MFA_LOGIN_USER must name the key of "
                "the session under which the app keeps the user (session:key)."
            )
        known = self._stage.mfa.parts.session_cookies
        sent = [*thief.cookies, *(one.partition("=")[0].strip(" ;") for one in thief.spelled)]
        names = [name for name in dict.fromkeys(sent) if not known.match(name) and not HARMLESS.search(name)]
        if names:
            wanted = ", ".join([self._settings.session_cookie, *names])
            return f"name the session's cookie: MFA_SESSION_COOKIE={wanted}"
        return f"declare this login in MFA_LOGIN ({self._settings.login}), or set MFA_SESSION_MODE=gate."


_OURS = "this is a fault of the middleware or of its stores: please report it (see SECURITY.md)."
_PLAIN_FIELDS = frozenset(
    {"cache-control", "content-length", "content-type", "date", "server", "set-cookie", "vary", "www-authenticate"}
)

"""What the app's author gives, and the steps of which attacks are made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn, TypeVar, cast

import pytest

from mfa_middleware.passage import App
from mfa_middleware.selectors import Place
from mfa_middleware.testing.conformance.client import Client, Response
from mfa_middleware.testing.conformance.login import Login, Steps
from mfa_middleware.testing.conformance.stage import Key, NotReadyError, Stage
from mfa_middleware.testing.virtual_authenticator import VirtualAuthenticator

Self = TypeVar("Self", bound="Kit")
Attack = Callable[[Self], Coroutine[object, object, None]]
_SERVER_ERROR = 500


class Kit:
    """The app, its login, and who is signed in. See :class:`Conformance`."""

    #: The app as it is served, with the middleware on it.
    app: Any = None
    #: The id of the user who logs in, as the middleware reads it. Has no second factor of their own.
    user: str = ""
    #: Where the app is served. With ``https`` cookies are ``Secure``.
    base_url: str = "http://localhost"
    #: Pages at which the app starts a session for somebody who is not signed in.
    visits: Sequence[str] = ("/",)

    _stage: ClassVar[Stage]
    _said: ClassVar[set[str]]

    def login(self) -> Login:
        """The app's login, with right credentials of ``user``."""
        raise NotImplementedError("say how one logs in: def login(self) -> Login")

    async def who(self, client: Client) -> object:
        """The user whom the app takes the client for; None for nobody, for which an error of look-up is taken, too."""
        raise NotImplementedError("say who is signed in: async def who(self, client)")

    def wrong_login(self) -> Login:
        """The app's login, with a wrong password."""
        return self.login().wrong()

    def other_logins(self) -> Sequence[Login | Steps]:
        """Further ways by which ``user`` is signed in: a password reset, a magic link, another API."""
        return ()

    async def before_login(self, client: Client, login: Login) -> Login:
        """What a client does before it logs in, to fetch a CSRF token say; gives the login to be sent."""
        return login

    def answer(self, key: Key) -> str:
        """The right answer of whoever has that factor."""
        return VirtualAuthenticator(key.shown["uri"]).code()

    # ------------------------------------------------------------------------------------------------ how it is served

    @classmethod
    def setup_class(cls) -> None:
        """Serve the app; called by pytest."""
        app = inspect.getattr_static(cls, "app")  # a function must not become a method
        cls._said = set()
        cls._stage = Stage(cast("App", app.__func__ if isinstance(app, staticmethod) else app), cls.base_url)
        try:
            cls._stage.run(cls._stage.open())
        except NotReadyError as error:
            cls._stage.obstacle = str(error)

    @classmethod
    def teardown_class(cls) -> None:
        """Leave nothing behind; called by pytest."""
        try:
            if not cls._stage.obstacle:
                cls._stage.run(cls._stage.free(cls.user))
        finally:
            cls._stage.run(cls._stage.close())
            cls._stage.end()

    def begin(self, attacked: Coroutine[object, object, None]) -> None:
        """Make one attack, on a user with a new factor."""
        try:
            if not self._stage.obstacle:
                self._stage.run(self.new_factor())
        except NotReadyError as error:
            self._stage.obstacle = str(error)
        if self._stage.obstacle:
            attacked.close()
            self._fail(self._stage.obstacle)
        self._stage.run(attacked)

    # --------------------------------------------------------------------------------------- steps of which attacks are

    async def new_factor(self) -> None:
        """Give the user a factor that no code has been spent of."""
        await self._stage.bind(self.user)

    def client(self) -> Client:
        """Somebody new."""
        return self._stage.client()

    async def send(self, client: Client, login: Login | Steps) -> Response:
        """Log in as that client."""
        self._stage.log.told.clear()
        if isinstance(login, Login):
            login = await self.before_login(client, login)
        return await login.send(client)

    def mfa_token(self, response: Response) -> str | None:
        """The mfaToken in a response; None when it is no challenge."""
        document = response.document
        token = document.get("mfaToken") if isinstance(document, dict) else None
        return token if isinstance(token, str) else None

    async def held(self, client: Client, login: Login | None = None) -> str:
        """Log in, and be challenged: the mfaToken."""
        response = await self.send(client, login or self.login())
        token = self.mfa_token(response)
        if token is None:
            await self._not_held(client, response, login or self.login())
        return token

    async def verify(self, client: Client, token: str, code: str, **headers: str) -> Response:
        """Answer a challenge."""
        body = {"mfaToken": token, "factor": self._stage.key.factor, "code": code}
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post(f"{self._settings.mount}/verify", json=body, headers=fields)

    def code(self) -> str:
        """The right answer now."""
        return self.answer(self._stage.key)

    async def signed_in(self, client: Client) -> bool:
        """Whether the app takes the client for ``user``."""
        try:
            found = await self.who(client)
        except (LookupError, ValueError, TypeError):
            return False
        return found is not None and str(found) == self.user

    # -------------------------------------------------------------------------------------------------------- and words

    @property
    def _settings(self) -> Any:  # noqa: ANN401  Settings; its fields are read by name
        return self._stage.mfa.parts.settings

    @property
    def _outside(self) -> bool:
        return self._stage.place is Place.OUTSIDE

    def _declared(self, login: Login) -> bool:
        return bool(self._stage.mfa.parts.login_methods(login.path.partition("?")[0], ""))

    def _open(self, what: str, mend: str) -> NoReturn:
        """Say what is open, and what to do."""
        self._fail(f"OPEN: {what}\nWHAT TO DO: {mend}")

    def _fail(self, text: str) -> NoReturn:
        """Say it once: the attacks that come to the same end are skipped."""
        if text in self._said:
            pytest.skip(f"as said above: {text}")
        self._said.add(text)
        pytest.fail(text, pytrace=False)

    async def _not_held(self, client: Client, response: Response, login: Login) -> NoReturn:
        """A login with the right password was not answered by a challenge: say why."""
        if not await self.signed_in(client):
            self._fail(self._why_nobody(response, login))
        what = f"{login.name} signs {self.user} in with the password alone."
        if not self._declared(login):
            self._open(what, f"declare it: MFA_LOGIN={self._settings.login}, {login.name}")
        self._open(
            what,
            f"MFA_LOGIN_USER ({self._settings.login_user}) does not find {self.user!r} in this login's response. Point "
            "it at where the user's id stands (whoami:/path#/pointer asks the app itself); or, if the id that it finds "
            "is another one, correct `user` of this class.",
        )

    def _why_nobody(self, response: Response, login: Login) -> str:
        if response.status_code >= _SERVER_ERROR:
            error = f" ({response.error!r})" if response.error else ""
            return (
                f"{login.name} with the right password was answered {response.status_code}{error}. Nobody is signed "
                f"in, but neither can anybody be. The log says: {self._logged}."
            )
        return (
            f"{login.name} was answered {response.status_code} without a challenge, and signs nobody in: correct "
            f"login(), who() or `user` of this class. The answer begins: {response.text[:200]!r}"
        )

    @property
    def _logged(self) -> str:
        return "; ".join(dict.fromkeys(self._stage.log.told)) or "nothing"


def attack(method: Attack[Self]) -> Callable[[Self], None]:
    """A test that runs on the app's event loop, with a factor that no code has been spent of."""

    @functools.wraps(method)
    def test(kit: Self) -> None:
        kit.begin(method(kit))

    return test


@contextmanager
def served(kit: type[Self]) -> Iterator[Self]:
    """An instance of such a class while its app is served, for who attacks without pytest's classes."""
    kit.setup_class()
    try:
        yield kit()
    finally:
        kit.teardown_class()

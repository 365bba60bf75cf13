"""The selector ``whoami:/path#/pointer``: asks the wrapped app itself who somebody is, by an inner GET."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import Self
from urllib.parse import quote, unquote

from mfa_middleware.cookies import merged_cookies, set_cookies
from mfa_middleware.errors import LoginNotHeld, Misconfigured, Unavailable
from mfa_middleware.held_login import Capture
from mfa_middleware.passage import PASSAGE, Message, Passage, Reading, Scope, reading_of, untouched
from mfa_middleware.response_body import RawHeaders, bearer_tokens, header, is_graphql, json_body, texts_of, token_like
from mfa_middleware.selectors.base import ALREADY_HAD, LoginExchange, Place, RequestExchange, Selector
from mfa_middleware.selectors.bearer import bearer_of
from mfa_middleware.selectors.values import check_pointer, resolve
from mfa_middleware.settings import Settings

_NOT_COPIED = frozenset(
    {b"accept", b"accept-encoding", b"authorization", b"connection", b"cookie", b"expect", b"range", b"te", b"trailer"}
    | {b"transfer-encoding", b"upgrade"}
)
_MOST_TOKENS = 8
_MOST_CHOSEN = 32
_CHOSEN = re.compile(r"(?=[^0-9]*[0-9])[\w.~+/|-]{16,4096}=*", re.ASCII)
_TOKEN_NAME = re.compile("token|jwt|auth|session|bearer|secret|ticket|credential|key", re.IGNORECASE)
_NOBODY = frozenset({204, 301, 302, 303, 307, 308, 401, 403})


class _NoAnswerError(Exception):
    """The app did not say who it is, not even that it is nobody."""


class WhoAmI(Selector):
    """Asks ``GET /path`` of the app below us, and reads its JSON answer at the pointer. Works from outside alone."""

    kind = "whoami"
    in_login = Place.OUTSIDE
    in_request = Place.OUTSIDE

    def __init__(self, path: str, pointer: str, timeout: float, limit: int) -> None:
        self.path = path
        self.pointer = pointer
        self.timeout = timeout
        self.limit = limit

    @classmethod
    def parse(cls, argument: str, settings: Settings) -> Self:
        path, _, pointer = argument.partition("#")
        if not path.startswith("/"):
            raise ValueError("it must be a path and a pointer, as in whoami:/me#/user")
        return cls(path, check_pointer(pointer), settings.engine_timeout, settings.held_response_limit)

    async def of_request(self, request: RequestExchange) -> object:
        if request.passage is None:
            raise Misconfigured("whoami: cannot ask the app: no MFAMiddleware stands around it")
        try:
            return (await self._ask(request.passage, _own_credentials(request.passage.scope)))[0]
        except TimeoutError as error:
            raise Unavailable("the app took too long to answer whoami:") from error
        except _NoAnswerError as error:
            raise Misconfigured(str(error)) from error

    async def look_before(self, login: LoginExchange) -> None:
        """Note who the client is before the app sees its request: with those credentials, only a change is a login."""
        if login.session_cookies.within(login.scope["headers"]):
            login.before = await self.by_cookies(login)
        bearer = _own_token(login.scope)
        if bearer:
            with contextlib.suppress(LoginNotHeld):  # a token that the app chokes on was nobody's
                login.bearer_before = (await self._ask_in_login(login, _credentials(b"", bearer)))[0]

    async def by_all(self, login: LoginExchange) -> object:
        """Who the client is by all that the request carries."""
        return (await self._ask_in_login(login, _own_credentials(login.scope)))[0]

    async def by_cookies(self, login: LoginExchange) -> object:
        """Who the client is by the request's cookies alone."""
        cookie = merged_cookies(login.scope["headers"], ())
        return (await self._ask_in_login(login, _credentials(cookie, None)))[0]

    async def of_login(self, login: LoginExchange) -> object:
        """Who the client is with what the response gives it; nobody where it was the same before.

        The app is asked with each bearer token that the response gives, and with its cookies alone. An answer that
        repeats the request's own token, which was that user's before, signs nobody in.

        :raises LoginNotHeld: when it is that by what it had already (holding the response would hold nothing), or when
            the response gives several people.
        """
        given = set_cookies(login.headers)
        if not (given or login.body or login.session_cookies.within(login.scope["headers"])):
            return None
        tokens = _tokens_in(login)
        cookie = merged_cookies(login.scope["headers"], given)
        asked = [(token, await self._ask_in_login(login, _credentials(cookie, token))) for token in (*tokens, None)]
        repeated = (_own_token(login.scope), login.bearer_before)
        answers = [answer for token, answer in asked if token is None or (token, answer[0]) != repeated]
        users = list(dict.fromkeys(str(user) for user, _ in answers if user is not None and user != login.before))
        if not users:
            return None
        if len(users) > 1:
            raise LoginNotHeld("the login's response signs several people in")
        user, brought = next((user, brought) for user, brought in answers if str(user) == users[0])
        login.extra_cookies += tuple(pair for pair in brought if pair not in login.headers)
        gone = [(name, None) for name, _ in given]
        had = _credentials(merged_cookies(login.exposed_headers, gone), None)
        if (await self._ask_in_login(login, had))[0] == user:
            raise LoginNotHeld(ALREADY_HAD)
        return user

    def can_answer(self, request: RequestExchange) -> bool:
        return request.passage is None or Place.of(request.passage.scope) is Place.OUTSIDE

    async def _ask_in_login(self, login: LoginExchange, credentials: RawHeaders) -> tuple[object, RawHeaders]:
        try:
            return await self._ask(login.passage, credentials)
        except TimeoutError as error:
            raise LoginNotHeld("the app took too long to answer whoami:") from error
        except _NoAnswerError as error:
            raise LoginNotHeld(str(error)) from error

    async def _ask(self, passage: Passage, credentials: RawHeaders) -> tuple[object, RawHeaders]:
        """The value that stands in the app's answer, and the Set-Cookie fields that came with it.

        401, 403 and a redirection are what apps answer to nobody. What is neither that nor 200 with JSON (a rate limit,
        a fault, a wrong path) tells nothing, and must not be taken for nobody: that would let the login through.
        """
        capture = Capture(self.limit)
        finished = asyncio.Event()
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await finished.wait()  # an app that waits for the client's leaving must not take it for gone
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            capture.add(message)
            if capture.complete:
                finished.set()

        async with asyncio.timeout(self.timeout):
            # In a context of its own: frameworks keep the current request in context variables.
            inner = passage.app(self._scope(untouched(passage.scope), credentials), receive, send)
            await asyncio.get_running_loop().create_task(_run(inner), context=contextvars.Context())
        if capture.complete and capture.status in _NOBODY:
            return None, ()
        document = json_body(capture.headers, capture.body) if capture.complete else None
        if capture.status != HTTPStatus.OK or document is None:
            raise _NoAnswerError(f"{self.path} answers whoami: with {capture.status}, and not with 200 and JSON")
        brought = tuple(pair for pair in capture.headers if pair[0].lower() == b"set-cookie")
        return resolve(document, self.pointer), brought

    def _scope(self, scope: Scope, credentials: RawHeaders) -> Scope:
        path, _, query = self.path.partition("?")
        root_path = scope.get("root_path", "")
        full = root_path + unquote(path) if scope["path"].startswith(root_path) else unquote(path)
        headers = [(name, value) for name, value in scope["headers"] if _is_copied(name.lower())]
        inner = {key: value for key, value in scope.items() if key != PASSAGE}
        return inner | {
            "method": "GET",
            "path": full,
            "raw_path": quote(full).encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [*headers, (b"accept", b"application/json"), *credentials],
            "extensions": {},
        }


async def _run(inner: Awaitable[None]) -> None:
    try:
        await inner
    except LoginNotHeld:
        raise
    except Exception as error:  # noqa: BLE001  the app's: it has told of it itself, and its text may hold a secret
        raise _NoAnswerError(f"the app fails with {type(error).__name__} when whoami: asks it") from None


def _tokens_in(login: LoginExchange) -> list[str]:
    """What is to be asked about: all that is a bearer token by its name or form, and what else may be one.

    A client of GraphQL may call its token anything, and another text ``token``: all that stands under a name of its
    choice counts. Under names of the app's own only so much is looked at: ordinary answers of such a path have long
    texts, too, and must pass.

    :raises LoginNotHeld: when these are too many.
    """
    document = login.document
    tokens = bearer_tokens(document)
    others = {text: names for text, names in token_like(document).items() if text not in tokens}
    reading = reading_of(login.scope)
    chosen = _chosen_texts(document, reading) - set(tokens) if reading is not None else frozenset[str]()
    if len(tokens) > _MOST_TOKENS or len(chosen) > _MOST_CHOSEN:
        raise LoginNotHeld("the login's response gives more tokens than can be asked about")
    if reading is None and not is_graphql(document) and (tokens or not login.expected):
        return tokens
    own = sorted((text for text in others if text not in chosen), key=lambda text: not _names_a_token(others[text]))
    return [*tokens, *chosen, *own[:_MOST_TOKENS]]


def _chosen_texts(document: object, reading: Reading) -> frozenset[str]:
    """What may be a token under a name of the client's choice: here even a UUID is not taken for an id."""
    return frozenset(
        text for name, text in texts_of(document) if _CHOSEN.fullmatch(text) and reading.may_have_chosen(name)
    )


def _names_a_token(names: Iterable[str]) -> bool:
    return any(_TOKEN_NAME.search(name) for name in names)


def _own_token(scope: Scope) -> str | None:
    """The bearer token of a request, which some clients send without the word ``Bearer``."""
    value = header(tuple(scope["headers"]), b"authorization").split()
    return value[0] if len(value) == 1 else bearer_of(scope)


def _own_credentials(scope: Scope) -> RawHeaders:
    return tuple(pair for pair in scope["headers"] if pair[0].lower() in (b"cookie", b"authorization"))


def _credentials(cookie: bytes, token: str | None) -> RawHeaders:
    fields = (
        (b"cookie", cookie),
        (b"authorization", f"Bearer {token}".encode("utf-8", "surrogatepass") if token else b""),
    )
    return tuple((name, value) for name, value in fields if value)


def _is_copied(name: bytes) -> bool:
    return name not in _NOT_COPIED and not name.startswith((b"content-", b"if-"))

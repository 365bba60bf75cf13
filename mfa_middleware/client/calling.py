"""An operation of an HTTP API as a value, and the two ways to send one: now, or awaited. Only ``send`` does I/O."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar
from urllib.parse import quote

import httpx2

from mfa_middleware.client.answers import Parse

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
HTTP = TypeVar("HTTP", httpx2.Client, httpx2.AsyncClient)


@dataclass(frozen=True)
class Operation(Generic[T_co]):
    """What to send, and how to read what comes back. ``path`` is below the mount; None in ``body`` is left out."""

    method: str
    path: str
    parse: Parse[T_co]
    body: Mapping[str, object] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    bearer: str = field(default="", repr=False)  #: instead of the client's own


class _Sender(Generic[HTTP]):
    """What each client is made of.

    :param http: where the app is (``base_url``), and how it is reached. It stays its owner's to close.
    :param mount: the path below which the API stands: ``MFA_MOUNT`` of the server.
    :param bearer: the caller's token; without it, what ``http`` sends by itself.
    """

    default_mount = "/mfa"

    def __init__(self, http: HTTP, *, mount: str | None = None, bearer: str = "") -> None:
        self.http: HTTP = http
        self.mount = (self.default_mount if mount is None else mount).rstrip("/")
        self.bearer = bearer

    def _request(self, operation: Operation[object]) -> httpx2.Request:
        headers = {"Accept": "application/json"}  # with text/html there would be pages
        if bearer := operation.bearer or self.bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        body = {name: value for name, value in operation.body.items() if value is not None}
        return self.http.build_request(
            operation.method,
            self.mount + operation.path,
            params=operation.query or None,
            json=body or None,
            headers=headers,
        )

    def _auth(self, request: httpx2.Request) -> httpx2.Auth | None:
        """The client's own ``auth``, which would replace the bearer token of the request if there is one."""
        return None if "Authorization" in request.headers else self.http.auth


class Sender(_Sender[httpx2.Client]):
    """Sends operations with an ``httpx2.Client``."""

    def send(self, operation: Operation[T]) -> T:
        """Send one, and read the answer. The answer is never a redirection's: a released login may be one."""
        request = self._request(operation)
        return operation.parse(self.http.send(request, auth=self._auth(request), follow_redirects=False))


class AsyncSender(_Sender[httpx2.AsyncClient]):
    """Sends operations with an ``httpx2.AsyncClient``."""

    async def send(self, operation: Operation[T]) -> T:
        """Send one, and read the answer. The answer is never a redirection's: a released login may be one."""
        request = self._request(operation)
        return operation.parse(await self.http.send(request, auth=self._auth(request), follow_redirects=False))


class Method(Generic[P, T]):
    """A method of a client that sends what ``describe`` describes; it has the same parameters."""

    def __init__(self, describe: Callable[P, Operation[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, sender: Sender, owner: type[Sender]) -> Callable[P, T]:
        @wraps(self._describe)
        def call(*args: P.args, **named: P.kwargs) -> T:
            return sender.send(self._describe(*args, **named))

        return call


class AsyncMethod(Generic[P, T]):
    """The same, awaited."""

    def __init__(self, describe: Callable[P, Operation[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, sender: AsyncSender, owner: type[AsyncSender]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(self._describe)
        async def call(*args: P.args, **named: P.kwargs) -> T:
            return await sender.send(self._describe(*args, **named))

        return call


def segment(text: str | int) -> str:
    """One segment of a path.

    :raises ValueError: for what would name another path: nothing, and dots, which clients and proxies resolve.
    """
    if str(text) in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot stand in a path.")
    return quote(str(text), safe="")

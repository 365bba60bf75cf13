"""A client of few manners: it calls an ASGI app without a server, keeps what it is given, and sends what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from mfa_middleware.cookies import set_cookies
from mfa_middleware.passage import App, Message, Scope
from mfa_middleware.response_body import RawHeaders, bearer_tokens, decoded_body
from mfa_middleware.tokens import is_mfa_token

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. ``error`` is what the app raised instead of an answer, which a server makes a 500 of."""

    status_code: int
    raw_headers: RawHeaders = ()
    content: bytes = field(default=b"", repr=False)
    error: Exception | None = None

    @property
    def text(self) -> str:
        """The body, as UTF-8."""
        return (decoded_body(self.raw_headers, self.content) or b"").decode("utf-8", "replace")

    def json(self) -> Any:  # noqa: ANN401  whatever the app answers
        """The body as JSON.

        :raises ValueError: when it is none.
        """
        return json.loads(self.text)

    @property
    def document(self) -> Any:  # noqa: ANN401
        """The body as JSON; None when it is none."""
        try:
            return self.json()
        except (ValueError, RecursionError):
            return None

    @property
    def bearer_tokens(self) -> Sequence[str]:
        """The app's bearer tokens in its JSON."""
        return [one for one in bearer_tokens(self.document) if not is_mfa_token(one)]

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields by lower-case name; of several the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies that it sets."""
        return {name: value for name, value in set_cookies(self.raw_headers) if value is not None}


@dataclass
class Client:
    """Somebody with a cookie jar. Cookies and bearer tokens that a response gives are kept, and sent from then on.

    ``spelled`` are whole Cookie fields in the client's own spelling, sent before the jar's. ``headers`` go with every
    request.
    """

    app: App
    base_url: str = "http://localhost"
    cookies: dict[str, str] = field(default_factory=dict)
    bearer: str | None = None
    spelled: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """``GET path``."""
        return await self.request("GET", path, headers=headers)

    async def post(
        self, path: str, *, content: bytes = b"", json: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """``POST path``, with a body or with JSON."""
        return await self.request("POST", path, content=content, json=json, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request to that target (percent-encoded, with its query)."""
        fields = {"accept": "application/json"} | _lower(self.headers) | _lower(headers or {})
        if json is not None:
            content = _json(json)
            fields.setdefault("content-type", "application/json")
        response = await _exchange(self.app, self._scope(method, path, fields, len(content)), content)
        self._keep(response)
        return response

    def other(self, **cookies: str) -> Client:
        """Somebody else, with those cookies and nothing of this one's."""
        return Client(self.app, self.base_url, cookies, headers=dict(self.headers), state=self.state)

    def _keep(self, response: Response) -> None:
        for name, value in set_cookies(response.raw_headers):
            if value is None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        self.bearer = next(iter(response.bearer_tokens), self.bearer)

    def _scope(self, method: str, path: str, fields: Mapping[str, str], length: int) -> Scope:
        url = urlsplit(self.base_url)
        target, _, query = path.partition("?")
        headers = [("host", url.netloc), *fields.items(), *(("cookie", one) for one in self._cookie_fields())]
        if self.bearer and "authorization" not in fields:
            headers.append(("authorization", f"Bearer {self.bearer}"))
        if length or method not in ("GET", "HEAD"):
            headers.append(("content-length", str(length)))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": url.scheme,
            "path": unquote_to_bytes(target).decode("utf-8", "replace"),
            "raw_path": quote(target, safe="/%:;@!$&'()*+,=~-._\\").encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50_000),
            "server": (url.hostname or "localhost", url.port or (443 if url.scheme == "https" else 80)),
            "state": dict(self.state),
        }

    def _cookie_fields(self) -> Sequence[str]:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if not self.spelled:
            return [jar] if jar else []
        *first, last = self.spelled
        return [*first, f"{last}; {jar}" if jar else last]


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


async def _exchange(app: App, scope: Scope, content: bytes) -> Response:
    """The app's answer. The client stays until it is complete."""
    messages: list[Message] = []
    done = asyncio.Event()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            done.set()

    try:
        async with asyncio.timeout(_SECONDS):
            await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001  what a server makes a 500 of
        return Response(500, error=error) if not messages else _response(messages)
    return _response(messages)


def _response(messages: Sequence[Message]) -> Response:
    start = next((one for one in messages if one["type"] == "http.response.start"), None)
    if start is None:
        return Response(500)
    body = b"".join(bytes(one.get("body", b"")) for one in messages if one["type"] == "http.response.body")
    return Response(start["status"], tuple((bytes(name), bytes(value)) for name, value in start["headers"]), body)

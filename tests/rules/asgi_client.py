"""A browser of few manners: it drives an ASGI app without a server, keeps cookies, and sends what it is told to."""

from __future__ import annotations

import asyncio
import json as jsonlib
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[Any]]
Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came back: all messages, and what a client makes of them. ``error`` is what the app raised at the server."""

    messages: list[Message] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def start(self) -> Message | None:
        return next((one for one in self.messages if one["type"] == "http.response.start"), None)

    @property
    def status(self) -> int:
        return 500 if self.start is None else int(self.start["status"])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [] if self.start is None else [(bytes(name), bytes(value)) for name, value in self.start["headers"]]

    def header(self, name: str) -> str | None:
        return next((v.decode("latin-1") for n, v in self.headers if n.lower() == name.encode()), None)

    @property
    def body(self) -> bytes:
        return b"".join(bytes(m.get("body", b"")) for m in self.messages if m["type"] == "http.response.body")

    @property
    def json(self) -> Any:
        try:
            return jsonlib.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str | None:
        return self.json.get("code") if isinstance(self.json, dict) else None


def http_scope(
    method: str,
    path: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    root_path: str = "",
    extensions: Mapping[str, Any] | None = None,
    scheme: str = "http",
) -> dict[str, Any]:
    """The scope that a server makes of a request for that target (percent-encoded, with its query)."""
    target, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(target).decode("utf-8", "replace"),
        "raw_path": quote(target, safe="/%:;@!$&'()*+,=~-._?[]\\").encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": [(b"host", b"app.test"), *headers],
        "client": ("192.0.2.7", 4711),
        "server": ("app.test", 80),
        "state": {},
    }
    return scope if extensions is None else scope | {"extensions": dict(extensions)}


async def exchange(app: App, scope: dict[str, Any], body: Sequence[bytes] = (b"",), *, seconds: float = 10) -> Answer:
    """One request. The client stays until the response is done, and its server turns an error into a 500."""
    answer = Answer()
    done = asyncio.Event()
    parts = iter(enumerate(body, 1))

    async def receive() -> Message:
        number, part = next(parts, (0, b""))
        if number:
            return {"type": "http.request", "body": part, "more_body": number < len(body)}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            done.set()

    try:
        async with asyncio.timeout(seconds):
            await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001  whatever the app raises reaches its server
        answer.error = error
    return answer


def _tokens(document: Any) -> list[str]:
    """What looks like a bearer token in a JSON document, at any depth."""
    if isinstance(document, list):
        return [token for one in document for token in _tokens(one)]
    if not isinstance(document, dict):
        return []
    own = [value for name, value in document.items() if name in ("access_token", "token") and isinstance(value, str)]
    return own + [token for value in document.values() for token in _tokens(value)]


@dataclass
class Client:
    """Whoever sits before the browser. What a response gives (cookies, bearer tokens) is kept and used."""

    app: App
    cookies: dict[str, str] = field(default_factory=dict)
    bearers: list[str] = field(default_factory=list)
    root_path: str = ""
    scheme: str = "http"

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        content: bytes = b"",
        headers: Headers = (),
        raw_cookies: Sequence[str] | None = None,
        bearer: str | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One request; ``raw_cookies`` are whole Cookie fields instead of those that are kept."""
        fields = [(name.lower(), value) for name, value in headers]
        if json is not None:
            content, fields = jsonlib.dumps(json).encode(), [("content-type", "application/json"), *fields]
        if form is not None:
            content = "&".join(f"{quote(k)}={quote(v)}" for k, v in form.items()).encode()
            fields = [("content-type", "application/x-www-form-urlencoded"), *fields]
        kept = ["; ".join(f"{k}={v}" for k, v in self.cookies.items())] if self.cookies else []
        fields += [("cookie", one) for one in (kept if raw_cookies is None else raw_cookies)]
        if bearer:
            fields.append(("authorization", f"Bearer {bearer}"))
        fields.append(("content-length", str(len(content))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        scope = http_scope(method, path, raw, root_path=self.root_path, extensions=extensions, scheme=self.scheme)
        answer = await exchange(self.app, scope, [content])
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Take over what a response gives."""
        for _, text in [one for one in answer.headers if one[0].lower() == b"set-cookie"]:
            pair, _, attributes = text.decode("latin-1").partition(";")
            name, _, value = pair.partition("=")
            self.cookies.pop(name.strip(), None)
            if not re.search(r"(?i)max-age=0|expires=thu, 01 jan 1970", attributes):
                self.cookies[name.strip()] = value.strip()
        self.bearers += _tokens(answer.json)
        given = answer.header("authorization") or ""
        self.bearers += [given.removeprefix("Bearer ")] if given else []

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.request("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Answer:
        return await self.request("POST", path, **more)

    async def who(self) -> str | None:
        """Whom the app takes this client for, with all that it holds."""
        prefix = self.root_path
        answers = [await self.get(f"{prefix}/me")]
        answers += [await self.get(f"{prefix}/me", bearer=token) for token in self.bearers]
        users = [one.json.get("user") for one in answers if one.status == 200 and isinstance(one.json, dict)]
        return next((str(user) for user in users if user is not None), None)

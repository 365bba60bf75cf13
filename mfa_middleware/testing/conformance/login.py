"""A login as the app's author describes it: a request with credentials, or steps of the author's own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlencode

from mfa_middleware.testing.conformance.client import Client, Response

Kind = Literal["form", "json", "multipart", "query"]


@dataclass(frozen=True, slots=True)
class Login:
    """One request that signs somebody in. Made by :meth:`form` or :meth:`json`; ``replace`` makes others of it."""

    path: str
    kind: Kind
    fields: Mapping[str, object] = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def form(cls, path: str, /, **fields: str) -> Login:
        """A form: ``Login.form("/login", username="alice", password="wonderland")``."""
        return cls(path, "form", fields)

    @classmethod
    def json(cls, path: str, /, **fields: object) -> Login:
        """A JSON object with those fields."""
        return cls(path, "json", fields)

    @property
    def name(self) -> str:
        """What messages call it: its method and path."""
        return f"{self.method} {self.path}"

    def with_fields(self, **fields: object) -> Login:
        """The same with further fields, a CSRF token say."""
        return replace(self, fields={**self.fields, **fields})

    def wrong(self) -> Login:
        """The same with a wrong password: the field whose name has "pass" in it, or else the last one."""
        name = next((one for one in self.fields if "pass" in one.lower()), list(self.fields)[-1])
        return self.with_fields(**{name: f"not-{self.fields[name]}"})

    async def send(self, client: Client) -> Response:
        """Log in, as that client."""
        path, body, content_type = self._encoded()
        headers = {"content-type": content_type} if content_type else {}
        return await client.request(self.method, path, content=body, headers={**headers, **self.headers})

    def _encoded(self) -> tuple[str, bytes, str]:
        """Path, body and content type."""
        if self.kind == "json":
            return self.path, json.dumps(dict(self.fields)).encode(), "application/json"
        if self.kind == "multipart":
            boundary = secrets.token_hex()
            parts = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in self.fields.items()
            )
            body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
            return self.path, body, f"multipart/form-data; boundary={boundary}"
        encoded = urlencode({name: str(value) for name, value in self.fields.items()})
        if self.kind == "query":
            return f"{self.path}{'&' if '?' in self.path else '?'}{encoded}", b"", ""
        return self.path, encoded.encode(), "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Steps:
    """A way to be signed in that takes more than one request. ``run`` returns the response that should sign in."""

    name: str
    run: Callable[[Client], Awaitable[Response]]

    async def send(self, client: Client) -> Response:
        """Go through it, as that client."""
        return await self.run(client)

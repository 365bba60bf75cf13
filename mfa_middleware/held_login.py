"""The held login: capture of an app's response, its form at rest, and its release.

A held login is raw: status, header pairs in order and as bytes, body, and what the login made of ``scope["session"]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from mfa_middleware.errors import LoginNotHeld
from mfa_middleware.response_body import RawHeaders, codings, decoded_body

Message = MutableMapping[str, Any]

# RFC 9110 §7.6.1. Content-Length is written anew.
_HOP_BY_HOP = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"trailer"}
)
_FORBIDDEN_BYTES = re.compile(rb"[\r\n\0]")
_BODILESS = (204, 304)
_PATH_CHARACTERS = "/%:@!$&'()*+,=-._~"  # RFC 3986 §3.3, without the semicolon that ends a cookie's attribute


@dataclass(frozen=True, slots=True)
class HeldLogin:
    """An app's login response. ``path`` is that of the login's URL.

    ``session`` is None outside of a session middleware. ``blocked`` are digests of sessions to be freed at the release.
    """

    status: int
    headers: RawHeaders = field(repr=False)
    body: bytes = field(repr=False)
    path: str = "/"
    session: Mapping[str, Any] | None = field(default=None, repr=False)
    blocked: tuple[bytes, ...] = ()

    @property
    def head(self) -> Mapping[str, Any]:
        """All but the body, as JSON can keep it: unless the session holds what it cannot."""
        return {
            "status": self.status,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "path": self.path,
            "session": self.session,
            "blocked": [digest.hex() for digest in self.blocked],
        }

    @classmethod
    def of(cls, head: Mapping[str, Any], body: bytes) -> HeldLogin:
        """The login of a :attr:`head` and a body."""
        headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"])
        blocked = tuple(bytes.fromhex(digest) for digest in head["blocked"])
        return cls(head["status"], headers, body, head["path"], head["session"], blocked)

    def release(self, *, accept_encoding: str) -> tuple[int, RawHeaders, bytes]:
        """The response as it goes out at another URL, to a request that may accept other codings.

        Cookies without a path get the default path of the login's URL (RFC 6265 §5.1.4), locations become absolute
        paths, hop-by-hop fields and the app's CORS fields are dropped, and 307 and 308 become 303: the browser shall
        not post the code on.
        """
        body, headers = self._decoded(accept_encoding)
        dropped = _HOP_BY_HOP | _named_in_connection(headers) | {b"content-length"}
        kept = [
            (name, self._relocated(name.lower(), value))
            for name, value in headers
            if name.lower() not in dropped and not name.lower().startswith(b"access-control-")
        ]
        if self.status not in _BODILESS:
            kept.append((b"content-length", b"%d" % len(body)))
        kept.append((b"cache-control", b"no-store"))
        return (303 if self.status in (307, 308) else self.status), tuple(kept), body

    def _relocated(self, name: bytes, value: bytes) -> bytes:
        path = quote(self.path.encode("utf-8", "surrogateescape"), safe=_PATH_CHARACTERS)
        if name == b"set-cookie" and not re.search(rb";\s*path\s*=\s*/", value, re.IGNORECASE):
            return value + b"; Path=" + _default_path(path).encode()
        if name in (b"location", b"content-location"):
            return _absolute(path, value.decode("latin-1")).encode("latin-1")
        return value

    def _decoded(self, accept_encoding: str) -> tuple[bytes, RawHeaders]:
        """Body and headers without a content coding that the caller does not accept, where we can take it off."""
        applied = codings(self.headers)
        if not applied or _accepted(accept_encoding).issuperset(applied):
            return self.body, self.headers
        plain = decoded_body(self.headers, self.body)
        if plain is None:
            return self.body, self.headers
        return plain, tuple(pair for pair in self.headers if pair[0].lower() != b"content-encoding")


def _named_in_connection(headers: RawHeaders) -> frozenset[bytes]:
    fields = (value for name, value in headers if name.lower() == b"connection")
    return frozenset(name.strip().lower() for field in fields for name in field.split(b","))


def _default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def _absolute(base: str, location: str) -> str:
    """A reference against the login's path (RFC 3986 §5.2); what is absolute, or no reference at all, stays."""
    try:
        if urlsplit(location).scheme or location.startswith("/"):
            return location
        joined = urljoin("http://host/" + base.lstrip("/"), location)
    except ValueError:
        return location
    return joined.removeprefix("http://host")


def _accepted(accept_encoding: str) -> set[str]:
    """The codings that a request accepts; one of weight zero is none of them (RFC 9110 §12.4.2)."""
    found: set[str] = set()
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight):
            found.add(name.strip())
    return found


class Capture:
    """Collects the messages of one response. Nothing is sent on; what it does not know, it refuses."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._body: list[bytes] = []
        self.messages: list[Message] = []
        self.status = 0
        self.headers: RawHeaders = ()
        self.complete = False

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._body)

    def add(self, message: Message) -> None:
        """Take one message.

        :raises LoginNotHeld: for a message that cannot be kept, a body over the limit, or a header field that would
            split the response.
        """
        kind = message["type"]
        if kind == "http.response.start" and not self.messages:
            self._start(message)
        elif kind == "http.response.body":
            self._size += len(message.get("body", b""))
            if self._size > self._limit:
                self.messages.clear()
                self._body.clear()
                raise LoginNotHeld("the login's response is larger than MFA_HELD_RESPONSE_LIMIT")
            self._body.append(bytes(message.get("body", b"")))
            self.complete = not message.get("more_body", False)
        else:
            raise LoginNotHeld(f"the login's response has a message {kind} that cannot be held")
        # A copy: the app may use its message and its buffer again.
        self.messages.append({**message, "body": self._body[-1]} if self._body else {**message})

    def _start(self, message: Message) -> None:
        self.status = message["status"]
        self.headers = tuple((bytes(name), bytes(value)) for name, value in message.get("headers", ()))
        if any(_FORBIDDEN_BYTES.search(name) or _FORBIDDEN_BYTES.search(value) for name, value in self.headers):
            raise LoginNotHeld("a header field of the login's response contains a line break")
        if message.get("trailers"):
            raise LoginNotHeld("the login's response announces trailers, which cannot be held")

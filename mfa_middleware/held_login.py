"""The held login: capture of an app's response, its form at rest, and its release.

A held login is raw: status, header pairs in order and as bytes, body, and what the login made of ``scope["session"]``.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from mfa_middleware.errors import LoginNotHeld

Message = MutableMapping[str, Any]
RawHeaders = tuple[tuple[bytes, bytes], ...]

# RFC 9110 §7.6.1. Content-Length is written anew.
_HOP_BY_HOP = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"trailer"}
)
_FORBIDDEN_BYTES = re.compile(rb"[\r\n\0]")
_BODILESS = (204, 304)
_LARGEST_DECODED = 64 * 1024 * 1024
_TOKEN_NAMES = frozenset({"access_token", "token"})
_GRAPHQL = frozenset({"data", "errors", "extensions"})
_SEVERAL = ("text/event-stream", "multipart/")  # a client of GraphQL may have its answer so
_TOKEN_LIKE = re.compile(
    r"(?=[^0-9]*[0-9])(?![0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$)[\w.~+/-]{20,4096}=*", re.ASCII
)
#: Longer texts are not looked at: the expression above would take milliseconds for a megabyte.
_LONGEST_TOKEN = 5000
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{16,}")
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
        codings = _codings(self.headers)
        if not codings or _accepted(accept_encoding).issuperset(codings):
            return self.body, self.headers
        plain = decoded_body(self.headers, self.body)
        if plain is None:
            return self.body, self.headers
        return plain, tuple(pair for pair in self.headers if pair[0].lower() != b"content-encoding")


def header(headers: RawHeaders, name: bytes) -> str:
    """The first field of that (lower-case) name; empty when there is none."""
    return next((value.decode("latin-1") for found, value in headers if found.lower() == name), "")


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


def decoded_body(headers: RawHeaders, body: bytes) -> bytes | None:
    """The body without its content coding; None for a coding that we cannot read, or a body that does not decode."""
    for coding in reversed(_codings(headers)) if body else ():
        unpacked = _inflated(body) if coding in ("gzip", "x-gzip", "deflate") else None
        if unpacked is None:
            return None
        body = unpacked
    return body


def _codings(headers: RawHeaders) -> list[str]:
    """The content codings in the order in which they were applied (RFC 9110 §8.4)."""
    fields = (value.decode("latin-1") for name, value in headers if name.lower() == b"content-encoding")
    names = (part.strip().lower() for field in fields for part in field.split(","))
    return [name for name in names if name not in ("", "identity")]


def _accepted(accept_encoding: str) -> set[str]:
    """The codings that a request accepts; one of weight zero is none of them (RFC 9110 §12.4.2)."""
    found: set[str] = set()
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight):
            found.add(name.strip())
    return found


def _inflated(packed: bytes) -> bytes | None:
    """All members of a gzip (RFC 1952 §2.2) or a zlib stream, within bounds; None for what is neither."""
    plain = b""
    while packed:
        inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: either header, gzip's or zlib's
        try:
            plain += inflate.decompress(packed, _LARGEST_DECODED - len(plain))
        except (zlib.error, ValueError):
            return None
        if not inflate.eof or len(plain) >= _LARGEST_DECODED:
            return None
        packed = inflate.unused_data
    return plain


def json_body(headers: RawHeaders, body: bytes) -> object:
    """The body as JSON, whatever its content type says; None when it is none.

    :raises LoginNotHeld: for a content coding that hides the body from us, or when it calls itself JSON and does not
        parse: its client may read more than we.
    """
    plain = decoded_body(headers, body)
    if plain is None:
        raise LoginNotHeld("the login's response has a content coding that cannot be read; compress outside of here")
    try:
        document: object = json.loads(plain)
    except (ValueError, RecursionError) as error:
        kind = header(headers, b"content-type").strip().lower()
        if plain.strip() and "json" in kind:
            raise LoginNotHeld("the login's response calls itself JSON, and does not parse") from error
        return _json_lines(plain) if kind.startswith(_SEVERAL) else None
    return document


def _json_lines(plain: bytes) -> object:
    """The documents of an event stream or a multipart body, each in a line of its own; None when there are none."""
    found: list[object] = []
    for line in re.split(rb"[\r\n]+", plain):
        try:
            found.append(json.loads(line.removeprefix(b"data:")))
        except (ValueError, RecursionError):
            continue
    return found or None


def texts_of(document: object) -> Iterator[tuple[str, str]]:
    """Every text in a JSON document, at any depth, with the name under which it (or the list around it) stands.

    Within an object those that stand under a token's name come first. No recursion: how deep an answer is, its client
    may choose.
    """
    unseen: list[tuple[str, object]] = [("", document)]
    while unseen:
        name, one = unseen.pop()
        if isinstance(one, str):
            yield name, one
        elif isinstance(one, list):
            unseen += ((name, item) for item in reversed(one))
        elif isinstance(one, dict):
            pairs = list(one.items())[::-1]
            unseen += sorted(pairs, key=lambda pair: pair[0] in _TOKEN_NAMES)


def bearer_tokens(document: object) -> list[str]:
    """The bearer tokens that a response gives, at any depth of its JSON: ``access_token``, ``token``, and any JWT.

    A JWT counts under whatever name: a GraphQL client chooses the names of what it is answered.
    """
    found = (text for name, text in texts_of(document) if text and (name in _TOKEN_NAMES or is_jwt(text)))
    return list(dict.fromkeys(found))


def token_like(document: object) -> dict[str, frozenset[str]]:
    """The texts of a JSON document that could be a bearer token (RFC 6750 §2.1), with the names under which they stand.

    Words without a digit and UUIDs are taken for what they mostly are: names and ids.
    """
    found: dict[str, frozenset[str]] = {}
    for name, text in texts_of(document):
        if len(text) <= _LONGEST_TOKEN and _TOKEN_LIKE.fullmatch(text):
            found[text] = found.get(text, frozenset()) | {name}
    return found


def is_graphql(document: object) -> bool:
    """Whether a GraphQL server may have answered so: then the client has chosen names in it."""
    if isinstance(document, list):
        return any(is_graphql(one) for one in document if isinstance(one, dict))
    return isinstance(document, dict) and "data" in document and document.keys() <= _GRAPHQL


def is_jwt(text: str) -> bool:
    """Whether that text has the shape of a JWT."""
    return _JWT.fullmatch(text) is not None


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

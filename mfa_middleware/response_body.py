"""The body of a response, read: without its content coding, as JSON, and which bearer tokens it gives."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator

from mfa_middleware.errors import LoginNotHeld

RawHeaders = tuple[tuple[bytes, bytes], ...]

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


def header(headers: RawHeaders, name: bytes) -> str:
    """The first field of that (lower-case) name; empty when there is none."""
    return next((value.decode("latin-1") for found, value in headers if found.lower() == name), "")


def decoded_body(headers: RawHeaders, body: bytes) -> bytes | None:
    """The body without its content coding; None for a coding that we cannot read, or a body that does not decode."""
    for coding in reversed(codings(headers)) if body else ():
        unpacked = _inflated(body) if coding in ("gzip", "x-gzip", "deflate") else None
        if unpacked is None:
            return None
        body = unpacked
    return body


def codings(headers: RawHeaders) -> list[str]:
    """The content codings in the order in which they were applied (RFC 9110 §8.4)."""
    fields = (value.decode("latin-1") for name, value in headers if name.lower() == b"content-encoding")
    names = (part.strip().lower() for field in fields for part in field.split(","))
    return [name for name in names if name not in ("", "identity")]


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

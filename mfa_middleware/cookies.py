"""Cookie headers: read as generously as any framework reads them, and rebuilt from what was read.

Frameworks differ in how they split a ``Cookie`` field (RFC 6265 §5.4, and older forms with ``$Version``, commas or
quotes). What we take out must be gone for every one of them: a part is dropped as soon as the name can be seen in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from urllib.parse import unquote

_MOST_DECODINGS = 4
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")  # RFC 6265 §4.1.1, cookie-octet
Headers = Iterable[tuple[bytes, bytes]]


def cookie_pairs(headers: Headers) -> list[tuple[str, str]]:
    """All ``(name, value)`` pairs of all Cookie fields, in order, stripped of blanks and of quotes around values."""
    pairs: list[tuple[str, str]] = []
    for field, text in headers:
        if field.lower() == b"cookie":
            for part in text.decode("latin-1").split(";"):
                name, _, value = part.partition("=")
                pairs.append((name.strip(), _unquoted(value)))
    return pairs


def _unquoted(value: str) -> str:
    return value.strip().strip('"')


def canonical_value(value: str) -> str:
    """One form for all spellings of a cookie's value that some framework reads alike (quotes, escapes, percents)."""
    for _ in range(_MOST_DECODINGS):
        value = unquote(_ESCAPE.sub(_unescaped, value.strip(' \t"')))
    return value


def _is_stable(value: str) -> bool:
    """Whether all spellings of it have one form: not so when there is always another round to decode."""
    form = canonical_value(value)
    return canonical_value(form) == form


_ESCAPE = re.compile(r"\\([0-3][0-7][0-7]|.)")  # as http.cookies reads quoted values


def _unescaped(found: re.Match[str]) -> str:
    text = found[1]
    return chr(int(text, 8)) if len(text) > 1 else text


def cookie_value(headers: Headers, name: str) -> str | None:
    """The value of the first cookie of that name."""
    return next((value for found, value in cookie_pairs(headers) if found == name), None)


class CookieNames:
    """Some cookie names, and the chunks of them (``session-0``, ``session-1``) that some frameworks write."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)
        alternatives = "|".join(re.escape(name) for name in names)
        token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
        self._in_part = re.compile(rf"(?<!{token})(?:{alternatives})(?:-\d+)?\s*(?:=|$)", re.IGNORECASE)
        self._whole = re.compile(rf"(?:{alternatives})(?:-\d+)?", re.IGNORECASE)

    def match(self, name: str) -> bool:
        """Whether a cookie of that name is one of these."""
        return bool(self.names) and self._whole.fullmatch(name) is not None

    def within(self, headers: Headers) -> bool:
        """Whether any Cookie field carries one of these, however spelt."""
        return any(self._hides_in(part) for part in _parts(headers))

    def without(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """The header fields with one rebuilt Cookie field, from which these are gone however they were spelt."""
        return self.keeping(headers, lambda value: False)

    def pairs(self, headers: Headers) -> list[tuple[str, str]]:
        """These cookies, as they were written."""
        return [pair for pair in cookie_pairs(headers) if self.match(pair[0])]

    def keeping(self, headers: Headers, keep: Callable[[str], bool]) -> list[tuple[bytes, bytes]]:
        """The header fields with one rebuilt Cookie field; of these cookies, only plain ones with a value to keep."""
        parts = [part for part in _parts(headers) if not self._hides_in(part) or self._is_kept(part, keep)]
        others = [(name, value) for name, value in headers if name.lower() != b"cookie"]
        return [*others, (b"cookie", "; ".join(parts).encode("latin-1"))] if parts else others

    def _is_kept(self, part: str, keep: Callable[[str], bool]) -> bool:
        name, _, value = part.partition("=")
        plain = self.match(name.strip()) and not self._hides_in(value) and _is_stable(_unquoted(value))
        return plain and keep(_unquoted(value))

    def _hides_in(self, part: str) -> bool:
        return bool(self.names) and bool(self._in_part.search(part) or self._in_part.search(unquote(part)))


def _parts(headers: Headers) -> list[str]:
    """The non-empty parts between semicolons, trimmed; ``$Version`` and its like (RFC 2965) are left out."""
    fields = (value.decode("latin-1") for name, value in headers if name.lower() == b"cookie")
    parts = (part.strip() for field in fields for part in field.split(";"))
    return [part for part in parts if part and not part.startswith("$")]


def set_cookies(headers: Headers) -> list[tuple[str, str | None]]:
    """What a response's Set-Cookie fields set, in order: name and value, or None for one that is deleted."""
    found: list[tuple[str, str | None]] = []
    for field, text in headers:
        if field.lower() == b"set-cookie":
            pair, _, attributes = text.decode("latin-1").partition(";")
            name, _, value = pair.partition("=")
            gone = re.search(r"max-age\s*=\s*(0|-\d+)\s*(;|$)", attributes, re.IGNORECASE)
            found.append((name.strip(), None if gone or value.strip() in ("", '""', "''") else value.strip()))
    return found


def merged_cookies(headers: Headers, changes: Sequence[tuple[str, str | None]]) -> bytes:
    """A Cookie field as a client would send it after a response made ``changes`` to the cookies of its request."""
    changed = dict(changes)
    kept = [part for part in _parts(headers) if part.partition("=")[0].strip() not in changed]
    new = [f"{name}={value}" for name, value in changes if value is not None]
    return "; ".join([*kept, *new]).encode("latin-1")


def set_cookie_header(name: str, value: str, *, max_age: int, secure: bool) -> tuple[bytes, bytes]:
    """A Set-Cookie field for a cookie of ours: HttpOnly, SameSite=Lax, for the whole host; ``max_age`` 0 deletes it.

    :raises ValueError: for a value that cannot stand in a cookie.
    """
    if not _COOKIE_VALUE.fullmatch(value):
        raise ValueError("that cannot stand in a cookie")
    attributes = f"HttpOnly; Max-Age={max_age}; Path=/; SameSite=Lax{'; Secure' if secure else ''}"
    return b"set-cookie", f"""{name}={value or '""'}; {attributes}""".encode()

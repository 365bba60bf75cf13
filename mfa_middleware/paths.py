"""Which requests may be logins: ``METHOD /path`` patterns, matched as generously as any router might route.

The response decides whether a request was a login, so that matching too much costs little and matching too little
would be a way round: percent-decoding, doubled and trailing slashes, case, dots and ``root_path`` make no difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from mfa_middleware.errors import ConfigurationError
from mfa_middleware.settings import split

_PATTERN = re.compile(r"(\*|[A-Za-z]+)\s+(/\S*)")
_ABSOLUTE_FORM = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*")  # some servers pass it on (RFC 9112 §3.2.2)
_REMEMBERED_PATHS = 1024
_LONGEST_REMEMBERED = 512
_MOST_DECODINGS = 4


@dataclass(frozen=True, slots=True)
class LoginPattern:
    """One of ``MFA_LOGIN``: a method (``*`` for any) and a path as a regular expression over its canonical form."""

    method: str
    path: re.Pattern[str]


def parse_patterns(text: str) -> tuple[LoginPattern, ...]:
    """The patterns in a value of ``MFA_LOGIN``.

    :raises ConfigurationError: for one that is not ``METHOD /path``.
    """
    return tuple(_parse(part) for part in split(text))


def _parse(text: str) -> LoginPattern:
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"MFA_LOGIN: {text!r} is not METHOD /path, as in POST /login or * /auth/**.")
    method, path = found.groups()
    segments = canonical(path).split("/")[1:]
    translated = (_SEGMENTS.get(segment, "/" + re.escape(segment)) for segment in segments)
    # Case is left to the pattern: it folds more than lower(), as routers with such patterns of their own do.
    return LoginPattern(method.upper(), re.compile("".join(translated) or "/", re.IGNORECASE))


_SEGMENTS = {"*": "/[^/]+", "**": "(?:/(?s:.*))?"}


def canonical(path: str, *, resolve_dots: bool = True) -> str:
    """One form for all spellings of a path that a router might treat alike: ``//login%2F`` is ``/login``."""
    path = _ABSOLUTE_FORM.sub("", _decodings(path)[-1])
    path = path.split("?", 1)[0].split("#", 1)[0].split(";", 1)[0].replace("\\", "/")
    segments: list[str] = []
    for segment in path.split("/"):
        name = segment.strip().rstrip("\0")
        if name == ".." and resolve_dots:
            del segments[-1:]
        elif name not in ("", "."):
            segments.append(name)
    return "/" + "/".join(segments)


def _decodings(path: str) -> list[str]:
    """The path, and what a few rounds of percent-decoding make of it: servers decode once, some routers once more."""
    found = [path]
    while len(found) <= _MOST_DECODINGS and (path := unquote(path)) != found[-1]:
        found.append(path)
    return found


def _spellings(path: str) -> set[str]:
    """What a router may take that path for. A segment that a ``*`` stands for may hold anything but a slash."""
    plain = {"/" + "/".join(part for part in one.split("/") if part) for one in _decodings(path)}
    stripped = {re.sub(r"\s+(?=/|$)|\0+$", "", one) for one in plain}
    return {canonical(path), canonical(path, resolve_dots=False), *plain, *stripped}


def login_matcher(text: str) -> Callable[[str, str], frozenset[str]]:
    """From ``(path, root_path)`` to the methods declared for it: empty for a path that is no login's, ``*`` for any.

    Answers are remembered: the same few paths are asked about on every request.
    """
    patterns = parse_patterns(text)

    def methods(path: str, root_path: str) -> frozenset[str]:
        if unquote(last := _decodings(path)[-1]) != last:
            return frozenset(one.method for one in patterns)  # no end of its decoding: it could be any of them
        spellings = _spellings(path)
        if root_path:
            root = canonical(root_path)
            # Some routers take it off as a mere prefix, without a slash after it.
            below = {one[len(root) :] for one in spellings if one.lower().startswith(root.lower())}
            spellings |= {"/" + one.lstrip("/") for one in below}
        return frozenset(one.method for one in patterns if any(one.path.fullmatch(path) for path in spellings))

    remembered = lru_cache(maxsize=_REMEMBERED_PATHS)(methods)
    return lambda path, root_path: (methods if len(path) > _LONGEST_REMEMBERED else remembered)(path, root_path)

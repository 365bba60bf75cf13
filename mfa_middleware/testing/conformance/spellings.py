"""In how many ways one thing is said: a path, a cookie; and what two answers can be told apart by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mfa_middleware.testing.conformance.client import Response

#: Cookies that sign nobody in.
HARMLESS = re.compile(r"csrf|xsrf|lang|theme|messages|__host-mfa_|mfa_", re.IGNORECASE)
_SESSION_LIKE = re.compile(r"sess|sid$|auth|remember|token|login|jwt", re.IGNORECASE)
_LONG_VALUE = 16


def looks(response: Response) -> object:
    """What a client can tell two answers apart by; not what is new each time."""
    fields = sorted(name for name in response.headers if name not in ("date", "set-cookie"))
    return response.status_code, fields, sorted(response.cookies), re.sub(r"[\w-]{16,}", "", response.text)


def is_like_session(name: str, value: str) -> bool:
    """Whether a cookie may be one that signs somebody in."""
    return not HARMLESS.search(name) and (bool(_SESSION_LIKE.search(name)) or len(value) >= _LONG_VALUE)


def path_spellings(path: str) -> Sequence[str]:
    """Spellings that some router or server takes for that path."""
    bare = path.rstrip("/")
    head, _, last = bare.rpartition("/")
    encoded = f"%{ord(last[0]):02x}{last[1:]}" if last else last
    made = [
        f"{bare}/", bare, f"/{path}", f"{head}//{last}", f"{head}/{encoded}", f"{bare}%2f", f"{head}/./{last}",
        f"{head}/x/../{last}", f"{head}/x/%2e%2e/{last}", bare.upper(), bare.title(), f"{bare};x=1", f"{bare}?x=1",
        f"{bare}%3b", f"{bare}%20", f"{bare}%00", f"http://localhost{path}", f"{head}\\{last}",
    ]  # fmt: skip
    return [one for one in dict.fromkeys(made) if one]


def cookie_spellings(name: str, value: str) -> Sequence[Sequence[str]]:
    """Whole Cookie fields that some framework reads as that cookie."""
    return [
        [f"{name}={value}"],
        [f"{name}=other; {name}={value}"],
        [f"{name}={value}; {name}=other"],
        ["a=b", f"{name}={value}"],
        [f"{name}={value}", f"{name}=other"],
        [f'{name}="{value}"'],
        [f"{name} = {value}"],
        [f"{name}\t={value}"],
        [f"$Version=1; {name}={value}; $Path=/"],
        [f";{name}={value}"],
        [f"a=b,{name}={value}"],
        [f"{name.upper()}={value}"],
    ]

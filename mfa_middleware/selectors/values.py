"""From what stands in a response or request to a user's id; and RFC 6901 pointers into JSON."""

from __future__ import annotations

import re

from mfa_middleware.errors import LoginNotHeld

_LONGEST_USER_ID = 255
_LARGEST_INTEGER_BITS = 512
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")  # RFC 6901 §4


def user_id(value: object) -> str | None:
    """A user's id: a string, or an integer in decimal. None and the empty string are nobody.

    :raises LoginNotHeld: for anything else; who that is cannot be told.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LARGEST_INTEGER_BITS:
        return str(value)
    if not isinstance(value, str):
        raise LoginNotHeld(f"a selector found a {type(value).__name__} where a user's id should stand")
    if len(value) > _LONGEST_USER_ID or "\0" in value or not _encodes(value):
        raise LoginNotHeld("a selector found a user's id that is too long or has characters that cannot be kept")
    return value


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_true(value: object) -> bool:
    """Whether a selector answered true: a boolean, or as text."""
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1"))


def check_pointer(pointer: str) -> str:
    """A pointer as it is, if it is one (RFC 6901 §3).

    :raises ValueError: when it is not.
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError("a JSON pointer begins with a slash, as in /user/id")
    return pointer


def resolve_each(document: object, pointer: str) -> list[object]:
    """What stands at the pointer; of a list, what stands there in each of its items (a batch of GraphQL operations)."""
    found = resolve(document, pointer)
    if found is None and isinstance(document, list):
        return [value for item in document if (value := resolve(item, pointer)) is not None]
    return [] if found is None else [found]


def resolve(document: object, pointer: str) -> object:
    """What stands at the pointer; None when it leads nowhere (RFC 6901 §4)."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document

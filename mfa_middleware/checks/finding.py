"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARNING = "warning"  #: works, and yet somebody should know
    ERROR = "error"  #: does not work, or not as a second factor


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: a sentence that says what, and after a semicolon or colon what to do about it."""

    level: Level
    text: str


def ok(text: str) -> Finding:
    """Something that is well."""
    return Finding(Level.OK, text)


def warning(text: str) -> Finding:
    """Something that somebody should know."""
    return Finding(Level.WARNING, text)


def error(text: str) -> Finding:
    """Something that must be mended."""
    return Finding(Level.ERROR, text)

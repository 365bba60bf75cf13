"""What is said on the terminal, and how an error is told: in one sentence, without a trace and without a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from mfa_middleware.errors import ConfigurationError, InvalidRequest, Refusal, Unavailable

Result = TypeVar("Result")

FAILED = 1
UNUSABLE = 2

out = Console(highlight=False)
err = Console(highlight=False, stderr=True)


def plain(text: str, style: str = "") -> Text:
    """Text as it may go to a terminal: what steers one, in a label say, is replaced."""
    return Text("".join(one if one.isprintable() else "\ufffd" for one in text), style=style)


def say(text: str) -> None:
    """Say something, in one line however long."""
    out.print(plain(text), soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """Say something beside the result."""
    err.print(plain(text, style), soft_wrap=True)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Do it, or tell why not and leave."""
    try:
        return asyncio.run(work)
    except ConfigurationError as error:
        note(f"mfa: {error}", "red")
        raise typer.Exit(UNUSABLE) from None
    except Refusal as error:
        note(f"mfa: {told(error)}", "red")
        raise typer.Exit(FAILED) from None


def told(error: Refusal) -> str:
    """A refusal as operators are told of it: with its reason, which clients are not told."""
    if isinstance(error, InvalidRequest) and error.errors:
        return "; ".join(f"{field}: {message.rstrip('.')}" for field, message in error.errors) + "."
    if isinstance(error, Unavailable):
        return f"{error.reason}: no answer; see `mfa check`."
    return f"{error.reason}."

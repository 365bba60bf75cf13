"""``mfa check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mfa_middleware.checks import Level
from mfa_middleware.checks import check as look
from mfa_middleware.cli.terminal import FAILED, out, plain, run
from mfa_middleware.selectors import Place

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def check(
    inside: Annotated[
        bool | None,
        typer.Option(
            "--inside/--outside",
            help="Where the middleware stands: inside of the session middleware, or outside of the app.",
            show_default="outside with MFA_APP, else both are told of",
        ),
    ] = None,
) -> None:
    """Tell what is wrong with settings, keys, plugins, Redis and the database, and how to mend it; changes nothing."""
    place = None if inside is None else Place.INSIDE if inside else Place.OUTSIDE
    sys.path.insert(0, str(Path.cwd()))  # as uvicorn does, so that it finds the same MFA_APP
    findings = run(look(place=place))
    for one in findings:
        out.print(plain(f"{one.level:<8}", _STYLES[one.level]).append_text(plain(one.text)), soft_wrap=True)
    if any(one.level is Level.ERROR for one in findings):
        raise typer.Exit(FAILED)

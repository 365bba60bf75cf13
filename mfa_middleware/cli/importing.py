"""``mfa import``: secrets of another system, one JSON object a line. All lines are looked at before one is imported."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, BinaryIO, cast

import typer
from pydantic import StrictInt, StrictStr, ValidationError
from rich.progress import Progress

from mfa_middleware import management
from mfa_middleware.cli.opened import database, known_user
from mfa_middleware.cli.terminal import FAILED, err, note, run, say, told
from mfa_middleware.core import Core
from mfa_middleware.errors import InvalidRequest, Refusal
from mfa_middleware.events import Events, trace_id
from mfa_middleware.management import ImportedSecret
from mfa_middleware.mfa import MFA
from mfa_middleware.models import Decide, UserFactors
from mfa_middleware.settings import Settings
from mfa_middleware.stores.protocols import AuthenticatorStore
from mfa_middleware.web.schemas import Import

_TOLD = 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
Lines = Iterator[tuple[int, bytes]]


class Line(Import):
    """One authenticator."""

    user: StrictStr | StrictInt


class _Nowhere:
    """A database for the rehearsal: what is decided on is made, and not kept."""

    async def change(self, user_id: str, decide: Decide) -> UserFactors:
        decide(UserFactors(user_id))
        return UserFactors(user_id)


def import_file(
    file: Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", help="JSON lines; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at all lines and import none.")] = False,
) -> None:
    """Import authenticators of another system, live at once.

    Each line: {"user", "factor", "secret", "label"?, "recoveryCodes"?}. Where one is bad, nothing is imported.
    """
    run(_import(cast("BinaryIO", file), dry_run=dry_run))


async def _import(file: BinaryIO, *, dry_run: bool) -> None:
    # What can be read only once stays in memory: a temporary file would have the secrets in the clear.
    source = file if file.seekable() else io.BytesIO(file.read())
    mfa = MFA(Settings())
    count = await _rehearse(mfa.parts.core, _lines(source))
    if dry_run:
        say(f"{count} lines can be imported. Nothing was imported.")
        return
    source.seek(0)
    async with database(mfa) as core:
        await _perform(core, _lines(source), count)
    say(f"{count} authenticators imported.")


async def _rehearse(core: Core, lines: Lines) -> int:
    """Do it all, but for keeping it; returns how many lines there are. Leaves when one is bad."""
    rehearsal = replace(core, authenticator_store=cast("AuthenticatorStore", _Nowhere()), events=Events())
    good = bad = 0
    for number, text in lines:
        try:
            await _take(rehearsal, text)
            good += 1
        except InvalidRequest as error:
            bad += 1
            if bad <= _TOLD:
                note(f"line {number}: {told(error)}", "red")
    if bad:
        more = f" (the first {_TOLD} are named)" if bad > _TOLD else ""
        note(f"mfa: {bad} of {good + bad} lines cannot be imported{more}; nothing was imported.", "red")
        raise typer.Exit(FAILED)
    return good


async def _perform(core: Core, lines: Lines, count: int) -> None:
    done = 0
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("importing", total=count)
        for number, text in lines:
            try:
                await _take(core, text)
            except Refusal as error:
                note(f"mfa: line {number}: {told(error)}", "red")
                note(f"{done} authenticators were imported: those of the lines before. Import the rest alone.")
                raise typer.Exit(FAILED) from None
            done += 1
            progress.update(task, completed=done)


async def _take(core: Core, text: bytes) -> None:
    """Import one line.

    :raises InvalidRequest: naming the field, never its value.
    """
    try:
        line = Line.model_validate_json(text)
    except ValidationError as error:
        raise InvalidRequest("not a line to import", _flaws(error)) from None
    imported = ImportedSecret(line.factor, line.secret, line.label, tuple(line.recovery_codes))
    await management.import_secret(core, known_user(line.user), imported, trace_id())


def _flaws(error: ValidationError) -> list[tuple[str, str]]:
    found = error.errors(include_input=False, include_context=False, include_url=False)
    # Of each field once: a user is a string or an integer, and wrong as both.
    flaws = {str(one["loc"][0]) if one["loc"] else "JSON": one["msg"].removeprefix("Value error, ") for one in found}
    return list(flaws.items())


def _lines(source: BinaryIO) -> Lines:
    for number, line in enumerate(source, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK).strip()
        if text:
            yield number, text

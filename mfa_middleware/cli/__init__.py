"""The command ``mfa``. Settings come from ``MFA_*`` variables, as the server's do.

Exit codes: 0 well, 1 something was found or failed, 2 the settings or the arguments cannot be used. Nothing on the
terminal is a secret but what ``mfa keygen`` prints.

The rooms of it:

    terminal     what is said, and how an error is told
    checking     mfa check
    plugin_list  mfa plugins
    users        mfa status, mfa reset
    importing    mfa import
    rotating     mfa rotate
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from mfa_middleware.cli.checking import check
from mfa_middleware.cli.importing import import_file
from mfa_middleware.cli.plugin_list import plugins
from mfa_middleware.cli.rotating import rotate
from mfa_middleware.cli.terminal import run, say
from mfa_middleware.cli.users import reset, status
from mfa_middleware.keyring import new_key
from mfa_middleware.settings import Settings
from mfa_middleware.stores import sql

app = typer.Typer(
    name="mfa",
    help="A second factor in front of any ASGI app. Settings come from the variables MFA_*, as the server's do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a trace with the values of variables would show secrets
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"mfa-middleware {version('mfa-middleware')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
def keygen() -> None:
    """Print a new key for MFA_SECRET_KEY. To rotate, put it before the keys that are there, with a comma."""
    typer.echo(new_key())


@app.command()
def migrate() -> None:
    """Bring the database's tables to this release. Doing it twice does no harm."""
    say(f"The database's tables are of version {run(_migrate())}.")


async def _migrate() -> str:
    return await sql.migrate(Settings())


app.command()(check)
app.command()(plugins)
app.command()(status)
app.command()(reset)
app.command("import")(import_file)
app.command()(rotate)


def main() -> None:
    """Run the command line."""
    app(prog_name="mfa")

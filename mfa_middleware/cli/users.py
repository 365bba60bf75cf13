"""``mfa status`` and ``mfa reset``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from mfa_middleware import management
from mfa_middleware.cli.opened import both_stores, database, existing, known_user
from mfa_middleware.cli.terminal import note, out, plain, run, say
from mfa_middleware.core import Core
from mfa_middleware.mfa import MFA
from mfa_middleware.models import UserFactors

User = Annotated[str, typer.Argument(metavar="USER", help="The user's id, as the app gives it.")]


def status(user: User) -> None:
    """Show a user's authenticators, recovery codes left, wrong answers and lock. Never a secret."""
    run(_status(user))


async def _status(user: str) -> None:
    async with database(MFA(existing())) as core:
        known = await core.authenticator_store.load(known_user(user))
        overview = await management.overview(core, known.user_id)
    if overview.authenticators:
        out.print(_table(known))
    say(_summary(core, known))
    say(f"Recovery codes left: {overview.recovery_codes_left}.")
    say(_lock(core, known))


def _table(user: UserFactors) -> Table:
    table = Table("factor", "label", "enabled", "created", "last used", "id")
    for one in user.live:
        if not one.backup:
            enabled = "yes" if one.enabled else "no"
            times = (_date(one.created_at), _date(one.last_used_at))
            table.add_row(*map(plain, (one.factor, one.label, enabled, *times, one.id)))
    return table


def _summary(core: Core, user: UserFactors) -> str:
    pending = sum(not one.live and one.pending_until > time.time() for one in user.authenticators)
    begun = f" {pending} not confirmed yet." if pending else ""
    if user.gated:
        return f"{user.user_id} proves a second factor at login.{begun}"
    if core.settings.enrolment == "required":
        return f"{user.user_id} has no second factor, and must bind one at the next login.{begun}"
    return f"{user.user_id} logs in without a second factor.{begun}"


def _lock(core: Core, user: UserFactors) -> str:
    failures = f"Consecutive wrong answers: {user.failures}."
    if user.failures >= core.policy.hard:
        return f"{failures} Locked until a recovery code or an admin ends it."
    if user.locked_until > time.time():
        return f"{failures} Locked until {_date(user.locked_until)}."
    return f"{failures} Not locked."


def _date(seconds: float | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def reset(
    user: User, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")] = False
) -> None:
    """Remove all of a user's authenticators, recovery codes, wrong answers and the lock: for who has lost them all."""
    run(_reset(user, asking=not yes))


async def _reset(user: str, *, asking: bool) -> None:
    async with both_stores(existing()) as mfa:
        found = await mfa.overview(known_user(user))
        say(f"{user}: {len(found.authenticators)} authenticator(s), {found.recovery_codes_left} recovery code(s) left.")
        if asking:
            typer.confirm("Remove them, and let this user log in without a second factor?", abort=True)
        await mfa.reset(user)
    say(f"{user} has none now, and is not locked.")
    if mfa.parts.settings.redis_url.startswith("memory://"):
        note("MFA_REDIS_URL is memory://: a running server remembers wrong answers and a lock until it is restarted.")

"""``mfa rotate``."""

from __future__ import annotations

from rich.progress import Progress

from mfa_middleware.cli.opened import database
from mfa_middleware.cli.terminal import err, run, say
from mfa_middleware.mfa import MFA
from mfa_middleware.rotation import count, reseal
from mfa_middleware.settings import Settings


def rotate() -> None:
    """Seal with the first key of MFA_SECRET_KEY what older ones have sealed. May be stopped and begun again."""
    run(_rotate())


async def _rotate() -> None:
    seen = anew = 0
    async with database(MFA(Settings())) as core:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
            task = progress.add_task("sealing anew", total=await count(core))
            async for was_old in reseal(core):
                seen += 1
                anew += was_old
                progress.update(task, completed=seen)
    say(f"{anew} of {seen} authenticators were sealed anew. Older keys open none of them any more.")
    say("Take the older keys out of MFA_SECRET_KEY when the last server has had the new one for MFA_TOKEN_TTL seconds.")

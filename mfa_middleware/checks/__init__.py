"""What ``mfa check`` looks at: everything that start-up would refuse, in the same words, and what it cannot see.

The rooms of it:

    finding   what is found
    setup     the wrapped app, keys, plugins: without touching an engine
    engines   Redis and the database
    logins    whether the selectors can see who logs in and who calls, from where the middleware stands

Looking changes nothing: no key, no database and no table of SQLite is made that is not there already.
"""

from __future__ import annotations

from collections.abc import Sequence

from mfa_middleware.checks import engines, logins, setup
from mfa_middleware.checks.finding import Finding, Level, error
from mfa_middleware.errors import ConfigurationError
from mfa_middleware.parts import Parts
from mfa_middleware.selectors import Place
from mfa_middleware.settings import Settings

__all__ = ["Finding", "Level", "check"]


async def check(settings: Settings | None = None, *, place: Place | None = None) -> Sequence[Finding]:
    """Look at everything. ``place`` is where the middleware stands; with ``MFA_APP`` that is outside.

    Without ``settings``, those of the environment. A place that is not known is no error: both are told of.
    """
    try:
        settings = settings or Settings()
    except ConfigurationError as refusal:
        return [error(str(refusal))]
    if settings.app and place is None:
        place = Place.OUTSIDE
    findings = [*setup.app(settings), *setup.keys(settings)]
    settings = setup.with_some_key(settings)
    refusals, parts = setup.refusals(settings)
    findings += refusals
    if parts is not None:
        findings += [*setup.plugins(parts), *logins.everywhere(parts), *logins.at_place(parts, place)]
    findings += [*await engines.token_store(settings), *await engines.authenticator_store(settings, parts)]
    if parts is not None:
        findings += await _start_up(parts, findings)
    return list(dict.fromkeys(findings))


async def _start_up(parts: Parts, findings: Sequence[Finding]) -> Sequence[Finding]:
    """What start-up says, should it refuse something that was found well until here."""
    if any(one.level is Level.ERROR for one in findings):
        return []
    return await engines.start_up(parts.settings)

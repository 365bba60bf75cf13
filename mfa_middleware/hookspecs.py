"""The hooks: all that a plugin can add.

They are synchronous and only register; what is asynchronous lives on the objects that they return. Each hook is asked
once, when the ``MFA`` that the settings belong to starts. A plugin reads its own settings there, through
:meth:`Settings.section <mfa_middleware.settings.Settings.section>`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mfa_middleware.factor import Factor
from mfa_middleware.settings import Settings

#: pluggy's name for this host, and the group of entry points that plugins are found by.
PROJECT = "mfa_middleware"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mfa_register_factors(settings: Settings) -> Iterable[Factor]:
    """Kinds of second factor, each with a name of its own."""
    return ()


@hookspec
def mfa_register_dialects(settings: Settings) -> Iterable[object]:
    """Ways in which challenges and answers look on the wire, each with a ``name`` for ``MFA_DIALECT``."""
    return ()


@hookspec
def mfa_register_selectors(settings: Settings) -> Iterable[object]:
    """Subclasses of ``Selector``, each with a ``kind`` that stands before the colon (``kind:argument``)."""
    return ()


@hookspec
def mfa_register_event_listeners(settings: Settings) -> Iterable[object]:
    """Listeners that are told every event."""
    return ()

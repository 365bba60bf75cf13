"""The one door for what a setting names: stores, the web layer and the wrapped app are imported when they are opened.

So ``import mfa_middleware`` stays light, and a missing driver is told where its setting is.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from mfa_middleware.errors import ConfigurationError


def load(name: str) -> Any:  # noqa: ANN401  whatever stands there
    """The object of an import string ``package.module:attribute``."""
    module, _, attribute = name.partition(":")
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def load_app(name: str) -> Any:  # noqa: ANN401  an ASGI app of any make
    """The app that ``MFA_APP`` names.

    :raises ConfigurationError: when the string does not parse, or nothing is there.
    """
    if not re.fullmatch(r"[^.:][^:]*:[^:]+", name):
        raise ConfigurationError("MFA_APP must be an import string like package.module:attribute.")
    try:
        return load(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"MFA_APP: {name} does not import: {error}.") from error
    except AttributeError as error:
        raise ConfigurationError(f"MFA_APP: {name}: {error}.") from error

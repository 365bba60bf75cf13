"""Selectors: small expressions that say where a user's id stands in a login response or in a request.

``kind:argument``, comma-separated. Where several answer, they must agree.
"""

from mfa_middleware.selectors.base import LoginExchange, Place, RequestExchange, Selector
from mfa_middleware.selectors.choice import LoginSelectors, RequestSelectors, parse_selectors
from mfa_middleware.selectors.values import user_id

__all__ = [
    "LoginExchange",
    "LoginSelectors",
    "Place",
    "RequestExchange",
    "RequestSelectors",
    "Selector",
    "parse_selectors",
    "user_id",
]

"""What a dialect with an API of its own is made of (:mod:`mfa_middleware.answering`), for plugins.

A subclass of :class:`Site` turns :class:`Operation` objects into an ASGI app; a handler gets a :class:`Call`, which
knows who makes it, and calls the use-cases, which are the methods of ``MFA``.
"""

from mfa_middleware.callers import Caller
from mfa_middleware.management import ImportedSecret
from mfa_middleware.verification import Proven
from mfa_middleware.web.api import assurance_cookie, released
from mfa_middleware.web.calls import Call
from mfa_middleware.web.operations import Handler, Operation, RawResponse
from mfa_middleware.web.site import Site, Work

__all__ = [
    "Call",
    "Caller",
    "Handler",
    "ImportedSecret",
    "Operation",
    "Proven",
    "RawResponse",
    "Site",
    "Work",
    "assurance_cookie",
    "released",
]

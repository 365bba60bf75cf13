"""Cross-origin rules: which pages may change something here, and which may read the answers.

A browser says where a request comes from (Fetch Metadata ``Sec-Fetch-Site``, or ``Origin``), so that no token has to
be carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from mfa_middleware.errors import CrossOrigin
from mfa_middleware.passage import Scope
from mfa_middleware.response_body import header
from mfa_middleware.settings import Settings, split

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ALLOWED_FIELDS = ("accept", "authorization", "content-type", "traceparent")
_PREFLIGHT_SECONDS = b"600"


class Origins:
    """The origins that may call: that of the request itself, and those of ``MFA_ORIGINS``."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(origin.lower() for origin in split(settings.origins))

    def check(self, scope: Scope) -> None:
        """Let a request pass that no page of another origin has sent.

        A request with neither ``Sec-Fetch-Site`` nor ``Origin`` comes from no browser.

        :raises CrossOrigin: for an unsafe request from elsewhere, or from an opaque (``null``) origin.
        """
        if scope["method"] in _SAFE_METHODS:
            return
        headers = tuple(scope["headers"])
        site = header(headers, b"sec-fetch-site").strip().lower()
        origin = header(headers, b"origin").strip().lower()
        if origin in self._allowed and origin:
            return
        if site in ("same-origin", "none") or (not site and (not origin or _same_host(origin, headers))):
            return
        raise CrossOrigin(f"sent by {origin or 'a page'} ({site or 'no Sec-Fetch-Site'})")

    def fields(self, scope: Scope) -> Sequence[tuple[bytes, bytes]]:
        """The CORS fields of an answer to this request; none when its origin is not in ``MFA_ORIGINS``."""
        origin = header(tuple(scope["headers"]), b"origin").strip()
        if not origin or origin.lower() not in self._allowed:
            return ()
        return (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"retry-after, www-authenticate"),
            (b"vary", b"origin"),
        )

    def preflight(self, scope: Scope, more: Sequence[str] = ()) -> Sequence[tuple[bytes, bytes]]:
        """The fields that answer a preflight; ``more`` names request header fields that are allowed, too."""
        fields = self.fields(scope)
        if not fields:
            return ()
        return (
            *fields,
            (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
            (b"access-control-allow-headers", ", ".join((*_ALLOWED_FIELDS, *more)).encode()),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        )


def _same_host(origin: str, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    # The host alone: behind a proxy that ends TLS the scheme that we see is not the browser's.
    try:
        return urlsplit(origin).netloc == header(headers, b"host").strip().lower()
    except ValueError:
        return False  # not even a URL

"""How pages look: templates, brand, stylesheet, and the header fields that every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
)
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mfa_middleware.errors import ConfigurationError, NotFound
from mfa_middleware.settings import Settings
from mfa_middleware.web.calls import Call

_ACCENT = "#1f5fbf"
_STATIC = {"style.css": "text/css", "page.js": "text/javascript"}
_YEAR = "public, max-age=31536000, immutable"
_DARKEST_FOR_BLACK = 0.179  # the luminance at which black and white text contrast alike (WCAG 2.2, 1.4.3)


class Looks:
    """Renders pages. ``MFA_TEMPLATES`` replaces templates by name; ``ours/…`` are ours all the same, to extend.

    :raises ConfigurationError: for a template that does not parse.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = _environment(settings)
        self._static = {name: self._environment.get_template(name).render().encode() for name in _STATIC}
        version = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:16]
        self._environment.globals["version"] = version
        self._version = version
        self._fields = _header_fields(settings)

    def page(self, call: Call[Any], template: str, status: int = 200, **values: object) -> Response:
        """A page. ``mount`` is there in every template."""
        text = self._environment.get_template(template).render(mount=call.mount, **values)
        asks = {"www-authenticate": 'Bearer realm="mfa"'} if status == 401 else {}
        return HTMLResponse(text, status, {**self._fields, **asks})

    async def static(self, call: Call[Any]) -> Response:
        """``GET /static/{name}``: kept for a year under its version, not at all under another.

        :raises NotFound: for any other name.
        """
        name = call.request.path_params["name"]
        if name not in _STATIC:
            raise NotFound("no such file")
        caching = _YEAR if call.request.query_params.get("v") == self._version else "no-store"
        headers = {"cache-control": caching, "x-content-type-options": "nosniff"}
        return Response(self._static[name], headers=headers, media_type=_STATIC[name])

    def login_path(self, call: Call[Any]) -> str:
        """Where a browser logs in: the first path of ``MFA_LOGIN`` without a ``*``, else the app's root."""
        root = call.mount.removesuffix(self._settings.mount)
        paths = (pattern.split()[-1].strip() for pattern in self._settings.login.split(","))
        return root + next((path for path in paths if "*" not in path), "/")


def see_other(call: Call[Any], path: str) -> Response:
    """303 to a page of ours."""
    return RedirectResponse(call.mount + path, 303, {"cache-control": "no-store"})


def _environment(settings: Settings) -> Environment:
    pages = PackageLoader("mfa_middleware.web", "templates")
    files = PackageLoader("mfa_middleware.web", "static")
    own = [FileSystemLoader(settings.templates)] if settings.templates else []
    environment = Environment(
        loader=ChoiceLoader([*own, pages, files, PrefixLoader({"ours": pages})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    accent = settings.brand_color or _ACCENT
    environment.globals.update(
        lang=settings.locale or "en",
        brand_name=settings.brand_name or settings.issuer,
        brand_logo=settings.brand_logo,
        accent=accent,
        on_accent="#000000" if _luminance(accent) > _DARKEST_FOR_BLACK else "#ffffff",
    )
    environment.filters.update(day=_day, in_groups=_in_groups)
    for name in environment.list_templates(extensions=["html", "css", "js"]):
        try:
            environment.get_template(name)
        except TemplateError as error:
            raise ConfigurationError(f"MFA_TEMPLATES: {name} does not parse: {error}") from error
    return environment


def _header_fields(settings: Settings) -> Mapping[str, str]:
    """What every page has.

    The policy has no ``form-action``: Chromium applies it to the redirects that follow a form's POST as well, and the
    released login may redirect anywhere. ``no-referrer`` would make the browser send ``Origin: null`` with our forms.
    """
    logo = urlsplit(settings.brand_logo)
    elsewhere = f" {logo.scheme}://{logo.netloc}" if logo.netloc else ""
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; "
        f"img-src 'self' data:{elsewhere}; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cache-control": "no-store",
    }


def _luminance(color: str) -> float:
    """Of ``#rrggbb``, from 0 (black) to 1 (WCAG 2.2, "relative luminance")."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _in_groups(secret: str) -> str:
    """In groups of four, as people type it."""
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))

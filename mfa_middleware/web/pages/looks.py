"""How pages look: templates, brand, stylesheet, and the header fields that every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import segno
from babel.dates import format_date, format_timedelta
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

from mfa_middleware.dialects.native import language_in
from mfa_middleware.errors import ConfigurationError, NotFound
from mfa_middleware.settings import Settings
from mfa_middleware.translations import LANGUAGES, catalogue, locale, translated
from mfa_middleware.web.calls import Call

_ACCENT = "#1f5fbf"
_STATIC = {"style.css": "text/css", "page.js": "text/javascript"}
_YEAR = "public, max-age=31536000, immutable"
_DARKEST_FOR_BLACK = 0.179  # the luminance at which black and white text contrast alike (WCAG 2.2, 1.4.3)
_DARKEST_ON_DARK = 0.24  # the luminance from which on a colour contrasts with the dark card by 4.5
_MASK = 3  # any mask of a QR code scans; trying all eight for the prettiest takes six times as long
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class Looks:
    """Renders pages. ``MFA_TEMPLATES`` replaces templates by name; ``ours/…`` are ours all the same, to extend.

    :raises ConfigurationError: for a template that does not parse.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environments = {language: _environment(settings, language) for language in LANGUAGES[:1]}
        first = self._environments[LANGUAGES[0]]
        _require_templates(first, settings.templates)
        self._static = {name: first.get_template(name).render().encode() for name in _STATIC}
        self._version = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:16]
        self._fields = _header_fields(settings)

    def page(self, call: Call[Any], template: str, status: int = 200, **values: object) -> Response:
        """A page, in the language that ``MFA_LOCALE`` or the browser names. Every template knows ``mount``."""
        language = language_in(call.request.scope, self._settings.locale)
        known = {"mount": call.mount, "version": self._version, "home": self.home(call)}
        text = self._in(language).get_template(template).render(**known, **values)
        asks = {"www-authenticate": 'Bearer realm="mfa"'} if status == 401 else {}
        return HTMLResponse(text, status, {**self._fields, "content-language": language, **asks})

    def _in(self, language: str) -> Environment:
        """Made when a language is first asked for: most apps are used in one or two."""
        if language not in self._environments:
            self._environments[language] = _environment(self._settings, language)
        return self._environments[language]

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
        paths = (pattern.split()[-1].strip() for pattern in self._settings.login.split(","))
        return self._root(call) + next((path for path in paths if "*" not in path), "/")

    def home(self, call: Call[Any]) -> str:
        """The app's start page."""
        return f"{self._root(call)}/"

    def _root(self, call: Call[Any]) -> str:
        return call.mount.removesuffix(self._settings.mount)


def see_other(call: Call[Any], path: str) -> Response:
    """303 to a page of ours."""
    return RedirectResponse(call.mount + path, 303, {"cache-control": "no-store"})


def _environment(settings: Settings, language: str) -> Environment:
    pages = PackageLoader("mfa_middleware.web", "templates")
    files = PackageLoader("mfa_middleware.web", "static")
    own = [FileSystemLoader(settings.templates)] if settings.templates else []
    environment = Environment(
        loader=ChoiceLoader([*own, pages, files, PrefixLoader({"ours": pages})]),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = catalogue(language)
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    accent = settings.brand_color or _ACCENT
    bright = _readable_on_dark(accent)
    environment.globals.update(
        lang=language,
        brand_name=settings.brand_name or settings.issuer,
        brand_logo=settings.brand_logo,
        accent=accent,
        on_accent=_text_on(accent),
        bright_accent=bright,
        on_bright_accent=_text_on(bright),
    )
    environment.filters.update(
        day=partial(_day, language=language),
        duration=partial(in_words, language=language),
        in_groups=_in_groups,
        qr_code=_qr_code,
        translated=partial(translated, language=language),
    )
    return environment


def _require_templates(environment: Environment, folder: str) -> None:
    """Ours parse; those of ``MFA_TEMPLATES`` may not, which start-up shall tell and not a login."""
    names = FileSystemLoader(folder).list_templates() if folder else []
    for name in names:
        if name.endswith((".html", ".css", ".js")):
            _require_template(environment, name)


def _require_template(environment: Environment, name: str) -> None:
    try:
        environment.get_template(name)
    except TemplateError as error:
        raise ConfigurationError(f"MFA_TEMPLATES: {name} does not parse: {error}") from error


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


def _text_on(color: str) -> str:
    return "#000000" if _luminance(color) > _DARKEST_FOR_BLACK else "#ffffff"


def _readable_on_dark(color: str) -> str:
    """The colour itself, or mixed with as much white as it takes to be read on a dark page."""
    parts = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    while _luminance(color) < _DARKEST_ON_DARK:
        parts = [part + max(1, (255 - part) // 8) if part < 255 else part for part in parts]
        color = "#" + "".join(f"{part:02x}" for part in parts)
    return color


def _luminance(color: str) -> float:
    """Of ``#rrggbb``, from 0 (black) to 1 (WCAG 2.2, "relative luminance")."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _day(moment: datetime, language: str) -> str:
    return format_date(moment, "long", locale(language))


def in_words(seconds: int, language: str) -> str:
    """A time to wait, rounded up: ``45 seconds``, ``15 minutes``, ``2 hours``."""
    size = next((size for size in (_DAY, _HOUR, _MINUTE) if seconds > size), 1)
    rounded = timedelta(seconds=-(-seconds // size) * size)
    return format_timedelta(rounded, threshold=1, locale=locale(language))


def _in_groups(secret: str) -> str:
    """In groups of four, as people type it."""
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


def _qr_code(uri: str) -> str:
    """A ``data:`` URL of an SVG: sharp at any size. On white, since dark pages would invert it."""
    return segno.make_qr(uri, error="m", mask=_MASK, boost_error=False).svg_data_uri(light="#fff", omitsize=True)

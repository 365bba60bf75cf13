"""What people read, in their language: the catalogues, and which of them a request asks for.

English needs no catalogue: the sentences in the code are its own. The others stand beside this file as ``.po`` files
and are compiled when they are first asked for, which takes some 20 ms; so nothing needs to be built or installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from babel.core import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

#: Each as a tag of BCP 47. Where a language has several, the first one is for who names the language alone.
LANGUAGES = ("en", "zh-Hans", "zh-Hant", "ja")
_LONGEST = 500  # characters of an Accept-Language that are read


def marked(text: str) -> str:
    """The text itself; marks it to be translated where it is shown."""
    return text


@cache
def catalogue(language: str) -> NullTranslations:
    """The translations of one of ``LANGUAGES``."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = BytesIO()
    with (files(__name__) / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=str(locale(language))))
    compiled.seek(0)
    return GNUTranslations(compiled)


def translated(text: str, language: str) -> str:
    """A sentence of ours in that language; one that no catalogue knows stays as it is."""
    return catalogue(language).gettext(text) if text else text


def locale(language: str) -> Locale:
    """How that language writes dates and durations."""
    return Locale.parse(language, sep="-")


@lru_cache(maxsize=256)
def language_of(accept_language: str) -> str:
    """The one of ``LANGUAGES`` that an ``Accept-Language`` (RFC 9110 §12.5.4) likes best; English for none."""
    wanted = sorted(_weighed(accept_language[:_LONGEST]), key=lambda one: -one[1])
    known = (_known(tag) for tag, weight in wanted if weight > 0)
    return next((one for one in known if one is not None), LANGUAGES[0])


def _weighed(accept_language: str) -> Iterator[tuple[str, float]]:
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.partition("=")
        try:
            yield tag.strip(), float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue


def _known(tag: str) -> str | None:
    """By language and script: ``zh-TW`` and ``zh-Hant-HK`` are ``zh-Hant``, and ``en-GB`` is ``en``."""
    try:
        found = Locale.parse(tag, sep="-")
    except (ValueError, TypeError, UnknownLocaleError):
        return None
    exact = f"{found.language}-{found.script}"
    return next((one for one in LANGUAGES if one in (exact, found.language) or _alone(found, one)), None)


def _alone(found: Locale, language: str) -> bool:
    return not found.script and language.startswith(f"{found.language}-")

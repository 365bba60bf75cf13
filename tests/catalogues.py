"""What is to be translated, as it stands in the code; and the catalogues, brought up to date with it.

python -m tests.catalogues    # add new sentences to each catalogue, without words yet, and take out what is gone
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import IO

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from mfa_middleware.dialects.native import STATUS
from mfa_middleware.translations import LANGUAGES
from tests.documents import ROOT

CATALOGUES = {
    language: ROOT / "mfa_middleware" / "translations" / f"{language}.po" for language in LANGUAGES if language != "en"
}
_CLASS_TEXTS = "tests.catalogues:class_texts"
_METHODS = {  # of those that match a file, the first one reads it
    "mfa_middleware": [("errors.py", _CLASS_TEXTS), ("**.py", "python"), ("**.html", "jinja2")],
    "plugins/mfa_totp": [("**.py", _CLASS_TEXTS)],
    "plugins/mfa_recovery_code": [("**.py", _CLASS_TEXTS)],
}
_KEYWORDS = {"marked": None, "_": None, "gettext": None, "ngettext": (1, 2)}
#: Reason phrases that Python 3.13 has changed.
_RENAMED = ("Request Entity Too Large", "Content Too Large", "Unprocessable Entity", "Unprocessable Content")


def extracted() -> Catalog:
    """All sentences that people may be shown."""
    found = Catalog()
    for package, methods in _METHODS.items():
        for file, _, text, _, _ in extract_from_dir(ROOT / package, methods, keywords=_KEYWORDS):
            found.add(text, locations=[(f"{package}/{file}", 0)])
    phrases = {HTTPStatus(status).phrase for status in (*STATUS.values(), 405)}
    for text in sorted(phrases.union(_RENAMED)):
        found.add(text, locations=[("HTTP", 0)])
    return found


def class_texts(
    file: IO[bytes], keywords: Mapping[str, object], comment_tags: Collection[str], options: Mapping[str, object]
) -> Iterator[tuple[int, None, str, list[str]]]:
    """An extraction method of Babel: what classes say of themselves as ``message``, ``title`` or ``hint``."""
    for node in ast.walk(ast.parse(file.read())):
        for one in node.body if isinstance(node, ast.ClassDef) else ():
            match one:
                case ast.Assign([ast.Name("message" | "title" | "hint")], ast.Constant(str(text))):
                    yield one.lineno, None, text, []


def main() -> None:
    """Bring each catalogue up to date."""
    template = extracted()
    for language, path in CATALOGUES.items():
        with path.open("rb") as source:
            catalogue = read_po(source, locale=language.replace("-", "_"))
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with path.open("wb") as target:
            write_po(target, catalogue, width=120, sort_output=True, omit_header=True, include_lineno=False)


if __name__ == "__main__":
    main()

"""Mutation testing of what decides, in a copy of the tree; every survivor must stand in mutants.md, with its reason.

    python -m tests.mutants [--keep FOLDER] [NAME …]

Names are mutmut's, with wildcards (``mfa_middleware.keyring.*``); without any, all mutants are tried. A mutant is
known in the table by its function and by what its line becomes, so that an edit elsewhere does not touch the table.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).with_suffix(".md")
#: In mutmut's words: killed by a failed test, by pytest, or because it ran on and on.
KILLED = frozenset({1, 3, 24, -24, 36, 152, 255})
NO_TESTS = frozenset({5, 33})
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", "mutants", ".*_cache", ".hypothesis", "*.sqlite3*")
ROW = re.compile(r"\| `(?P<where>[^`]+)` \| (?P<change>.+?) \| (?P<why>.+) \|")
ERROR = re.compile(r'((?:raise|return) [\w.]+\()(?:f?"[^"]*"|None)')
#: In the table's first column: a fragment that becomes another, in whatever function; and any text that is told.
ANYWHERE = "anywhere"
TEXTS = "the text of an error"
#: In its second: all mutants of a function.
ALL = "all"


@dataclass(frozen=True)
class Mutant:
    """A mutant that no test killed. ``where`` is its function, as ``tokens.Tokens.read``."""

    where: str
    removed: str
    added: str
    tested: bool

    def __str__(self) -> str:
        return f"{self.where}{'' if self.tested else ' (no test runs it)'}\n  - {self.removed}\n  + {self.added}"


@dataclass(frozen=True)
class Row:
    """A row of the table: mutants that may live."""

    where: str
    change: str

    def explains(self, mutant: Mutant) -> bool:
        """Whether it is about that mutant."""
        if self.where == TEXTS:
            return ERROR.sub(r"\1", mutant.removed) == ERROR.sub(r"\1", mutant.added)
        if self.where == ANYWHERE:
            old, _, new = self.change.partition("` → `")
            found = [one.start() for one in re.finditer(re.escape(old), mutant.removed)]
            return any(mutant.removed[:at] + new + mutant.removed[at + len(old) :] == mutant.added for at in found)
        return self.where == mutant.where and self.change in (ALL, mutant.added)


def copied(folder: Path) -> Path:
    """The tree in a folder of its own, with the plugins beside the core: mutmut names a module by its path."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
    for name in ("mfa_totp", "mfa_recovery_code"):
        shutil.copytree(tree / "plugins" / name, tree / name)
    return tree


def run(tree: Path, names: list[str]) -> None:
    """Try the mutants. Which of them lived is told by what mutmut leaves, not by its exit.

    With names it first runs all tests by their ids, as it does for each mutant. An id that is another one the next time
    fails here; there it would count as a kill.
    """
    children = os.environ.get("MUTANTS_CHILDREN", "1")
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", children, *names]
    if code := subprocess.run(command, cwd=tree, check=False).returncode:
        sys.exit(f"mutmut failed ({code}).")


def lived(tree: Path) -> Iterator[Mutant]:
    """The mutants that no test killed."""
    for file in sorted((tree / "mutants").rglob("*.py.meta")):
        codes: dict[str, int | None] = json.loads(file.read_text())["exit_code_by_key"]
        left = {name: code for name, code in codes.items() if code is not None and code not in KILLED}
        if left:
            functions = _functions(file.with_suffix(""))
            yield from (_mutant(name, functions, tested=code not in NO_TESTS) for name, code in left.items())


def _functions(module: Path) -> dict[str, list[str]]:
    """The lines of every function and method in a module of mutants, by its name."""
    text = module.read_text()
    lines = text.splitlines()
    return {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _mutant(name: str, functions: dict[str, list[str]], *, tested: bool) -> Mutant:
    module, _, function = name.rpartition(".")
    plain, _, _ = function.partition("__mutmut_")
    changed = list(difflib.ndiff(functions[f"{plain}__mutmut_orig"], functions[function]))
    removed, added = (" ".join(line[2:].strip() for line in changed if line[:2] == sign) for sign in ("- ", "+ "))
    shown = plain.removeprefix("x_") if plain.startswith("x_") else plain.removeprefix("xǁ").replace("ǁ", ".")
    return Mutant(f"{module.removeprefix('mfa_middleware.')}.{shown}", removed, added, tested)


def table() -> list[Row]:
    """The rows of mutants.md."""
    found = (ROW.fullmatch(line) for line in TABLE.read_text().splitlines())
    return [Row(one["where"], one["change"].replace("\\|", "|").strip("` ")) for one in found if one is not None]


def main() -> None:
    """Try all, and tell of those that live without a reason."""
    parser = argparse.ArgumentParser(description="Mutation testing of what decides.")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the copy and its mutants there")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        tree = copied(given.keep or Path(temporary))
        run(tree, given.names or ["*"])
        judge(list(lived(tree)), table(), whole=not given.names)


def judge(mutants: list[Mutant], rows: list[Row], *, whole: bool) -> None:
    """Exit with the mutants that no row explains, and with the rows that explain none (where all were tried).

    One that no test runs has no excuse.
    """
    unexplained = [str(one) for one in mutants if not (one.tested and any(row.explains(one) for row in rows))]
    idle = [f"{row.where}: {row.change}" for row in rows if not any(row.explains(one) for one in mutants)]
    if unexplained:
        sys.exit("\n".join([*unexplained, f"{len(unexplained)} mutants live, and {TABLE.name} does not say why."]))
    if whole and idle:
        sys.exit("\n".join([*idle, f"{len(idle)} rows of {TABLE.name} explain no mutant: take them out."]))
    sys.stdout.write(f"{len(mutants)} mutants live; {TABLE.name} says why.\n")


if __name__ == "__main__":
    main()

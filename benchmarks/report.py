"""``docs/benchmarks.md``, from what the sections kept: a page of prose around their tables and charts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from benchmarks import plots, results
from benchmarks.sections import (
    blocking,
    flow,
    growth,
    hot_spots,
    memory,
    pass_through,
    soak,
    start_up,
    steps,
    streaming,
)
from benchmarks.serving import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
_TEMPLATE = Path(__file__).parent / "page.md"


class Section(Protocol):
    """What each module of ``sections`` is."""

    NAME: str
    TITLE: str

    def render(self, figures: results.Figures) -> str: ...

    def charts(self, figures: results.Figures) -> Iterable[plots.Chart]: ...


SECTIONS = (flow, steps, pass_through, streaming, growth, memory, soak, blocking, start_up, hot_spots)


def write(page: Path = PAGE) -> Path:
    """Write the page and its charts; returns the page. What was never measured is left out."""
    text = _TEMPLATE.read_text()
    for section in SECTIONS:
        figures = results.kept(section.NAME)
        body = "(Not measured yet.)\n" if figures is None else _body(section, figures, page)
        text = text.replace(f"{{{section.NAME}}}", body.rstrip("\n"))
    page.write_text(text.replace("{machine}", _machine()))
    return page


def _body(section: Section, figures: results.Figures, page: Path) -> str:
    folder = page.with_suffix("")
    files = [plots.draw(chart, folder) for chart in section.charts(figures)]
    pictures = "".join(f"\n![{file.stem.replace('_', ' ')}]({folder.name}/{file.name})\n" for file in files)
    return section.render(figures) + pictures


def _machine() -> str:
    """Where and when; as the sections have it that were measured last."""
    kept = [one for section in SECTIONS if (one := results.kept(section.NAME))]
    if not kept:
        return "(Not measured yet.)"
    newest = max(kept, key=lambda one: str(one["at"]))
    machine = newest["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    rounds = sorted({one["rounds"] for one in kept})
    return (
        f"{newest['at']}; {machine['processors']}, {machine['memory']}, {machine['system']}, Python "
        f"{machine['python']}; {' or '.join(map(str, rounds))} rounds. {versions}."
    )

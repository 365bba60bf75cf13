"""The charts of the report, as SVG. Text stays text: it can be searched, and takes the reader's fonts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Spread

_BLUE, _GREY = "#2563eb", "#8a93a3"


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each name, from the first at the top to the last; those of ours stand out."""

    name: str
    title: str
    values: Mapping[str, Spread]
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """A line for each name, through points (x, y); both axes are logarithmic."""

    name: str
    title: str
    below: str
    lines: Mapping[str, Sequence[tuple[float, Spread]]]


Chart = Bars | Lines


def draw(chart: Chart, folder: Path) -> Path:
    """Write a chart; returns its file."""
    plt = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{chart.name}.svg"
    if isinstance(chart, Bars):
        figure, axes = plt.subplots(figsize=(8, 0.9 + 0.32 * len(chart.values)))
        _bars(axes, chart)
    else:
        figure, axes = plt.subplots(figsize=(8, 4))
        _lines(axes, chart)
    axes.set_title(chart.title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file


def _pyplot() -> Any:  # noqa: ANN401  it is not needed to measure, and has no types where it is missing
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mfa-middleware", "font.size": 9})
    return importlib.import_module("matplotlib.pyplot")


def _bars(axes: Any, chart: Bars) -> None:  # noqa: ANN401
    names = list(chart.values)
    for place, name in enumerate(names):
        one = chart.values[name]
        error = [[one.median - one.least], [one.greatest - one.median]]
        color = _BLUE if name.startswith("ours") else _GREY
        axes.barh(place, one.median, xerr=error, color=color, ecolor="#333333", capsize=2, height=0.7)
        axes.annotate(f" {one.median:,.2f}", (one.greatest, place), va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    if chart.logarithmic:
        axes.set_xscale("log")
    axes.margins(x=0.12)


def _lines(axes: Any, chart: Lines) -> None:  # noqa: ANN401
    for name, points in chart.lines.items():
        x = [point for point, _ in points]
        y = [one.median for _, one in points]
        below = [one.median - one.least for _, one in points]
        above = [one.greatest - one.median for _, one in points]
        axes.errorbar(x, y, yerr=[below, above], marker="o", markersize=4, capsize=2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(chart.below)
    axes.grid(visible=True, color="#e5e7eb")
    axes.legend(frameon=False)

"""Run it: ``python -m benchmarks`` for all but the soak, ``python -m benchmarks flow --rounds 5`` for a section.

Each section keeps its figures in ``benchmarks/results/``; ``report`` (done after every run but a quick one) writes
``docs/benchmarks.md`` and its charts from them.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import report, results
from benchmarks.sections import flow
from benchmarks.stage import opened

_SECTIONS = {section.NAME: section for section in report.SECTIONS}
#: What takes minutes by itself is run only when it is named.
_LONG = ("soak",)


def main(
    sections: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of {', '.join(_SECTIONS)}, or `report`; all but soak when none is named."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each measurement, in turn.")] = 5,
    quick: Annotated[bool, typer.Option(help="Ours beside the floor alone; nothing is kept.")] = False,
) -> None:
    """Measure, and write docs/benchmarks.md. A section that fails keeps its former figures, and the others go on."""
    console = Console()
    if quick:
        with opened(rounds) as stage:
            console.print(Markdown(flow.render(flow.measure_quickly(stage))))
        return
    wanted = sections or [name for name in _SECTIONS if name not in _LONG]
    unknown = set(wanted) - {*_SECTIONS, "report"}
    if unknown:
        raise typer.BadParameter(f"there is no section {', '.join(sorted(unknown))}")
    failed: list[str] = []
    for name in wanted:
        if name == "report":
            continue
        try:
            with opened(rounds) as stage:
                figures = _SECTIONS[name].measure(stage)
        except Exception:  # noqa: BLE001  it is told, and the exit status says so
            console.print_exception(max_frames=4)
            failed.append(name)
            continue
        results.keep(name, {**figures, "rounds": rounds, "machine": results.machine()})
        console.print(Markdown(_SECTIONS[name].render(figures)))
    console.print(f"written: {report.write()}")
    if failed:
        console.print(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

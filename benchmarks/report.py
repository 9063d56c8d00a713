"""From a run's JSON to docs/performance.md: its tables and plots, so that no figure is typed.

    python -m benchmarks.report --json docs/performance/results.json

Everything between the two markers of the page is replaced; what is around them is written by hand.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.results import Measurement, Results, Verdict, read
from benchmarks.terminal import cells_of, number, said_goal

BEGIN: Final = "<!-- results: python -m benchmarks.report -->"
END: Final = "<!-- end of results -->"
BUSY: Final = 2.0
"""A load for each core that the suite's own rows do not leave behind."""
PAGE: Final = Path("docs/performance.md")
PLOTS: Final = Path("docs/performance")
_VERDICTS: Final = {
    Verdict.MET: "met",
    Verdict.MISSED: "**missed**",
    Verdict.NOT_MEASURED: "not measured",
}


class NoMarkers(ValueError):
    """The page has no place for results."""


def replaced(page: str, results: Results, plots: str) -> str:
    """Return the page with these results between its markers; `plots` is the plots' folder."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarkers(f"the page needs two lines: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{rendered(results, plots)}\n{END}{after}"


def rendered(results: Results, plots: str) -> str:
    """Return a run as Markdown."""
    lines = [*_where(results), "", *_goals(results)]
    for measurement in results.rows:
        lines += ["", *_row(measurement, plots)]
    return "\n".join(lines) + "\n"


def _where(results: Results) -> Iterator[str]:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.system}; "
        f"{versions}."
    )
    yield f"Commit {machine.commit}, {results.began_at}, {results.form} form."
    if results.note is not None:
        yield ""
        yield f"**{results.note}**"
    busy = [row for row in results.rows if row.load > BUSY * machine.cores]
    if busy:
        rows = ", ".join(f"{row.row} ({row.load:.0f})" for row in busy)
        yield ""
        yield f"**The machine was busy with other work** (load before the row): {rows}."


def _goals(results: Results) -> Iterator[str]:
    yield "| row | goal | found | |"
    yield "|---|---|---|---|"
    for measurement in results.rows:
        for goal in measurement.goals:
            verdict, found = measurement.verdict(goal)
            text = "–" if found is None else number(found)
            yield f"| {measurement.row} | {said_goal(goal)} | {text} | {_VERDICTS[verdict]} |"


def _row(measurement: Measurement, plots: str) -> Iterator[str]:
    yield f"### {measurement.row}: {measurement.what}"
    if reason := measurement.failed or measurement.absent:
        yield ""
        yield f"Not measured: {reason}"
        return
    for chart in measurement.charts:
        yield ""
        yield f"![{chart.title}]({plots}/{chart.name}.svg)"
    if measurement.series:
        yield ""
        yield "| | min | median | max | unit | ours / theirs |"
        yield "|---|---|---|---|---|---|"
        for cells in cells_of(measurement):
            yield f"| {' | '.join(cells)} |"
    if measurement.text is not None:
        yield ""
        yield f"```\n{measurement.text}\n```"
    if measurement.notes:
        yield ""
        yield "\n".join(f"- {note}" for note in measurement.notes)


def main() -> int:
    """Write the page and the plots."""
    parser = argparse.ArgumentParser(description="Put a run's results into docs/performance.md.")
    parser.add_argument("--json", type=Path, required=True, help="of `python -m benchmarks --json`")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plots", type=Path, default=PLOTS, help="directory of the SVG files")
    options = parser.parse_args()
    from benchmarks.plots import draw_all  # noqa: PLC0415  # tables need no matplotlib

    results = read(options.json)
    draw_all(results, options.plots)
    folder = options.plots.resolve().relative_to(options.page.resolve().parent).as_posix()
    options.page.write_text(replaced(options.page.read_text("utf-8"), results, folder), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

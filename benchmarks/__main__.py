"""`python -m benchmarks`: everything that is measured, in minutes; `--full` for the real figures.

python -m benchmarks [--full] [--only throughput,latency] [--list] [--quick N]
    [--json FILE] [--plots DIR]
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import results, suite, terminal
from benchmarks.bench import Bench, Form
from benchmarks.machine import machine
from benchmarks.results import Measurement, Results

WIDTH: Final = 120


def main() -> int:
    """Measure and print; 1 when a row failed, 2 for a wrong name."""
    options = _options()
    console = Console(highlight=False, width=WIDTH)
    form = Form.FULL if options.full else Form.SHORT
    if options.list:
        for row in suite.ROWS:
            console.print(f"{row.name:14} {row.what}{'  (--full)' if row.full_only else ''}")
        return 0
    try:
        rows = suite.chosen(options.only.split(",") if options.only else [], form)
    except ValueError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    found = _run(rows, form, options, console)
    return 1 if any(row.failed for row in found) else 0


def _run(
    rows: list[suite.Row], form: Form, options: argparse.Namespace, console: Console
) -> list[Measurement]:
    from tests.real_parts import kafka_is_installed  # noqa: PLC0415  # not needed elsewhere

    where = machine()
    console.print(f"{where.cpu}, {where.cores} cores; {form} form; commit {where.commit}")
    run = Results(
        format=results.FORMAT,
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
        form=form if options.quick == 1 else f"{form}, cut by {options.quick}",
        machine=where,
        rows=[],
        note=options.note,
    )
    with tempfile.TemporaryDirectory(prefix="forewarn-bench-") as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with Bench(folder, form, cut=options.quick, console=console) as bench:
            for each in suite.measured(rows, bench, kafka_installed=kafka_is_installed()):
                terminal.show(each, console)
                run.rows.append(each)
                if options.json:  # after each row: a long run that is broken off is not lost
                    results.write(run, options.json)
    if options.plots:
        from benchmarks.plots import draw_all  # noqa: PLC0415  # not needed to measure

        draw_all(run, options.plots)
    return run.rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, beside peers and limits."
    )
    parser.add_argument("--full", action="store_true", help="large and often: an hour or so")
    parser.add_argument("--only", help="names of rows, separated by commas")
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--quick", type=int, default=1, help="cut every size by this, and repeats")
    parser.add_argument("--json", type=Path, help="write what was measured to a file")
    parser.add_argument("--plots", type=Path, help="write plots (SVG) to a directory")
    parser.add_argument("--note", help="what a reader must know of this run")
    parser.add_argument("--keep", type=Path, help="folder for logs and files that is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""`forewarn surges score`: any counts in, how surprising each of them is out."""

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from detectors.outbreak_odds import OutbreakOdds
from pipeline.count_files import WIDTHS, BucketOfCounts, CountFile
from pipeline.failures import Failure

surges_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
HEADER = ("series", "bucket", "expected", "dispersion", "p_value", "score", "alarm")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and what was found."""

    series: int
    buckets: int
    judged: int
    """Buckets of series that were old enough to have an opinion on."""
    alarms: int
    alarm_share: float | None
    rate: float
    """The false-alarm rate that was asked for."""
    cpu_us_each: float
    """CPU microseconds a series and bucket, reading and writing included."""


@surges_app.callback()
def _group() -> None:
    """Score counts of any kind for surges."""


@surges_app.command("score")
def score_command(
    counts: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: series,bucket,count.")
    ],
    *,
    bucket: Annotated[str, typer.Option(help="Width of a bucket: 1h, 1d or 1w.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Where scores are written, as CSV.")],
    rate: Annotated[
        float,
        typer.Option(
            min=0.0001, max=0.3, help="Share of buckets without a surge that may raise an alarm."
        ),
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Judge each count against what its series taught before, then learn it.

    COUNTS is sorted by bucket (ISO 8601: 2026-11-26, 2026-11-26T08:00Z, 2026-W48). A pair that is
    missing counts 0 from the series' first appearance on. The columns written are
    series,bucket,expected,dispersion,p_value,score,alarm: the mean and variance / mean of the
    count as expected before it was seen; the probability of one at least as large; how surprising
    the series is by then, comparable between series, higher being more; and 1 for an alarm at the
    rate stated, else 0. In the first ten buckets of a series nothing is an alarm.

    Example: forewarn surges score counts.csv --bucket 1d --out scores.csv
    """
    if bucket not in WIDTHS:
        raise typer.BadParameter(f"1h, 1d or 1w, not {bucket!r}", param_hint="--bucket")
    began = time.process_time()
    with _progress() as seen, out.open("w", encoding="utf-8", newline="") as file:
        reader = CountFile(counts, WIDTHS[bucket], seen)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        buckets = pairs = judged = alarms = 0
        for rows, ready, alarm in _scored(reader, WIDTHS[bucket], rate):
            writer.writerows(rows)
            buckets, pairs = buckets + 1, pairs + len(ready)
            judged, alarms = judged + int(ready.sum()), alarms + int(alarm.sum())
    if not buckets:
        raise Failure(f"{counts}: holds no counts")
    report = Report(
        series=len(reader.names), buckets=buckets, judged=judged, alarms=alarms,
        alarm_share=alarms / judged if judged else None, rate=rate,
        cpu_us_each=round((time.process_time() - began) / pairs * 1e6, 2),
    )  # fmt: skip
    typer.echo(msgspec.json.encode(report).decode() if as_json else _said(report, out))


def _scored(
    reader: CountFile, width: int, rate: float
) -> Iterator[tuple[Iterator[tuple[Any, ...]], Any, Any]]:
    """Yield, for each bucket, lines to write, which series were judged, and which alarm."""
    scan = OutbreakOdds(width)
    for one in reader:
        rows = scan.begin(reader.names, one.seconds, one.counts)
        judged = scan.step(rows, one.seconds, one.counts)
        alarm = judged.ready & (judged.chance <= rate)
        yield _lines(reader.names, one, judged, alarm), judged.ready, alarm


def _lines(
    names: list[str], one: BucketOfCounts, judged: Any, alarm: Any
) -> Iterator[tuple[Any, ...]]:
    columns = (
        np.round(judged.mean, 4), np.round(judged.dispersion, 4), judged.tail,
        np.round(judged.score, 4), alarm.astype(int),
    )  # fmt: skip
    tails = [f"{tail:.6g}" for tail in columns[2].tolist()]
    lists = [
        columns[0].tolist(),
        columns[1].tolist(),
        tails,
        columns[3].tolist(),
        columns[4].tolist(),
    ]
    return zip(names, [one.text] * len(names), *lists, strict=False)


def _said(report: Report, out: Path) -> str:
    if report.alarm_share is None:
        return f"{report.series:,} series, {report.buckets:,} buckets: too few to judge. {out}"
    return (
        f"{report.series:,} series, {report.buckets:,} buckets, {report.alarms:,} alarms: "
        f"{report.alarm_share:.2%} of what was judged, {report.rate:.2%} by chance. {out}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show how many lines are read, on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} lines"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=None)
        yield lambda lines: progress.update(task, completed=lines)

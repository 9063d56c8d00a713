"""Results in the terminal, and as plots."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.results import Chart, Curve, Measurement
from benchmarks.stalls.episodes import Episodes, victims_flagged
from benchmarks.stalls.scoring import Score
from benchmarks.stalls.worlds import WorldResult

_STAGES_SHOWN: Final = 8
_DELAYS: Final = [0.5 + 0.1 * n for n in range(26)]


def show(result: WorldResult, console: Console) -> None:
    """Print one world."""
    console.print(
        f"\n[bold]{result.kind} {result.seed}[/bold]: {result.parcels:,} parcels in {result.days} "
        f"days, {result.scans:,} scans; {result.ours.planted} planted, "
        f"{result.ours.healthy:,} healthy",
        highlight=False,
    )
    console.print(_scores([result.ours, *result.others]))
    console.print(_stages(result.ours))
    for line in (*_incidents(result.ours), *_said(result.episodes)):
        console.print(f"  {line}", highlight=False, markup=False)


def _scores(scores: Sequence[Score]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "recall", "false in 1,000", "delay / p99", "CPU s"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for each in scores:
        delay = "–" if each.delay is None else f"{each.delay:.2f}"
        table.add_row(
            each.name, f"{each.recall:.3f}", f"{each.false_in_1000:.1f}", delay,
            f"{each.seconds:.0f}",
        )  # fmt: skip
    return table


def _stages(ours: Score) -> Table:
    """Where we miss and where we flag falsely, by the milestone seen last."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("last seen", "planted", "missed", "flagged falsely"):
        table.add_column(name, justify="left" if name == "last seen" else "right", no_wrap=True)
    stages = sorted(
        {*ours.missed_by_stage, *ours.false_by_stage},
        key=lambda stage: -sum(ours.missed_by_stage.get(stage, (0, 0))),
    )
    for stage in stages[:_STAGES_SHOWN]:
        planted, missed = ours.missed_by_stage.get(stage, (0, 0))
        table.add_row(stage, str(planted), str(missed), str(ours.false_by_stage.get(stage, 0)))
    return table


def _incidents(ours: Score) -> Iterator[str]:
    for kind, (suffered, flagged) in ours.victims.items():
        if suffered:
            share = 100 * flagged / suffered
            yield f"victims of {kind}: {flagged} of {suffered:,} flagged ({share:.1f} %)"
    for group, rate in ours.false_of_group.items():
        yield f"{group}, from the third day: {rate:.1f} false in 1,000"


def _said(found: Sequence[Episodes]) -> Iterator[str]:
    for each in found:
        unit = "region and 180 days" if each.kind == "lane.slow" else "carrier and 30 days"
        yield f"{each.kind}: {each.false} false ({each.false_rate:.2f} a {unit})"
        for episode in each.planted:
            told = "not announced" if episode.hours is None else _when(episode.hours)
            if episode.minutes_after_upload is not None:
                told += f" ({episode.minutes_after_upload:.0f} min after the missed upload)"
            yield f"    {episode.what}: {told}, {episode.said} said"


def _when(hours: float) -> str:
    if hours < 3:
        return f"after {hours * 60:.0f} min"
    return f"after {hours:.1f} h" if hours < 72 else f"after {hours / 24:.1f} days"


def summary(results: Sequence[WorldResult]) -> Table:
    """Return a line for each world: ours, the oracle, and the best of the others."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("world", "recall", "false", "delay", "oracle", "best other", "silent feed's own"):
        table.add_column(name, justify="left" if name == "world" else "right", no_wrap=True)
    for result in results:
        others = [each for each in result.others if each.name != "oracle"]
        best = max(others, key=lambda each: each.recall, default=None)
        perfect = next((each for each in result.others if each.name == "oracle"), None)
        hidden = victims_flagged(result.ours.victims)
        table.add_row(
            f"{result.kind} {result.seed}", *_three(result.ours),
            " ".join(_three(perfect)), "" if best is None else f"{best.name}: {best.recall:.3f}",
            "–" if hidden is None else f"{100 * hidden:.1f} %",
        )  # fmt: skip
    return table


def _three(score: Score | None) -> tuple[str, str, str]:
    if score is None:
        return "–", "–", "–"
    delay = "–" if score.delay is None else f"{score.delay:.2f}"
    return f"{score.recall:.3f}", f"{score.false_in_1000:.1f}", delay


def draw(results: Sequence[WorldResult], folder: Path) -> list[Path]:
    """Draw recall against false flags, and lead time, of each world; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for result in results for path in _draw(result, folder)]


def _draw(result: WorldResult, folder: Path) -> Iterator[Path]:
    from benchmarks import plots  # noqa: PLC0415  # tables need no matplotlib

    name, ours = f"{result.kind}-{result.seed}", result.ours
    scores = [ours, *result.others]
    trade = [_trade(each) for each in scores]
    lead = [_lead(each) for each in scores]
    found = f"{100 * ours.recall:.0f} % at {ours.false_in_1000:.1f} false flags in 1,000"
    charts = (
        Chart(
            name=f"stalls-{name}-recall", title=f"{name}: Forewarn finds {found}",
            x_label="false flags in 1,000 healthy parcels", y_label="share of trouble found",
            curves=[each.name for each in trade],
        ),
        Chart(
            name=f"stalls-{name}-lead", title=f"{name}: how soon trouble is found",
            x_label="time since it began, in 99th percentiles of that dwell",
            y_label="share of trouble found by then", curves=[each.name for each in lead],
        ),
    )  # fmt: skip
    for chart, curves in zip(charts, (trade, lead), strict=True):
        measurement = Measurement(row="stalls", what=name, curves=curves, charts=[chart])
        yield plots.draw(measurement, chart, folder)


def _trade(score: Score) -> Curve:
    points = [point for point in score.curve if point[0] <= 5 * 8] or [
        (score.false_in_1000, score.recall)
    ]
    return Curve(score.name, [x for x, _ in points], [y for _, y in points])


def _lead(score: Score) -> Curve:
    planted = max(score.planted, 1)
    found = [sum(delay <= at for delay in score.delays) / planted for at in _DELAYS]
    return Curve(score.name, _DELAYS, found)

"""What was measured, as tables in the terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.results import Bound, Goal, Measurement, Series, Verdict, Whose, ratios, spread

_MARKS = {Verdict.MET: "✓", Verdict.MISSED: "✗", Verdict.NOT_MEASURED: "–"}


def show(measurement: Measurement, console: Console) -> None:
    """Print one row."""
    console.print(f"\n[bold]{measurement.row}[/bold]: {measurement.what}", highlight=False)
    if reason := measurement.failed or measurement.absent:
        style = "red" if measurement.failed else ""
        console.print(f"not measured: {reason}", style=style, markup=False)
        return
    if measurement.series:
        console.print(_table(measurement))
    if measurement.text is not None:
        console.print(measurement.text, highlight=False, markup=False)
    for line in (*said_goals(measurement), *measurement.notes):
        console.print(f"  {line}", highlight=False, markup=False)


def _table(measurement: Measurement) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "min", "median", "max", "unit", "ours / theirs"):
        table.add_column(name, no_wrap=True, justify="left" if name in {"", "unit"} else "right")
    for cells in cells_of(measurement):
        table.add_row(*cells)
    return table


def cells_of(measurement: Measurement) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield name, minimum, median, maximum, unit and ratio of every series, as text."""
    ours = {
        each.unit: each
        for each in reversed(measurement.series)
        if each.whose is Whose.OURS and each.values
    }
    for series in measurement.series:
        name = series.name.removesuffix(f", {series.unit}")
        if not series.values:
            yield name, "–", series.absent or "not measured", "–", series.unit, ""
            continue
        figures = (number(value) for value in spread(series.values))
        least, middle, most = figures
        yield name, least, middle, most, series.unit, _ratio(ours.get(series.unit), series)


def _ratio(ours: Series | None, theirs: Series) -> str:
    if ours is None or theirs.whose is Whose.OURS or len(ours.values) != len(theirs.values):
        return ""
    return " / ".join(f"{value:.2f}" for value in spread(ratios(ours, theirs)))


def said_goals(measurement: Measurement) -> Iterator[str]:
    """Yield a line for each goal."""
    for goal in measurement.goals:
        verdict, found = measurement.verdict(goal)
        text = "" if found is None else f", found {number(found)}"
        yield f"{_MARKS[verdict]} {said_goal(goal)}{text}"


def said_goal(goal: Goal) -> str:
    """Return a goal in words."""
    side = "at least" if goal.bound is Bound.AT_LEAST else "at most"
    beside = "" if goal.over is None else f" times {goal.over}"
    return f"{goal.series}: {side} {number(goal.value)}{beside}"


def number(value: float) -> str:
    """Return a figure with as many digits as it deserves.

    Examples
    --------
    >>> number(123456.7), number(0.01234), number(12.34), number(0.0)
    ('123,457', '0.0123', '12.3', '0')
    """
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    digits = f"{value:.3g}"
    return digits if "e" not in digits else f"{value:.6f}"

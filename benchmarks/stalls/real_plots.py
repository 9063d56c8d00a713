"""Plots of real data: calibration of dwells by eighths, recall of late orders by lead time."""

from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.results import Chart, Curve, Measurement


def draw_log(measured: dict[str, Any], folder: Path) -> list[Path]:
    """Draw how often quantiles were passed in each eighth of the dwells; return the files."""
    name = str(measured["log"]).split(".", maxsplit=1)[0]
    return [_eighths(measured, folder, name, level) for level in ("0.9", "0.99")]


def _eighths(measured: dict[str, Any], folder: Path, name: str, level: str) -> Path:
    curves = [
        Curve(row, [1.0 + n for n in range(len(figures["eighths"]))],
              [100 * (each[level] or 0.0) for each in figures["eighths"]])
        for row, figures in measured["rows"].items()
        if "," not in row
    ]  # fmt: skip
    beyond = 100 * measured["rows"]["forewarn"]["exceedance"][level]
    chart = Chart(
        name=f"log-{name}-{level[2:]}",
        title=f"{name}: {beyond:.2f} % of dwells lasted longer than Forewarn's quantile {level}",
        x_label="eighth of the dwells judged, in order of time",
        y_label="% of dwells longer",
        curves=[each.name for each in curves],
        goal=100 * (1 - float(level)),
    )
    return _drawn(chart, curves, folder)


def draw_orders(measured: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the recall of late orders by how long before the promise; return the files."""
    curves = [
        Curve(row, [float(days) for days in figures],
              [each["in_hindsight"]["recall"] or 0.0 for each in figures.values()])
        for row, figures in measured["rows"].items()
    ]  # fmt: skip
    ours = measured["rows"]["forewarn"]["3"]["in_hindsight"]["recall"] or 0.0
    chart = Chart(
        name="orders-lead",
        title=f"5 % of orders flagged: {100 * ours:.0f} % of the late ones, 3 days ahead",
        x_label="days before the promise",
        y_label="share of late orders flagged",
        curves=[each.name for each in curves],
    )
    return [_drawn(chart, curves, folder)]


def _drawn(chart: Chart, curves: list[Curve], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    measurement = Measurement(row="stalls", what=chart.name, curves=curves, charts=[chart])
    return plots.draw(measurement, chart, folder)

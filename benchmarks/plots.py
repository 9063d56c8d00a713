"""Plots of a run as SVG: plain, text as text, the same bytes for the same figures.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; lines differ in their
markers as well.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.results import Chart, Measurement, Results, Series, Whose, spread

COLOURS: Final = {Whose.OURS: "#0072B2", Whose.PEER: "#E69F00", Whose.LIMIT: "#C8C8C8"}
NAMES: Final = {Whose.OURS: "Forewarn", Whose.PEER: "peers", Whose.LIMIT: "limits"}
GOAL: Final = "#D55E00"
LINES: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
MARKERS: Final = ("o", "s", "^", "D", "v", "x")
_TITLE_COLUMNS: Final = 95
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "forewarn",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 11,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw every chart of a run; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        draw(measurement, chart, folder)
        for measurement in results.rows
        for chart in measurement.charts
    ]


def draw(measurement: Measurement, chart: Chart, folder: Path) -> Path:
    """Draw one chart; raises `ValueError` for one that has nothing to show."""
    path = folder / f"{chart.name}.svg"
    if chart.curves is None:
        bars = [each for each in measurement.series if each.unit == chart.unit and each.values]
        with _figure(chart, 1.2 + 0.42 * len(bars), path) as axes:
            _bars(axes, chart, bars)
    else:
        with _figure(chart, 3.6, path) as axes:
            _lines(axes, chart, measurement)
    return path


@contextmanager
def _figure(chart: Chart, height: float, path: Path) -> Iterator[Any]:
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(8.0, height + 0.6), layout="constrained")
        try:
            title = "\n".join(textwrap.wrap(chart.title, _TITLE_COLUMNS))
            figure.suptitle(title, x=0.01, ha="left")
            yield axes
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)


def _bars(axes: Any, chart: Chart, series: list[Series]) -> None:
    """Medians as bars, minimum to maximum as whiskers, the first on top."""
    if not series:
        raise ValueError(f"{chart.name}: nothing was measured in {chart.unit}")
    names = [each.name.removesuffix(f", {each.unit}") for each in series]
    spreads = [spread(each.values) for each in series]
    middles = [each.median for each in spreads]
    whiskers = [
        [each.median - each.least for each in spreads],
        [each.most - each.median for each in spreads],
    ]
    colours = [COLOURS[each.whose] for each in series]
    axes.barh(names, middles, xerr=whiskers, color=colours, ecolor="#404040", capsize=3, height=0.7)
    for place, each in enumerate(spreads):
        axes.annotate(
            _figure_text(each.median),
            (each.most, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_ylim(len(series) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(chart.y_label)
    furthest = max(each.most for each in spreads)
    axes.set_xlim(0, max(furthest, chart.goal or 0.0) * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _figure_text(value)))
    _legend(axes, series)
    if chart.goal is not None:
        axes.axvline(chart.goal, color=GOAL, linestyle="--", linewidth=1.2)
        _label_goal(axes, chart.goal)


def _legend(axes: Any, series: list[Series]) -> None:
    """Name the colours where there is more than one."""
    found = [whose for whose in Whose if any(each.whose is whose for each in series)]
    if len(found) > 1:
        patches = [Patch(color=COLOURS[whose], label=NAMES[whose]) for whose in found]
        axes.legend(handles=patches, loc="center right")


def _label_goal(axes: Any, goal: float) -> None:
    axes.annotate(
        f"goal {_figure_text(goal)}",
        (goal, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        color=GOAL,
        fontsize=9,
    )


def _lines(axes: Any, chart: Chart, measurement: Measurement) -> None:
    curves = [each for each in measurement.curves if each.name in (chart.curves or ())]
    if not curves:
        raise ValueError(f"{chart.name}: there is no curve to draw")
    for curve, colour, marker in zip(curves, LINES, MARKERS, strict=False):
        every = max(1, len(curve.x) // 12)
        axes.plot(
            curve.x, curve.y, color=colour, marker=marker, markevery=every, ms=4, label=curve.name
        )
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.set_ylim(0, 1.1 * max(chart.goal or 0.0, *(max(curve.y) for curve in curves), 1e-9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _figure_text(value)))
    if chart.x_log:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _figure_text(value)))
    if chart.goal is not None:
        axes.axhline(chart.goal, color=GOAL, linestyle="--", linewidth=1.2, label="goal")
    if len(curves) > 1 or chart.goal is not None:
        axes.legend()


def _figure_text(value: float) -> str:
    """Return a figure for an axis."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"

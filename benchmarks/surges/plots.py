"""ROC of a design: share of outbreaks found by share of quiet buckets flagged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.surges.designs import Floats, World
from benchmarks.surges.metrics import at_rate

RATES = np.geomspace(5e-4, 0.05, 9)


def roc(world: World, scores: Mapping[str, Floats], path: Path) -> None:
    """Draw a curve a detector as SVG."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # slow to load, and only drawn on demand

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, said in scores.items():
        axes.plot(RATES, [at_rate(world, said, rate).pod for rate in RATES], label=name, marker=".")
    axes.set(
        xscale="log", xlabel="share of outbreak-free buckets flagged",
        ylabel="share of outbreaks found", title=f"Design {world.name}: an alarm while it lasts",
    )  # fmt: skip
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})

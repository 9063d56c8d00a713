"""Plots: the band of a forecast on a wave, and how early overflows are announced."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.capacity.driving import BLOCK_HOURS, Seen
from benchmarks.capacity.scoring import HORIZON_BLOCKS, announced, episodes_of, sums_ahead
from simulator.regions import Regions, Trouble

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "forewarn"
OURS, TRUTH, LATER = "#1f6f8b", "#333333", "#c44e52"
DAYS_BEFORE, DAYS_AFTER = 6, 12


def draw(world: Regions, seen: Seen, folder: Path) -> None:
    """Write `band.svg` and `lead.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    _band(world, seen, folder / "band.svg")
    episodes = episodes_of(seen, len(world.entered), world.entered.shape[1])
    _leads(announced(world, episodes).leads, folder / "lead.svg")


def _band(world: Regions, seen: Seen, path: Path) -> None:
    """Draw a day's inflow around the largest wave that overflowed its region."""
    waves = [
        (each.size, each, overflow)
        for each in world.planted
        for overflow in world.overflows
        if each.kind is Trouble.PROMOTION
        and overflow.region == each.region
        and each.began <= overflow.began <= each.ended + 96
    ]
    if not waves:
        return
    _, wave, overflow = max(waves, key=lambda found: found[0])
    first, last = wave.began // 24 - DAYS_BEFORE, wave.began // 24 + DAYS_AFTER
    blocks = np.arange(first * 8, min(last * 8, len(seen.means) - HORIZON_BLOCKS[1]))
    days = (blocks + 1) * BLOCK_HOURS / 24
    region = wave.region
    figure, (above, below) = _figure(2)
    above.fill_between(days, seen.lows[blocks, region, 1], seen.highs[blocks, region, 1],
                       color=OURS, alpha=0.3, label="band, 10-90 %")  # fmt: skip
    above.plot(days, seen.means[blocks, region, 1], color=OURS, label="forecast")
    came = sums_ahead(world, HORIZON_BLOCKS[1])[blocks, region]
    above.plot(days, came, color=TRUTH, lw=1, ls="--", label="what came")
    above.set_ylabel("parcels in the next 24 h")
    above.legend(frameon=False)
    above.set_title("A wave of orders is seen before it arrives")
    hours = np.arange(first * 24, int(days[-1] * 24))
    below.plot(hours / 24, world.backlog[region, hours], color=TRUTH, label="backlog")
    below.plot(days, seen.limits[blocks, region], color=LATER, ls=":", label="limit, learned")
    opened = [
        each.opened / 24
        for each in episodes_of(seen, len(world.entered), world.entered.shape[1])
        if each.region == region and each.opened <= overflow.began <= each.closed
    ]
    for day in opened:
        below.axvline(day, color=OURS, label="announced")
    below.axvline(overflow.began / 24, color=LATER, label="overflows")
    below.set_ylabel("parcels in the region")
    below.set_xlabel("day")
    below.legend(frameon=False)
    _save(figure, path)


def _leads(leads: list[int | None], path: Path) -> None:
    known = [lead for lead in leads if lead is not None]
    figure, (axes,) = _figure(1)
    axes.hist(np.clip(known, -12, 96), bins=np.arange(-12, 97, 6).tolist(), color=OURS)
    axes.axvline(12, color=LATER, ls=":", label="goal: 12 h")
    share = sum(lead >= 12 for lead in known) / max(len(leads), 1)
    axes.set_title(f"{share:.0%} of {len(leads)} overflows announced 12 h before or earlier")
    axes.set_xlabel("hours from the announcement to the overflow")
    axes.set_ylabel("overflows")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(rows: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415  # after the backend is chosen

    figure = Figure(figsize=(8, 3.2 * rows), layout="constrained")
    axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})

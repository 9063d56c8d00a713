"""Small worlds of counts for tests: sources that tell what they counted minute by minute."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from detectors.base import Batch, Cell, Counts, Metric
from detectors.flow import FlowCore

START = 1_772_409_600
"""Monday 2026-03-02 00:00 UTC."""
HOUR, DAY, QUARTER = 3600, 86_400, 900
SOURCES = ("parcels/0", "parcels/1", "complaints/0", "complaints/1")
REGIONS = ("Zhejiang", "Hubei", "Hunan", "Anhui", "Fujian")

Rate = Callable[[int, str], float]


def flow(**parameters: Any) -> FlowCore:
    """Return a core of four sources."""
    return FlowCore(sources=SOURCES, config_version="test", **parameters)


def day_shape(hour: int) -> float:
    """Return how busy an hour since Monday 00:00 is; busy by day, quiet at the weekend."""
    weekend = 0.6 if hour // 24 % 7 >= 5 else 1.0
    return weekend * (0.4 + 1.2 * (8 <= hour % 24 < 20))


def surging(start: int, stop: int, region: str, factor: float) -> Rate:
    """Return a rate of logistics complaints an hour: three a region, more while it surges."""

    def rate(hour: int, series: str) -> float:
        boost = factor if start <= hour < stop and series.startswith(region) else 1.0
        return 3.0 * day_shape(hour) * boost

    return rate


def complaints_of(days: int, seed: int, rate: Rate) -> dict[int, Mapping[str, int]]:
    """Return counts of logistics complaints by hour and series."""
    chance = np.random.default_rng(seed)
    series = [f"{region}\x1flogistics" for region in REGIONS]
    return {
        hour: {name: int(chance.poisson(rate(hour, name))) for name in series}
        for hour in range(days * 24)
    }


def scans_of(days: int, seed: int, silent: range, mean: float = 30.0) -> dict[int, int]:
    """Return scans of one carrier by quarter of an hour; none in the hours `silent`."""
    chance = np.random.default_rng(seed)
    return {
        quarter: 0
        if quarter // 4 in silent
        else int(chance.negative_binomial(6, 6 / (6 + mean * day_shape(quarter // 4))))
        for quarter in range(days * 96)
    }


def records(
    days: int,
    *,
    complaints: Mapping[int, Mapping[str, int]] | None = None,
    scans: Mapping[str, Mapping[int, int]] | None = None,
    moves: Mapping[int, Mapping[str, tuple[int, int]]] | None = None,
    late_share: float = 0.0,
    seed: int = 0,
) -> dict[str, list[Counts]]:
    """Return what every source says, once a quarter: counts shared out over its partitions."""
    chance = np.random.default_rng(seed)
    said: dict[str, list[Counts]] = {source: [] for source in SOURCES}
    for quarter in range(days * 96):
        now = START + quarter * QUARTER
        cells: dict[str, list[Cell]] = {source: [] for source in SOURCES}

        def share(  # a cell and its core
            core: str, metric: Metric, name: str, bucket: int, count: int, late_at: int = 0,
            cells: dict[str, list[Cell]] = cells,
        ) -> None:  # fmt: skip
            first = int(chance.binomial(count, 0.5))
            for partition, part in enumerate((first, count - first)):
                if part:
                    cells[f"{core}/{partition}"].append(Cell(metric, name, bucket, part, late_at))

        for name, counts in (scans or {}).items():
            share("parcels", Metric.SCANS, name, now, counts.get(quarter, 0))
        if quarter % 4 == 2:
            hour = quarter // 4
            bucket = START + hour * HOUR
            for name, count in (complaints or {}).get(hour, {}).items():
                late = int(chance.binomial(count, late_share)) if hour > 6 else 0
                share("complaints", Metric.COMPLAINTS, name, bucket, count - late)
                share("complaints", Metric.COMPLAINTS, name, bucket - 4 * HOUR, late, bucket)
            for region, (entered, left) in (moves or {}).get(hour, {}).items():
                share("parcels", Metric.ENTERED, region, bucket, entered)
                share("parcels", Metric.LEFT, region, bucket, left)
        for source in SOURCES:
            through = now + QUARTER
            said[source].append(Counts(source=source, through=through, cells=tuple(cells[source])))
    return said


def merged(said: Mapping[str, list[Counts]], seed: int | None = None) -> Batch[Counts]:
    """Merge sources: in step, or at random with each source's own order kept."""
    if seed is None:
        ordered = [record for group in zip(*said.values(), strict=True) for record in group]
    else:
        turns = np.repeat(np.arange(len(said)), [len(part) for part in said.values()])
        queues = [iter(part) for part in said.values()]
        shuffled = np.random.default_rng(seed).permutation(turns)
        ordered = [next(queues[turn]) for turn in shuffled.tolist()]
    return Batch(events=ordered, arrivals=np.zeros(len(ordered)))

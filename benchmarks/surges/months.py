"""Surges in the first months: recall, false episodes a month and delay on a synthetic world.

    python -m benchmarks.surges.months [--seeds 1 2] [--days 200] [--rate 1]

24 regions x 4 categories, 900 complaints a day, unevenly spread; a pattern of the hour and of the
week, a wave of 90 days, levels that drift, dispersion 1-3 of the daily counts, a promotion of two
days (x 1.7 everywhere, no region's surge), and surges of a series or of a region: log-normal over
ten days, a step of a fortnight, a ramp of three weeks or a spike of a day, of size k = 2, 3, 5
(k x 7 standard deviations of a day in all; a spike has 5 to 9 in its one day). The first 60 days
are for learning.
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from detectors.decisions import SurgeOpened
from detectors.outbreak_odds import OutbreakOdds
from detectors.surges import SurgeWatch, with_regions

DAY, HOUR = 86_400, 3600
REGIONS, CATEGORIES = 24, ("logistics", "order", "product", "service")
LEARNING_DAYS = 60
PROMOTION_DAYS = (120, 121)
HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 4, 6, 9, 11, 11, 10, 8, 9, 10, 10, 9, 8, 8, 9, 10, 9, 6, 4], np.float64
)
KINDS = ["log-normal", "log-normal", "step", "ramp", "spike"]


class Surge(NamedTuple):
    """A planted surge: which series, when (days) and how large."""

    series: tuple[int, ...]
    start: float
    stop: float
    k: float


class World(NamedTuple):
    """Counts by hour and series, and what was planted in them."""

    names: list[str]
    counts: NDArray[np.int64]
    surges: list[Surge]


class Score(NamedTuple):
    """What was found of what was planted."""

    found: int
    planted: int
    false_a_month: float
    openings: float
    """For each surge found."""
    delay_hours: float
    """Median over the surges found with k >= 3."""
    promotion: int
    """Episodes opened in the promotion; they are false as well."""


def shapes(chance: np.random.Generator, kind: str) -> NDArray[np.float64]:
    """Return the share of a surge's excess in each hour of its life."""
    if kind == "spike":
        return np.full(24, 1 / 24)
    if kind == "step":
        return np.full(14 * 24, 1 / (14 * 24))
    if kind == "ramp":
        rising = np.arange(1, 21 * 24 + 1, dtype=float)
        return np.asarray(rising / rising.sum())
    days = chance.lognormal(0, 0.5, 4000) * 2.5
    share = np.histogram(days, bins=10 * 24, range=(0, 10))[0].astype(float)
    log_normal: NDArray[np.float64] = share / share.sum()
    return log_normal


def meet(one: Surge, other: Surge) -> bool:
    """Tell whether two surges share a series within five days."""
    apart = one.stop + 5 < other.start or other.stop + 5 < one.start
    return not apart and bool(set(one.series) & set(other.series))


def make(seed: int, days: int) -> World:
    """Return a world."""
    chance = np.random.default_rng(seed)
    region = chance.lognormal(0, 0.7, REGIONS)
    category = np.array([0.5, 0.2, 0.2, 0.1])
    share = (region[:, None] * category * chance.lognormal(0, 0.2, (REGIONS, 4))).ravel()
    level = 900 * share / share.sum()
    names = [f"R{r:02d}\x1f{name}" for r in range(REGIONS) for name in CATEGORIES]
    day = np.arange(days)
    wave = 1 + 0.15 * np.sin(2 * np.pi * day / 90 + chance.uniform(0, 6))
    drift = np.exp(np.cumsum(chance.normal(0, 0.015, (REGIONS, days)), axis=1)).repeat(4, axis=0)
    week = np.array([1.1, 1.05, 1.0, 1.0, 1.05, 0.9, 0.8])[day % 7]
    promotion = np.where(np.isin(day, PROMOTION_DAYS), 1.7, 1.0)
    mean = level[:, None] * wave * drift * week * promotion
    spread = chance.uniform(1, 3, len(level))[:, None]
    noisy = chance.gamma(mean / (spread - 1), spread - 1)
    counts = chance.poisson(noisy[:, :, None] * (HOURS / HOURS.sum())).reshape(len(level), -1)
    planted: list[Surge] = []
    for _ in range(20):
        whole = 4 * int(chance.integers(REGIONS)) + np.arange(4)
        leaf = whole[[int(chance.choice(4, p=category))]]
        kind = str(chance.choice(KINDS))
        series = tuple((leaf if chance.random() < 0.6 else whole).tolist())
        k = float(chance.choice([2, 3, 5]))
        start = float(chance.uniform(LEARNING_DAYS, days - 22))
        shape = shapes(chance, kind)
        surge = Surge(series, start, start + len(shape) / 24, k)
        if any(meet(surge, other) for other in planted):
            continue
        first = int(start * 24)
        for s in series:
            deviation = np.sqrt(level[s] * spread[s, 0])
            size = deviation * (k * 7 if kind != "spike" else 3 + k) / np.sqrt(len(series))
            extra = chance.poisson(size * shape)
            counts[s, first : first + len(extra)] += extra
        planted.append(surge)
    return World(names, counts, planted)


def run(world: World, rate: float) -> list[tuple[float, int]]:
    """Return (day, series) of every surge opened."""
    watch = SurgeWatch(
        scan=OutbreakOdds(HOUR), config_version="bench", false_episodes_a_month=rate,
        min_complaints=4, cool_down_hours=48, max_episode_days=7, forget_days=120, min_days=7,
    )  # fmt: skip
    opened = []
    for hour in range(world.counts.shape[1]):
        counts = {n: int(c) for n, c in zip(world.names, world.counts[:, hour], strict=True) if c}
        for decision in watch.close((hour + 2) * HOUR, hour * HOUR, with_regions(counts)):
            if isinstance(decision, SurgeOpened):
                name = f"{decision.region}\x1f{decision.category}"
                opened.append((decision.decided_at.timestamp() / DAY, world.names.index(name)))
    return opened


def score(world: World, opened: list[tuple[float, int]]) -> Score:
    """Match openings with surges; those within two days of each other in a region are one."""
    days = world.counts.shape[1] / 24
    judged = [(day, s) for day, s in opened if day >= LEARNING_DAYS]
    hits: dict[int, list[float]] = {}
    false: list[tuple[float, int]] = []
    for day, s in judged:
        mine = [
            i for i, g in enumerate(world.surges) if s in g.series and g.start <= day <= g.stop + 3
        ]
        if mine:
            hits.setdefault(mine[0], []).append(day)
        elif not any(r == s // 4 and day - d <= 2 for d, r in false):
            false.append((day, s // 4))
    delays = [
        (hits[i][0] - g.start) * 24 for i, g in enumerate(world.surges) if i in hits and g.k >= 3
    ]
    first, last = PROMOTION_DAYS[0], PROMOTION_DAYS[-1] + 1.2
    return Score(
        len(hits), len(world.surges), len(false) / (days - LEARNING_DAYS) * 30,
        sum(map(len, hits.values())) / max(len(hits), 1), float(np.median(delays or [np.nan])),
        sum(first <= day <= last for day, _ in false),
    )  # fmt: skip


def main() -> None:
    """Print a row a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1.0, help="false episodes a month allowed")
    options = parser.parse_args()
    table = Table(
        "seed", "recall", "false a month", "openings a surge", "delay k>=3, h", "in promotion",
        title=f"at {options.rate:g} false episodes a month",
    )  # fmt: skip
    for seed in options.seeds:
        world = make(seed, options.days)
        s = score(world, run(world, options.rate))
        table.add_row(
            str(seed), f"{s.found}/{s.planted} = {s.found / s.planted:.2f}",
            f"{s.false_a_month:.2f}", f"{s.openings:.1f}", f"{s.delay_hours:.0f}", str(s.promotion),
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()

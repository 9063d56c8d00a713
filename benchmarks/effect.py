"""Whether the interval of `forewarn effect` keeps its word when somebody looks every day.

    python -m benchmarks.effect [--runs 400] [--json]

Customers arrive day by day, some are held out, complaints are Poisson with a planted effect or with
none. Each run looks at the confidence sequence at the end of every day; it fails if the truth was
outside *once*. Beside it a classical interval (Welch's), which is made for one look, at the last
day and at every day.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline.sequences import LEAST, LEAST_EVENTS, Comparison, Interval


@dataclass(frozen=True)
class World:
    """What is simulated."""

    name: str
    held_out_share: float
    complaints_held_out: float
    """A customer, within the window."""
    complaints_treated: float
    spread: float = 0.0
    """Customers differ: their rates are Gamma with this squared coefficient of variation."""
    busier: int = 1
    """So many times as many customers."""

    @property
    def effect(self) -> float:
        """The truth."""
        return self.complaints_treated - self.complaints_held_out


WORLDS = (
    World("no effect, 1 in 10 held out", 0.10, 0.20, 0.20),
    World("no effect, 1 in 20 held out, rare", 0.05, 0.05, 0.05, busier=4),
    World("a third fewer, 1 in 10 held out", 0.10, 0.30, 0.20),
    World("half as many, half held out", 0.50, 0.20, 0.10),
    World("a third fewer, customers differ", 0.10, 0.30, 0.20, spread=2.0),
    World("a fifth more (it does harm)", 0.20, 0.20, 0.24),
)


@dataclass(frozen=True)
class Row:
    """What came of one world."""

    world: str
    truth: float
    runs: int
    """With an opinion at the end."""
    covered: float
    """Share of runs whose interval covered the truth at the end of every day."""
    classical_last_day: float
    classical_every_day: float
    told_from_nothing: float
    """Share of runs in which 0 was outside on some day."""
    half_width: float
    """Median, on the last day."""
    classical_half_width: float


def run(world: World, *, days: int, a_day: int, seed: int) -> Iterator[tuple[Interval, Interval]]:
    """Yield both intervals at the end of each day on which there is an opinion."""
    random = np.random.default_rng(seed)
    compared = Comparison(treated_share=1 - world.held_out_share)
    seen: list[list[float]] = [[], []]
    for _ in range(days):
        held_out = random.random(a_day) < world.held_out_share
        rates = np.where(held_out, world.complaints_held_out, world.complaints_treated)
        if world.spread:
            rates = rates * random.gamma(1 / world.spread, world.spread, a_day)
        for out, count in zip(held_out.tolist(), random.poisson(rates).tolist(), strict=True):
            compared.add(treated=not out, outcome=float(count))
            seen[out].append(float(count))
        found = compared.interval(0.95)
        if found is not None:
            yield found, welch(*seen)


def welch(treated: Sequence[float], held_out: Sequence[float]) -> Interval:
    """Return the classical interval for the difference of means, made for one look."""
    first, second = np.array(treated), np.array(held_out)
    difference = float(first.mean() - second.mean())
    half = 1.96 * math.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return Interval(difference, difference - half, difference + half)


def measure(world: World, *, runs: int, days: int, a_day: int, seed: int) -> Row:
    """Run a world many times."""
    counts: list[tuple[bool, bool, bool, bool]] = []
    widths = []
    for number in range(runs):
        looks = list(run(world, days=days, a_day=a_day * world.busier, seed=seed + number))
        if not looks:
            continue  # no opinion is no wrong one
        ours, theirs = [a for a, _ in looks], [b for _, b in looks]
        counts.append(
            (
                all(world.effect in each for each in ours),
                world.effect in theirs[-1],
                all(world.effect in each for each in theirs),
                any(0.0 not in each for each in ours),
            )
        )
        widths.append(((ours[-1].high - ours[-1].low) / 2, (theirs[-1].high - theirs[-1].low) / 2))
    shares = np.array(counts).mean(axis=0).tolist()
    middle = np.median(np.array(widths), axis=0).tolist()
    return Row(world.name, world.effect, len(counts), *shares, *middle)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when a world's coverage is certainly below 95 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effect", description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--a-day", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    began = time.process_time()
    rows = [
        measure(world, runs=given.runs, days=given.days, a_day=given.a_day, seed=given.seed)
        for world in WORLDS
    ]
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        show(rows, given.days, given.a_day)
        print(f"{time.process_time() - began:.0f} CPU seconds")
    # Three standard errors below the stated rate are no accident.
    least = 0.95 - 3 * math.sqrt(0.95 * 0.05 / given.runs)
    return int(any(row.covered < least for row in rows))


def show(rows: Sequence[Row], days: int, a_day: int) -> None:
    """Print the rows as Markdown."""
    print(
        f"{days} days of {a_day} customers (rare: 4 times as many), a look a day from {LEAST} "
        f"customers of each group on, {LEAST_EVENTS} of them with complaints\n"
    )
    print("| world | truth | runs | covered every day | Welch, last day | Welch, every day "
          "| 0 excluded | half width (Welch) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        widths = f"{row.half_width:.3f} ({row.classical_half_width:.3f})"
        print(
            f"| {row.world} | {row.truth:+.2f} | {row.runs} | {row.covered:.1%} "
            f"| {row.classical_last_day:.1%} | {row.classical_every_day:.1%} "
            f"| {row.told_from_nothing:.1%} | {widths} |"
        )


if __name__ == "__main__":
    raise SystemExit(main())

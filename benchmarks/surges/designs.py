"""Counts of weeks (design W) and of days (design D) with planted outbreaks.

Both are after Noufaily et al. (2013), An improved algorithm for outbreak detection in multiple
surveillance systems, Statistics in Medicine 32(7): negative-binomial counts with variance
`dispersion` x mean, a log-linear mean with trend and yearly harmonics, in days also the day of the
week; four past outbreaks in the baseline and one in the year that is judged. An outbreak of size k
brings Poisson(k x standard deviation of the bucket it starts in) extra cases (in days seven times
that), spread by a log-normal(0, 0.5) over time.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SIZES: Final = (1, 2, 3, 5, 10)
WEEKS, WEEKS_JUDGED, BASELINE_WEEKS = 624, 49, (313, 575)
DAYS, DAYS_JUDGED = 4 * 364, 343
YEAR_DAYS: Final = 364
DAY_WIDTH: Final = 4.0
"""Days that one unit of the log-normal takes in design D: nearly all is over in two weeks."""
SEVEN: Final = np.array(
    [
        # theta, beta, gamma1, gamma2, phi
        [0.1, 0.0025, 0.6, 0.6, 1.5],
        [-2.0, 0.005, 0.1, 0.3, 2.0],
        [1.5, 0.003, 0.2, -0.4, 1.0],
        [0.5, 0.002, 0.5, 0.5, 5.0],
        [2.5, 0.001, 1.0, 0.1, 3.0],
        [3.75, 0.001, 0.1, -0.1, 1.1],
        [5.0, 0.0001, 0.05, 0.01, 1.2],
    ]
)
DAILY_MEANS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
DAILY_DISPERSIONS: Final = (1.0, 1.5, 2.5, 5.0)


class Planted(NamedTuple):
    """Outbreaks in the judged part, one an element; shape (outbreaks,) each."""

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    """First bucket, and ..."""
    stop: NDArray[np.int64]
    """... one past the last with a case of it."""
    size: Floats
    """k."""
    kind: NDArray[np.str_]


class World(NamedTuple):
    """Counts of many series and the truth behind them."""

    name: str
    counts: Floats
    """Shape (series, buckets), as `mean`."""
    mean: Floats
    dispersion: Floats
    """Shape (series,), as `scenario`."""
    scenario: NDArray[np.int64]
    judged_from: int
    planted: Planted
    bucket_seconds: int


def weeks(seed: int, each: int = 50) -> World:
    """Return design W: 7 parameter sets x trend or none x 0, 1, 2 harmonics, `each` series."""
    chance = np.random.default_rng(seed)
    cells = [(p, trend, m) for p in range(7) for trend in (0, 1) for m in (0, 1, 2)]
    scenario = np.repeat(np.arange(len(cells)), each)
    sets, trend, harmonics = np.array(cells).T[:, scenario]
    theta, beta, gamma1, gamma2, phi = SEVEN[sets].T
    t = np.arange(1, WEEKS + 1)
    log_mean = theta[:, None] + (beta * trend)[:, None] * t
    for j in (1, 2):
        angle = 2 * np.pi * j * t / 52
        wave = gamma1[:, None] * np.cos(angle) + gamma2[:, None] * np.sin(angle)
        log_mean += (harmonics >= j)[:, None] * wave
    mean = np.exp(log_mean)
    past = (BASELINE_WEEKS[0], BASELINE_WEEKS[1] - 8)
    kinds = np.full(len(scenario), "log-normal")
    return _planted(chance, "W", mean, phi, scenario, WEEKS - WEEKS_JUDGED, past, kinds, 7 * 86_400)


def days(seed: int, each: int = 20, *, shapes: bool = True) -> World:
    """Return design D: 7 means x 2 seasons x 4 dispersions, `each` series with log-normal ones.

    With `shapes` there are besides, a scenario, `each` series with a spike of one day (5 standard
    deviations), a step of a fortnight or a ramp of three weeks (k = 2).
    """
    chance = np.random.default_rng(seed)
    cells = [(m, s, d) for m in range(7) for s in (0, 1) for d in range(4)]
    scenario = np.repeat(np.arange(len(cells)), each * (2 if shapes else 1))
    means, season, dispersions = np.array(cells).T[:, scenario]
    n, t = len(scenario), np.arange(1, DAYS + 1)
    angle = 2 * np.pi * t / YEAR_DAYS + chance.uniform(0, 2 * np.pi, (n, 1))
    wave = chance.uniform(0.05, 0.5, (n, 1)) * np.cos(angle)
    wave += (season == 1)[:, None] * chance.uniform(0.05, 0.3, (n, 1)) * np.sin(2 * angle)
    week = chance.normal(0, 0.05 + 0.2 * season[:, None], (n, 7))
    slope = chance.uniform(-0.1, 0.2, (n, 1)) * t / YEAR_DAYS
    shape = wave + week[:, t % 7] + slope
    shape -= np.log(np.exp(shape).mean(1, keepdims=True))
    mean = np.array(DAILY_MEANS)[means, None] * np.exp(shape)
    kinds = np.full(n, "log-normal")
    if shapes:
        kinds[np.arange(n) % 2 == 1] = np.resize(["spike", "step", "ramp"], n // 2)
    phi = np.array(DAILY_DISPERSIONS)[dispersions]
    past = (YEAR_DAYS, DAYS - DAYS_JUDGED - 30)
    return _planted(chance, "D", mean, phi, scenario, DAYS - DAYS_JUDGED, past, kinds, 86_400)


def negative_binomial(chance: np.random.Generator, mean: Floats, dispersion: Floats) -> Floats:
    """Return counts with the given means and variance = dispersion x mean."""
    extra = np.maximum(dispersion - 1, 1e-9)
    noisy = np.where(dispersion > 1, chance.gamma(mean / extra) * extra, mean)
    counts: Floats = chance.poisson(noisy).astype(float)
    return counts


def _planted(
    chance: np.random.Generator, name: str, mean: Floats, phi: Floats, scenario: NDArray[np.int64],
    judged_from: int, past: tuple[int, int], kinds: NDArray[np.str_], bucket_seconds: int,
) -> World:  # fmt: skip
    counts = negative_binomial(chance, mean, phi[:, None])
    deviation = np.sqrt(mean * phi[:, None])
    daily = bucket_seconds == 86_400
    longest = 22 if daily else 6
    found: list[tuple[int, int, int, float, str]] = []
    for s, kind in enumerate(kinds.tolist()):
        for start in chance.integers(*past, 4):
            k = float(chance.choice(SIZES))
            _plant(
                chance, counts[s], int(start), k * deviation[s, start], "log-normal", daily=daily
            )
        start = int(chance.integers(judged_from, counts.shape[1] - longest))
        k = 2.0 if kind in ("step", "ramp") else 5.0
        k = float(SIZES[(s // (2 if daily else 1)) % 5]) if kind == "log-normal" else k
        last = _plant(chance, counts[s], start, k * deviation[s, start], kind, daily=daily)
        if last is not None:
            found.append((s, start, last + 1, k, kind))
    series, starts, stops, k_, kind_ = map(np.array, zip(*found, strict=True))
    planted = Planted(series, starts, stops, k_, kind_)
    return World(name, counts, mean, phi, scenario, judged_from, planted, bucket_seconds)


def _plant(
    chance: np.random.Generator, row: Floats, start: int, size: float, kind: str, *, daily: bool
) -> int | None:
    """Add an outbreak to a series; return its last bucket, None when nobody fell ill."""
    cases = int(chance.poisson(size * (7 if daily and kind != "spike" else 1)))
    if kind == "log-normal":
        after = chance.lognormal(0, 0.5, cases) * (DAY_WIDTH if daily else 1)
    elif kind == "ramp":
        after = np.sqrt(chance.random(cases)) * 21
    else:
        after = chance.random(cases) * {"spike": 1, "step": 14}[kind]
    at = start + after.astype(int)
    at = at[at < len(row)]
    np.add.at(row, at, 1)
    return int(at.max()) if at.size else None

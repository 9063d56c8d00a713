"""Who is compared: each takes a world and returns scores and, if it states a rate, chances."""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from benchmarks.surges.designs import Floats, World
from detectors.odds import log_likelihood
from detectors.outbreak_odds import OutbreakOdds

START = 1_500_000_000 // 604_800 * 604_800
"""When every world begins; a Thursday."""
_BEFORE = 30


class Scored(NamedTuple):
    """What a contender says; shape (series, judged buckets), higher is more surprising."""

    scores: Floats
    chance: Floats | None = None
    """P(a score as high | no outbreak), where it is stated."""
    early_chance: Floats | None = None
    """The same for the buckets before those judged."""
    cpu_us: float = np.nan
    """CPU a series and bucket."""


def forewarn(world: World) -> Scored:
    """What ships, from the first bucket on."""
    series, buckets = world.counts.shape
    scan, names = OutbreakOdds(world.bucket_seconds), [f"{n:06d}" for n in range(series)]
    scores, chance = np.empty((buckets, series)), np.empty((buckets, series))
    began = time.process_time()
    for t in range(buckets):
        counts, at = np.ascontiguousarray(world.counts[:, t]), START + t * world.bucket_seconds
        said = scan.step(scan.begin(names, at, counts), at, counts)
        scores[t], chance[t] = said.score, said.chance
    cost = (time.process_time() - began) / world.counts.size * 1e6
    first = world.judged_from
    return Scored(scores[first:].T, chance[first:].T, chance[:first].T, cost)


def oracle(world: World) -> Scored:
    """True mean and dispersion; the log of a mixture of likelihood ratios over start and size.

    It knows that outbreaks are log-normal, and lets each be active with the probability that at
    least one of eight cases is still to come.
    """
    stages, width, unit = (10, 0.25, 7.0) if world.bucket_seconds == 86_400 else (5, 1.0, 1.0)
    edges = np.arange(1, stages + 1) * width
    shares = np.diff(np.concatenate([[0.0], ndtr(np.log(edges) / 0.5)]))
    left = 1 - np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    active = np.log(0.2 * (1 - (1 - left) ** 8))[:, None, None]
    sizes = np.array([1.0, 2.0, 3.0, 5.0, 10.0])[:, None] * unit
    series, buckets = world.counts.shape
    spread = np.maximum(world.dispersion, 1.0001)
    ratios, deviation = np.zeros((stages, 5, series)), np.ones((stages, 1, series))
    scores = np.empty((buckets, series))
    for t in range(max(world.judged_from - _BEFORE, 0), buckets):
        counts, mean = world.counts[:, t], world.mean[:, t]
        ratios[1:], deviation[1:] = ratios[:-1].copy(), deviation[:-1].copy()
        ratios[0], deviation[0] = 0.0, np.sqrt(mean * spread)
        more = shares[:, None, None] * sizes * deviation
        raised = mean + more
        ratios += log_likelihood(counts, raised, (mean * spread + more) / raised)
        ratios -= log_likelihood(counts, mean, spread)
        scores[t] = np.logaddexp.reduce((ratios + active).reshape(-1, series), axis=0)
    return Scored(scores[world.judged_from :].T)


def ears_c2(world: World) -> Scored:
    """EARS C2: standard deviations above the mean of seven buckets, two buckets ago and before."""
    scores = np.zeros((world.counts.shape[1], len(world.counts)))
    for t in range(world.judged_from, world.counts.shape[1]):
        past = world.counts[:, t - 9 : t - 2]
        scores[t] = (world.counts[:, t] - past.mean(1)) / np.maximum(past.std(1, ddof=1), 0.5)
    return Scored(scores[world.judged_from :].T)


def farrington(world: World) -> Scored:
    """Farrington Flexible of R's `surveillance`; the score is -log of its p-value. Slow."""
    with tempfile.TemporaryDirectory() as folder:
        counts, out = Path(folder) / "counts.csv", Path(folder) / "out.csv"
        np.savetxt(counts, world.counts, fmt="%d", delimiter=",")
        words = ["Rscript", str(Path(__file__).with_name("rivals.R")), str(counts)]
        words += ["52", str(world.judged_from + 1), str(out)]
        said = subprocess.run(words, check=True, capture_output=True, text=True)
        chance = np.nan_to_num(np.loadtxt(out, delimiter=","), nan=1.0)
    return Scored(-np.log(np.maximum(chance, 1e-300)), chance, None, float(said.stdout.split()[-1]))

"""Closes told by what the pool answered: small, and whoever repeats them has the same bytes."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from detectors.base import Batch, Cell, Counts, Metric, StateError
from detectors.closings import read_closings
from detectors.flow import FlowCore
from tests.detectors import contract
from tests.detectors.worlds import HOUR, QUARTER, SOURCES, START, flow

SERIES = 300
HOURS = 60
PAGES = 8


def make(lateness: int = HOUR) -> FlowCore:
    """Return a core that has opinions from the second day on."""
    return flow(
        min_days=1.0, max_episode_days=1, cool_down_hours=1, forget_days=1,
        allowed_lateness_seconds=lateness,
    )  # fmt: skip


@cache
def chunks() -> list[Batch[Counts]]:
    """Sixty hours of hundreds of series, a record a quarter and source; new ones come, some end.

    A region surges from hour 40 to 52, a carrier is silent, a backlog grows, one count in ten
    is late.
    """
    chance = np.random.default_rng(3)
    names = [f"R{n:03d}\x1flogistics" for n in range(SERIES)]
    level = chance.lognormal(0.5, 0.7, SERIES)
    made = []
    for quarter in range(HOURS * 4):
        hour, now = quarter // 4, START + quarter * QUARTER
        known = np.arange(SERIES) < SERIES // 2 + hour * 3
        alive = known & ((np.arange(SERIES) > 20) | (hour < 30))
        mean = level * alive * np.where((np.arange(SERIES) == 50) & (40 <= hour < 52), 12, 1)
        records = []
        for source in SOURCES:
            cells = list(_cells(chance, source, names, mean, hour, now))
            records.append(Counts(source=source, through=now + QUARTER, cells=tuple(cells)))
        made.append(Batch(records, np.zeros(len(records))))
    return made


def _cells(
    chance: np.random.Generator,
    source: str,
    names: list[str],
    mean: np.ndarray,
    hour: int,
    now: int,
) -> Iterator[Cell]:
    bucket = START + hour * HOUR
    for place, count in enumerate(chance.poisson(mean / 8).tolist()):
        name = names[place]
        region = name.partition("\x1f")[0]
        late = bool(chance.random() < 0.1) and hour > 3
        silent = place == 60 and 45 <= hour < 55
        if source.startswith("complaints") and count:
            yield Cell(Metric.COMPLAINTS, name, bucket - 3 * HOUR * late, count, bucket * late)
        elif count and not silent:
            yield Cell(Metric.SCANS, region, now, count * 20)
            yield Cell(Metric.ENTERED, region, bucket, count * (20 if place == 70 else 2))
            yield Cell(Metric.LEFT, region, bucket, count * 2)


def test_the_world_of_these_tests_speaks() -> None:
    """There are surges, silences and alerts to be told."""
    core = make()
    kinds = {
        type(decision).__name__
        for chunk in chunks()
        for decision in contract.decisions(core.observe(chunk))
    }
    assert kinds >= {"SurgeOpened", "SurgeClosed", "CapacityAlert", "FeedSilent", "FeedResumed"}


@pytest.mark.parametrize(("size", "lateness"), [(1, HOUR), (1, 2 * QUARTER), (3, HOUR), (40, HOUR)])
def test_repeated_closings_are_the_same_to_the_byte(size: int, lateness: int) -> None:
    """However many quarters a chunk holds, its changes applied twice make the same state."""
    core, copy = make(lateness), make(lateness)
    for place in range(0, len(chunks()), size):
        for chunk in chunks()[place : place + size]:
            core.observe(chunk)
        blob = core.changes()
        copy.apply(blob)
        copy.apply(blob)
        assert contract.pages(copy) == contract.pages(core)


def test_pages_of_different_ages_and_changes_make_the_state() -> None:
    """A ring of pages, each as old as another chunk, and the changes since: the same state."""
    core = make()
    ring: list[tuple[int, bytes, bytes]] = []
    for n, chunk in enumerate(chunks()):
        core.observe(chunk)
        changes = core.changes()
        ring.append((n % PAGES, core.dump(n % PAGES, PAGES), changes))
        if n % 37 != 36:
            continue
        copy = make()
        for page, blob, changed in ring[-PAGES:]:
            copy.load(page, PAGES, blob)
            copy.apply(changed)
        assert contract.pages(copy) == contract.pages(core)
        core = copy


def test_a_close_is_told_in_few_bytes() -> None:
    """Chunks in which quarters and hours close are far smaller than the rows they moved."""
    core = make()
    for chunk in chunks()[:-8]:
        core.observe(chunk)
        core.changes()
    state = sum(map(len, contract.pages(core)))
    for chunk in chunks()[-8:]:
        core.observe(chunk)
        assert len(core.changes()) < state / 15


def test_broken_closings_are_refused() -> None:
    """What cannot be read is an error and never an empty list."""
    with pytest.raises(StateError, match="broken closings"):
        read_closings(b"\xc1")

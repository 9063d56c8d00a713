"""Flow with thousands of series: partial and late counts, long silences, one series and many."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest

from detectors.base import Batch, Cell, Counts, Metric, Rejected
from detectors.counts import SeasonalCounts
from detectors.flow import FlowCore
from detectors.outbreak_odds import OutbreakOdds
from detectors.pooled import Lesson, Repetition
from detectors.surges import SurgeWatch, with_regions
from tests.detectors import contract
from tests.detectors.test_closings import chunks, make
from tests.detectors.worlds import DAY, HOUR, QUARTER, SOURCES, START, day_shape, flow

SERIES = 1200
HOURS = 30
NAMES = [f"R{n // 4:04d}\x1fc{n % 4}" for n in range(SERIES)]


def batch_of(*records: Counts) -> Batch[Counts]:
    return Batch(records, np.zeros(len(records)))


def test_partial_and_late_counts_of_many_series_are_put_together() -> None:
    """What several sources tell in pieces, a fifth of it late, is learned as if told at once."""
    chance = np.random.default_rng(5)
    core = flow(min_days=1.0)
    watch = SurgeWatch(
        scan=OutbreakOdds(HOUR), config_version="test", false_episodes_a_month=0.5, min_days=1.0,
        min_complaints=4, cool_down_hours=48, max_episode_days=7, forget_days=120,
    )  # fmt: skip
    level = chance.lognormal(0, 1, SERIES)
    told: list[Mapping[str, int]] = []
    for hour in range(HOURS):
        bucket = START + hour * HOUR
        usual, late = defaultdict[str, int](int), defaultdict[str, int](int)
        for part in range(3):
            for source in SOURCES:
                cells = []
                for place, count in enumerate(chance.poisson(level / 12).tolist()):
                    was_late = hour >= 5 and bool(chance.random() < 0.2)
                    if count and source.startswith("complaints"):
                        name, of = NAMES[place], bucket - 5 * HOUR * was_late
                        cells.append(Cell(Metric.COMPLAINTS, name, of, count, bucket * was_late))
                        (late if was_late else usual)[name] += count
                through = bucket + (part + 1) * 20 * 60
                core.observe(batch_of(Counts(source=source, through=through, cells=tuple(cells))))
        # An hour's own counts close an hour after its end, its late ones at its end.
        told.append(usual)
        watch.correct(bucket + HOUR, bucket - 5 * HOUR, with_regions(late))
        if hour:
            watch.close(bucket + HOUR, bucket - HOUR, with_regions(told[hour - 1]))
    mine = core._surges
    mine.series.sort()
    watch.series.sort()
    assert len(mine.series) == len(watch.series) > SERIES * 0.9
    for column in ("m", "p", "spread", "evidence", "weights", "recent", "risen_count"):
        assert np.array_equal(
            mine.series[column][: len(mine.series)], watch.series[column][: len(watch.series)]
        ), column


def test_a_long_silence_at_once_is_the_same_in_small_steps() -> None:
    """Three empty days in one record or in hundreds: same decisions, same bytes."""
    once, steps = make(), make()
    for core in (once, steps):
        for chunk in chunks():
            core.observe(chunk)
    start = int(once.clock)
    outputs = once.observe(
        batch_of(*(Counts(source=s, through=start + 3 * DAY, cells=()) for s in SOURCES))
    )
    small = []
    for through in range(start + 600, start + 3 * DAY + 600, 600):
        small += steps.observe(
            batch_of(*(Counts(source=s, through=through, cells=()) for s in SOURCES))
        )
    assert outputs
    assert small == outputs
    assert contract.pages(steps) == contract.pages(once)


def test_counts_of_a_closed_bucket_close_it_no_second_time() -> None:
    """What a source should have called late, and did not, opens and teaches nothing."""
    core = flow()
    for hour in range(6):
        through = START + (hour + 1) * HOUR
        cells = (Cell(Metric.COMPLAINTS, NAMES[0], START + hour * HOUR, 2),)
        core.observe(batch_of(*(Counts(source=s, through=through, cells=cells) for s in SOURCES)))
    series = core._surges.series
    before, last = series["m"][0].tolist(), int(series["last"][0])
    late = (Cell(Metric.COMPLAINTS, NAMES[0], START, 7),)
    through = START + 6 * HOUR + QUARTER
    records = [Counts(source=s, through=through, cells=late if s == "parcels/0" else ())
               for s in SOURCES]  # fmt: skip
    core.observe(batch_of(*records))
    assert len(core._pending) == 2, "of the category and of its region"
    assert series["m"][0].tolist() == before
    assert int(series["last"][0]) == last


def test_a_hundred_thousand_series_are_let_in() -> None:
    """The bound that ships is not below what one partition is built for; one more is refused."""
    core = FlowCore(sources=["complaints/0"], config_version="test")
    names = [f"R{n}\x1forder" for n in range(core.max_series)]
    for hour, new in enumerate((names, ["one\x1forder", names[0]], [])):
        bucket = START + hour * HOUR
        cells = tuple(Cell(Metric.COMPLAINTS, name, bucket, 1) for name in new)
        record = Counts(source="complaints/0", through=bucket + 2 * HOUR, cells=cells)
        outputs = core.observe(batch_of(record))
        assert [type(output) for output in outputs] == ([Rejected] if hour == 1 else [])
    assert len(core._surges) == core.max_series == 100_000


@pytest.mark.parametrize("days", [2, 15])
def test_one_series_and_many_fold_alike(days: int) -> None:
    """Each row alone, told what the pool answered, comes to the numbers of all rows at once."""
    chance = np.random.default_rng(2)
    names = [f"R{n:02d}" for n in range(10)]
    many, single = SeasonalCounts(), SeasonalCounts()
    for counts in (many, single):
        counts.begin(names, START)
    rows = many.series.sort()
    single.series.sort()
    for hour in range(days * 24):
        bucket = START + hour * HOUR
        values = chance.poisson(2 * day_shape(hour), 10).astype(float)
        weights = np.where(values > 6, 0.5, 1.0) if hour % 3 else None
        lesson = Lesson(many.pool)
        many.fold(rows, bucket, values, weights, many.forecast(rows, bucket, lesson), lesson)
        for row in range(10):
            alone, again = np.array([row]), Repetition(lesson.answers)
            trust = None if weights is None else weights[alone]
            known = single.forecast(alone, bucket, again)
            single.fold(alone, bucket, values[alone], trust, known, again)
    for column in ("sum", "exposure", "squares", "weight", "hour_due", "day_seen", "last"):
        found, expected = single.series[column][:10], many.series[column][:10]
        assert found == pytest.approx(expected, rel=1e-9), column

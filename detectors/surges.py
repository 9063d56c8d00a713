"""Surges: episodes of a region's complaints above what is usual, from opening to close.

calm ──alarm──► open ──excess doubled──► open (updated)
▲               │
└──cool-down────┴──odds below one──► closed

A region has a series for each category and one for all together. One cause is one episode: it
opens for the series with the best odds, names the categories that take part, and no other episode
of the region opens beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.closings import Closing, Journal
from detectors.common import KEEP, SPANS, common_factor
from detectors.decisions import (
    Evidence,
    SurgeClosed,
    SurgeOpened,
    SurgeReason,
    SurgeUpdated,
    decision_id,
    instant,
)
from detectors.events import Category
from detectors.loglinear import DAY
from detectors.outbreak_odds import Judged, OutbreakOdds, blocks
from detectors.pooled import Lesson, Repetition
from detectors.table import Floats, Rows, Table
from detectors.tails import upper_tail

MODEL: Final = "outbreak-odds/1"
SEPARATOR: Final = "\x1f"
HOUR: Final = 3600
MONTH_HOURS: Final = 720
MARGIN: Final = 3.0
"""False episodes are bounded by the rate of starts / odds as long as the expectation is right;
levels that wander make it this many times as many (measured on the first months)."""
STIRRING: Final = 0.1
"""Odds from which on a series is watched: an episode counts from the last time they rose above."""
TAKES_PART: Final = 0.1
"""Odds from which on a category takes part in an episode of its region."""

SurgeDecision = SurgeOpened | SurgeUpdated | SurgeClosed


class Hour(NamedTuple):
    """One hour of all series as judged; shape (series,) each."""

    counts: Floats
    mean: Floats
    spread: Floats
    full: Floats
    ready: NDArray[np.bool_]


class SurgeWatch:
    """Complaints of every region and category, hour by hour.

    Parameters
    ----------
    false_episodes_a_month
        How many episodes a month chance may open, over all series of this watch together.
    min_complaints
        An episode needs at least so many complaints.
    cool_down_hours
        A region opens no new episode for so long after one has closed.
    max_episode_days
        After so long an episode's level is learned as the new usual.
    forget_days
        A series without a complaint for so long is forgotten.
    min_days
        No opinion on a series before it is so old.
    scan
        The estimator; hourly buckets.
    """

    def __init__(
        self,
        *,
        scan: OutbreakOdds,
        config_version: str,
        false_episodes_a_month: float,
        min_complaints: int,
        cool_down_hours: int,
        max_episode_days: int,
        forget_days: int,
        min_days: float,
    ) -> None:
        self.scan = scan
        self.series = scan.series
        self.journal = Journal(self.series)
        self.series.widen(
            {
                "recent": ("f8", len(SPANS)), "due": ("f8", len(SPANS)),
                "risen": "i8", "risen_count": "f8", "risen_mean": "f8",
            }
        )  # fmt: skip
        self.config_version = config_version
        self.rate = false_episodes_a_month
        self.min_complaints = min_complaints
        self.cool_down_seconds = cool_down_hours * HOUR
        self.max_episode_seconds = max_episode_days * DAY
        self.forget_seconds = forget_days * DAY
        self.min_hours = min_days * DAY / HOUR
        whole = dict.fromkeys(("began", "opened", "cool_until", "open"), "i8")
        real = dict.fromkeys(("observed", "expected", "announced", "tail"), "f8")
        self.episodes = Table("episodes", {**whole, **real}, ["decision_id", "category", "parts"])
        """By region; the category is empty for a region as a whole."""
        self._starts = float(scan.chains.chains.start.sum())
        self._region: NDArray[np.int64] = np.empty(0, np.int64)
        """The number of every series' region, in their order; a region's own series comes first."""
        self._whole: NDArray[np.int64] = np.empty(0, np.int64)
        """The series of each region as a whole, by the region's number."""
        self._grouped_at = -1
        self._count, self._counted_at = 0, -1

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return *self.scan.tables, self.episodes

    def __len__(self) -> int:
        """Return the number of series, those of regions as a whole not among them."""
        if self._counted_at != self.series.generation:
            keys = self.series.keys(self.series.rows())
            self._count = sum(not key.endswith(SEPARATOR) for key in keys)
            self._counted_at = self.series.generation
        return self._count

    def __contains__(self, series: object) -> bool:
        """Tell whether a series is known."""
        return series in self.series

    def close(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[SurgeDecision]:
        """Judge, then learn, the hour `bucket` of every series; `now` is when it closed.

        `counts` has those of each region as a whole too: see `with_regions`.
        """
        if counts:
            self.scan.begin(list(counts), bucket, np.fromiter(counts.values(), float, len(counts)))
        rows = self.series.sort()
        if not len(self.series):
            return []
        self._group()
        lesson = Lesson()
        self.scan.expectation.enter(bucket)
        judged = self._judged(rows, bucket, self.series.spread(counts), lesson)
        hour = _hour(judged)
        decisions, closed = self._decided(now, bucket, hour)
        accepted = self._accepted(now)
        believed = np.zeros(len(hour.counts))
        believed[accepted] = 1.0
        self._fold(rows, bucket, judged, believed)
        leaf = self._leaf()
        self.scan.expectation.note_shape(hour.counts[leaf], hour.mean[leaf], hour.ready[leaf])
        self.scan.expectation.pool.touch(0)
        self.series["weights"][closed] = 0.0
        self.journal.note(rows, now, bucket, lesson, accepted, np.ones(len(accepted)))
        # What follows from an episode's end is told whole.
        self.series.touch(closed)
        if bucket % DAY == 0:
            idle = bucket - self.series["active"][rows] > self.forget_seconds
            self._forget(np.flatnonzero(idle))
        return decisions

    def opened_with(self, region: str) -> list[Category]:
        """Return the categories that took part when a region's last episode opened."""
        row = self.episodes.row(region)
        parts = self.episodes.text("parts")[row] if row >= 0 else None
        return [Category(part) for part in parts.split(SEPARATOR)] if parts else []

    def correct(self, now: int, bucket: int, counts: Mapping[str, int]) -> None:
        """Count complaints that came late for an open episode; opens nothing.

        `counts` as for `close`.
        What is usual is learned of what comes in time, and it is that which is judged.
        """
        del now
        for key, count in counts.items():
            region, _, category = key.partition(SEPARATOR)
            row = self.episodes.row(region)
            of_it = row >= 0 and self.episodes.text("category")[row] == category
            if of_it and self.episodes["open"][row] and bucket >= self.episodes["began"][row]:
                self.episodes["observed"][row] += count
                self.episodes.touch(row)

    def repeat(self, now: int, closing: Closing | None, counts: Mapping[str, int]) -> None:
        """Fold again an hour that closed elsewhere."""
        if closing is None:
            return
        rows = self.journal.behind(now)
        judged = self._judged(
            rows, closing.bucket, self.series.spread(counts)[rows], Repetition(closing.answers)
        )
        believed = np.zeros(len(rows))
        places, trust = self.journal.odd(closing, rows)
        believed[places] = trust
        self._fold(rows, closing.bucket, judged, believed)
        self.series["closed"][rows] = now

    def _judged(
        self, rows: Rows | slice, bucket: int, counts: Floats, lesson: Lesson
    ) -> list[Judged]:
        """Judge an hour by blocks, what moves everywhere at once taken out of it."""
        expectation = self.scan.expectation
        shared = expectation.ask(bucket, lesson)
        pieces = blocks(rows)
        known = [expectation.expect(piece, bucket, shared) for piece, _ in pieces]
        for (piece, places), each in zip(pieces, known, strict=True):
            for column, values in (("recent", counts[places]), ("due", each.mean)):
                self.series[column][piece] = KEEP * self.series[column][piece] + values[:, None]
        factor = 1.0
        if isinstance(rows, slice):
            old = expectation.age(self._whole, bucket) >= self.min_hours
            regions = self._whole[old]
            factor = common_factor(self.series["recent"][regions], self.series["due"][regions])
        factor = lesson.note(factor)
        return [
            self.scan.judge_against(each.times(factor), piece, bucket, counts[places])
            for (piece, places), each in zip(pieces, known, strict=True)
        ]

    def _fold(
        self, rows: Rows | slice, bucket: int, judged: list[Judged], believed: Floats
    ) -> None:
        """Learn an hour, and since when each series has been above its usual."""
        series = self.series
        for (piece, places), each in zip(blocks(rows), judged, strict=True):
            calm = each.full < STIRRING
            self.scan.fold(piece, bucket, each, believed[places])
            series["risen"][piece] = np.where(calm, bucket + HOUR, series["risen"][piece])
            for column, values in (("risen_count", each.counts), ("risen_mean", each.known.mean)):
                series[column][piece] = np.where(calm, 0.0, series[column][piece] + values)

    def _group(self) -> None:
        """Number the regions of all series anew when series have come or gone."""
        if self._grouped_at == self.series.generation:
            return
        regions = [key.partition(SEPARATOR)[0] for key in self.series.keys(slice(None))]
        numbers = {region: number for number, region in enumerate(dict.fromkeys(regions))}
        self._region = np.fromiter(map(numbers.__getitem__, regions), np.int64, len(regions))
        self._whole = self.series.find([region + SEPARATOR for region in numbers])
        self._whole = self._whole[self._whole >= 0]
        self._grouped_at = self._counted_at = self.series.generation
        self._count = len(regions) - len(self._whole)

    def _leaf(self) -> NDArray[np.bool_]:
        leaf = np.ones(len(self._region), np.bool_)
        leaf[self._whole] = False
        return leaf

    def _decided(self, now: int, bucket: int, hour: Hour) -> tuple[list[SurgeDecision], Rows]:
        """Return what there is to say, and the series whose episode has ended."""
        age = self.scan.expectation.age(slice(0, len(hour.counts)), bucket)
        odds = np.where(age >= self.min_hours, hour.full, 0.0)
        level = MARGIN * MONTH_HOURS * self._starts * len(odds) / self.rate
        regions = {int(self._region[place]) for place in np.flatnonzero(odds >= level)}
        open_ = self.episodes.keys(np.flatnonzero(self.episodes["open"] == 1))
        wholes = self.series.find([region + SEPARATOR for region in open_])
        regions |= set(self._region[wholes[wholes >= 0]].tolist())
        decisions: list[SurgeDecision] = []
        closed: list[int] = []
        for number in sorted(regions):
            # Sorted by key, the series of a region stand together.
            places = np.arange(*np.searchsorted(self._region, (number, number + 1)))
            made = self._step(now, bucket, places, odds, hour)
            decisions += made
            if made and isinstance(made[0], SurgeClosed):
                closed += places.tolist()
        return decisions, np.array(closed, np.int64)

    def _step(
        self, now: int, bucket: int, places: Rows, odds: Floats, hour: Hour
    ) -> list[SurgeDecision]:
        """Open, follow or close the episode of a region whose series are at `places`."""
        region = self.series.key(int(places[0])).partition(SEPARATOR)[0]
        (row,) = self.episodes.add([region]).tolist()
        episodes = self.episodes
        if not episodes["open"][row]:
            if now < episodes["cool_until"][row]:
                return []
            return self._open(now, bucket, row, places, odds, hour)
        category = episodes.text("category")[row] or ""
        place = int(self.series.row(region + SEPARATOR + category))
        if place >= 0:
            episodes["observed"][row] += hour.counts[place]
            episodes["expected"][row] += hour.mean[place]
        excess = float(episodes["observed"][row] - episodes["expected"][row])
        if odds[places].max() < 1:
            episodes["open"][row] = 0
            episodes["cool_until"][row] = now + self.cool_down_seconds
            return [self._decide(SurgeClosed, SurgeReason.BACK_TO_EXPECTATION, now, row)]
        if excess >= 2 * episodes["announced"][row]:
            episodes["announced"][row] = excess
            joined = () if category else self._parts(places, odds)
            return [self._decide(SurgeUpdated, SurgeReason.WORSENED, now, row, joined)]
        return []

    def _open(
        self, now: int, bucket: int, row: int, places: Rows, odds: Floats,
        hour: Hour,
    ) -> list[SurgeDecision]:  # fmt: skip
        """Open an episode for the series that explains it best, if it has complaints enough."""
        # The region's own series comes first: a category is named where it explains as much.
        place = int(places[::-1][odds[places[::-1]].argmax()])
        if hour.full[place] < STIRRING:
            return []
        observed = float(self.series["risen_count"][place] + hour.counts[place])
        expected = float(self.series["risen_mean"][place] + hour.mean[place])
        if observed < self.min_complaints or expected >= observed:
            return []
        spread = hour.spread[place : place + 1]
        tail = upper_tail(np.array([observed]), np.array([expected]), spread)
        began = min(int(self.series["risen"][place]) or bucket, bucket)
        episodes = self.episodes
        for name, value in (
            ("open", 1), ("began", began), ("opened", now), ("observed", observed),
            ("expected", expected), ("announced", observed - expected), ("tail", float(tail[0])),
        ):  # fmt: skip
            episodes[name][row] = value
        category = self.series.key(place).partition(SEPARATOR)[2]
        parts = [Category(category)] if category else self._parts(places, odds)
        episodes.text("category")[row] = category
        episodes.text("parts")[row] = SEPARATOR.join(parts)
        return [self._decide(SurgeOpened, SurgeReason.ABOVE_EXPECTATION, now, row)]

    def _parts(self, places: Rows, odds: Floats) -> list[Category]:
        """Return a region's categories that take part, those with the best odds first."""
        leaves = [place for place in places.tolist() if self._whole[self._region[place]] != place]
        leaves.sort(key=lambda place: -odds[place])
        taking = [place for n, place in enumerate(leaves) if n == 0 or odds[place] >= TAKES_PART]
        return [Category(self.series.key(place).partition(SEPARATOR)[2]) for place in taking]

    def _accepted(self, now: int) -> Rows:
        """Return the series whose episode has lasted so long that it is the new usual."""
        open_ = np.flatnonzero(self.episodes["open"] == 1)
        long = now - self.episodes["opened"][open_] >= self.max_episode_seconds
        wholes = self.series.find([key + SEPARATOR for key in self.episodes.keys(open_[long])])
        return np.flatnonzero(np.isin(self._region, self._region[wholes[wholes >= 0]]))

    def _forget(self, rows: Rows) -> None:
        if rows.size:
            keys = self.series.keys(rows)
            gone = [key[:-1] for key in keys if key.endswith(SEPARATOR)]
            episodes = self.episodes.find(gone)
            self.series.remove(rows)
            self.episodes.remove(episodes[episodes >= 0])

    def _decide(
        self,
        kind: type[SurgeOpened] | type[SurgeUpdated] | type[SurgeClosed],
        reason: SurgeReason,
        now: int,
        row: int,
        joined: Sequence[Category] = (),
    ) -> SurgeDecision:
        """Tell of an episode; its category and parts stay those it opened with, some may join."""
        episodes = self.episodes
        region, category = episodes.key(row), episodes.text("category")[row] or ""
        began = int(episodes["began"][row])
        parts = tuple(dict.fromkeys([*self.opened_with(region), *joined]))
        started = SEPARATOR.join((region, category, str(began)))
        if kind is not SurgeOpened:
            started = SEPARATOR.join((started, str(now)))
        subject = f"region/{region}"
        name = str(kind.__struct_config__.tag)
        identity = decision_id(name, subject, reason, started)
        if kind is SurgeOpened:
            episodes.text("decision_id")[row] = identity
        observed, expected = float(episodes["observed"][row]), float(episodes["expected"][row])
        tail = float(episodes["tail"][row])
        place = self.series.row(region + SEPARATOR + category)
        what = category or "all"
        return kind(
            decision_id=identity,
            episode_id=episodes.text("decision_id")[row] or identity,
            subject=subject,
            decided_at=instant(now),
            region=region,
            category=parts[0],
            parts=parts,
            reason=reason,
            began_at=instant(began),
            evidence=Evidence(
                text=_text(region, category, parts, began, observed, expected, tail, reason),
                unit="complaints",
                observed=observed,
                expected=round(expected, 3),
                probability=tail,
                segment=f"{region} {what}, hour of day x day of week",
                observations=self.scan.expectation.seen(place) if place >= 0 else 0,
                model=MODEL,
                config=self.config_version,
            ),
        )


def _hour(judged: Sequence[Judged]) -> Hour:
    return Hour(
        counts=np.concatenate([each.counts for each in judged]),
        mean=np.concatenate([each.known.mean for each in judged]),
        spread=np.concatenate([each.known.spread for each in judged]),
        full=np.concatenate([each.full for each in judged]),
        ready=np.concatenate([each.ready for each in judged]),
    )


def whole_of(series: str) -> str:
    """Return the key of a series' region as a whole, which has no category."""
    return series[: series.find(SEPARATOR) + 1] or series + SEPARATOR


def with_regions(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts of categories with those of each region as a whole."""
    together = dict(counts)
    for key, count in counts.items():
        whole = whole_of(key)
        together[whole] = together.get(whole, 0) + count
    return together


def chance(probability: float) -> str:
    """Say a probability as people do: `1 in 40,000`."""
    if probability <= 1e-12:
        return "under 1 in a trillion"
    ratio = 1 / probability
    digits = 10 ** max(int(np.floor(np.log10(ratio))) - 1, 0)
    return f"1 in {round(ratio / digits) * digits:,}"


def _text(  # the words of one sentence
    region: str, category: str, parts: Sequence[Category], began: int, observed: float,
    expected: float, tail: float, reason: SurgeReason,
) -> str:  # fmt: skip
    since = instant(began).strftime("%Y-%m-%d %H:%M UTC")
    usual = f"{expected:.0f}" if expected >= 10 else f"{expected:.1f}"
    what = f"{category} complaints" if category else "complaints"
    text = f"{observed:.0f} {what} in {region} since {since}, {usual} expected"
    if reason is SurgeReason.BACK_TO_EXPECTATION:
        return f"{text}; back to the usual."
    if not category and parts:
        text += f", most above the usual: {', '.join(parts)}"
    return f"{text}, chance {chance(tail)}."

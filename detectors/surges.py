"""Surges: episodes of a region's complaints above what is usual, from opening to close.

calm ──alarm──► open ──excess doubled──► open (updated)
▲               │
└──cool-down────┴──back to expectation──► closed
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.closings import Closing, Journal
from detectors.common import common_factors
from detectors.counts import DAY, SEPARATOR
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
from detectors.outbreak import ROBUST_Z, Judgement, Look, OutbreakScan, trust_of
from detectors.pooled import Lesson, Repetition
from detectors.table import Floats, Rows, Table

MODEL: Final = "outbreak-scan/1"
HOUR: Final = 3600
CALM_Z: Final = 1.28
"""An episode ends when its window falls below this quantile (one in ten)."""

SurgeDecision = SurgeOpened | SurgeUpdated | SurgeClosed


class SurgeWatch:
    """Complaints of every region and category, hour by hour.

    Parameters
    ----------
    false_episodes_a_month
        How many episodes a month chance may open, over all series of this watch together.
    min_complaints
        An episode needs at least so many complaints in its window.
    cool_down_hours
        A series opens no new episode for so long after one has closed.
    max_episode_days
        After so long an episode's level is learned as the new usual.
    forget_days
        A series without a complaint for so long is forgotten.
    scan
        The estimator; hourly buckets.
    """

    def __init__(
        self,
        *,
        scan: OutbreakScan,
        config_version: str,
        false_episodes_a_month: float,
        min_complaints: int,
        cool_down_hours: int,
        max_episode_days: int,
        forget_days: int,
    ) -> None:
        self.scan = scan
        self.series = scan.series
        self.journal = Journal(self.series)
        self.config_version = config_version
        self.rate = false_episodes_a_month
        self.min_complaints = min_complaints
        self.cool_down_seconds = cool_down_hours * HOUR
        self.max_episode_seconds = max_episode_days * DAY
        self.forget_seconds = forget_days * DAY
        whole = dict.fromkeys(("window", "began", "opened", "cool_until"), "i8")
        real = dict.fromkeys(("observed", "expected", "announced", "tail"), "f8")
        self.episodes = Table("episodes", {**whole, **real, "open": "i1"}, ["decision_id"])
        self._groups: NDArray[np.int64] = np.empty(0, np.int64)
        """The region's number of every series, in their order."""
        self._grouped_at = -1

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return *self.scan.tables, self.episodes

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.series)

    def __contains__(self, series: object) -> bool:
        """Tell whether a series is known."""
        return series in self.series

    def close(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[SurgeDecision]:
        """Judge, then learn, the hour `bucket` of every series; `now` is when it closed."""
        if counts or not len(self.series):
            self.scan.begin(list(counts), bucket)
        rows = self.series.sort()
        if not len(self.series):
            return []
        values = self.series.spread(counts)
        lesson = Lesson(self.scan.expectation.pool)
        look = self.scan.look(rows, bucket, values, lesson)
        verdict = self.scan.judge(look)
        decisions, absorbed = self._decided(now, look, self._beside_common(look, verdict))
        odd, trust = self._odd(now, look, verdict, absorbed)
        self.scan.fold(rows, look, odd, trust, lesson)
        self.journal.note(rows, now, bucket, lesson, odd, trust)
        if bucket % DAY == 0:
            idle = bucket - self.series["active"][rows] > self.forget_seconds
            self._forget(np.flatnonzero(idle))
        return decisions

    def correct(self, now: int, bucket: int, counts: Mapping[str, int]) -> None:
        """Add complaints that came late, by series; opens nothing."""
        rows = self.series.find(list(counts))
        late = np.fromiter(counts.values(), np.float64, len(counts))[rows >= 0]
        rows = rows[rows >= 0]
        self.scan.correct(rows, bucket, late)
        self.journal.note_rows(rows, now)

    def repeat(
        self,
        now: int,
        late: Sequence[tuple[int, Mapping[str, int]]],
        closing: Closing | None,
        counts: Mapping[str, int],
    ) -> None:
        """Fold again what closed elsewhere: late complaints by bucket, then the hour's."""
        rows = self.journal.behind(now)
        for bucket, more in late:
            mine = self.series.spread(more)[rows]
            self.scan.correct(rows[mine > 0], bucket, mine[mine > 0])
            self.series["closed"][rows[mine > 0]] = now
        if closing is not None:
            lesson = Repetition(closing.answers)
            look = self.scan.look(rows, closing.bucket, self.series.spread(counts)[rows], lesson)
            self.scan.fold(rows, look, *self.journal.odd(closing, rows), lesson)
            self.series["closed"][rows] = now

    def _beside_common(self, look: Look, verdict: Judgement) -> Judgement:
        """Judge anew where something moves in all regions at once."""
        common = common_factors(verdict, self._regions())
        return verdict if (common == 1).all() else self.scan.judge(look, common)

    def _regions(self) -> NDArray[np.int64]:
        """Return the number of every series' region; a region's series are neighbours."""
        if self._grouped_at != self.series.generation:
            regions = [key.partition(SEPARATOR)[0] for key in self.series.keys(slice(None))]
            numbers = {region: number for number, region in enumerate(dict.fromkeys(regions))}
            self._groups = np.fromiter(map(numbers.__getitem__, regions), np.int64, len(regions))
            self._grouped_at = self.series.generation
        return self._groups

    def _decided(
        self, now: int, look: Look, verdict: Judgement
    ) -> tuple[list[SurgeDecision], list[int]]:
        """Return what there is to say, and the series whose windows start anew."""
        decisions: list[SurgeDecision] = []
        absorbed: list[int] = []
        for place in self._notable(verdict):
            made = self._step(now, look.bucket, place, look.counts, verdict)
            absorbed += [place for decision in made if isinstance(decision, SurgeClosed)]
            decisions += made
        return decisions, absorbed

    def _odd(
        self, now: int, look: Look, verdict: Judgement, absorbed: list[int]
    ) -> tuple[Rows, Floats]:
        """Return the series that surprise and how far to believe them, 0..1."""
        odd, z = verdict.surprising()
        if absorbed:
            places = np.array(absorbed)
            look.forget_past(places)
            anew, z_anew = self.scan.judge(look.at(places)).surprising()
            others = ~np.isin(odd, places)
            odd, z = np.append(odd[others], places[anew]), np.append(z[others], z_anew)
        trust = trust_of(z)
        if odd.size:
            trust[np.isin(odd, self._accepted(now))] = 1.0
        return odd, trust

    def _notable(self, verdict: Judgement) -> list[int]:
        """Return the series that alarm or whose episode is open, in order."""
        open_ = self._places(self._open_episodes())
        if verdict.false_a_month.min() * len(self.series) > self.rate:
            return sorted(open_)
        false = verdict.false_a_month.min(axis=1) * len(self.series)
        alarm = verdict.ready & (false <= self.rate)
        return sorted({*np.flatnonzero(alarm).tolist(), *open_})

    def _open_episodes(self) -> Rows:
        return np.flatnonzero(self.episodes["open"] == 1)

    def _places(self, episodes: Rows) -> list[int]:
        """Return the series that episodes are of."""
        places: list[int] = self.series.find(self.episodes.keys(episodes)).tolist()
        return places

    def _step(
        self, now: int, bucket: int, place: int, values: Floats, verdict: Judgement
    ) -> list[SurgeDecision]:
        key = self.series.key(place)
        (row,) = self.episodes.add([key]).tolist()
        if not self.episodes["open"][row]:
            return self._open(now, bucket, key, place, verdict)
        observed, expected = float(values[place]), float(verdict.expected[place, 0])
        self.episodes["observed"][row] += observed
        self.episodes["expected"][row] += expected
        window = int(np.clip(self.episodes["window"][row], 6, 24))
        # The window's length may not be among those configured: take the next longer one.
        column = min(int(np.searchsorted(self.scan.windows, window)), len(self.scan.windows) - 1)
        z = float(verdict.z(np.array([place]))[0, column])
        excess = float(self.episodes["observed"][row] - self.episodes["expected"][row])
        tail = float(verdict.tail[place].min())
        if z < CALM_Z:
            self.episodes["open"][row] = 0
            self.episodes["cool_until"][row] = now + self.cool_down_seconds
            self.scan.absorb(np.array([place]))
            return [self._decide(SurgeClosed, SurgeReason.BACK_TO_EXPECTATION, now, key, row, tail)]
        if z >= ROBUST_Z and excess >= 2 * self.episodes["announced"][row]:
            self.episodes["announced"][row] = excess
            return [self._decide(SurgeUpdated, SurgeReason.WORSENED, now, key, row, tail)]
        return []

    def _open(
        self, now: int, bucket: int, key: str, place: int, verdict: Judgement
    ) -> list[SurgeDecision]:
        (row,) = self.episodes.find([key]).tolist()
        episodes = self.episodes
        column = int(verdict.rarest[place])
        observed = float(verdict.observed[place, column])
        if now < episodes["cool_until"][row] or observed < self.min_complaints:
            return []
        window = self.scan.windows[column]
        expected = float(verdict.expected[place, column])
        tail = float(verdict.tail[place, column])
        for name, value in (
            ("open", 1), ("window", window), ("opened", now), ("observed", observed),
            ("began", bucket - (window - 1) * self.scan.bucket_seconds), ("expected", expected),
            ("announced", observed - expected), ("tail", tail),
        ):  # fmt: skip
            episodes[name][row] = value
        return [self._decide(SurgeOpened, SurgeReason.ABOVE_EXPECTATION, now, key, row, tail)]

    def _accepted(self, now: int) -> list[int]:
        """Return the series whose episode has lasted so long that it is the new usual."""
        open_ = self._open_episodes()
        long = now - self.episodes["opened"][open_] >= self.max_episode_seconds
        return self._places(open_[long])

    def _forget(self, rows: Rows) -> None:
        if rows.size:
            episodes = self.episodes.find(self.series.keys(rows))
            self.series.remove(rows)
            self.episodes.remove(episodes[episodes >= 0])

    def _decide(
        self,
        kind: type[SurgeOpened] | type[SurgeUpdated] | type[SurgeClosed],
        reason: SurgeReason,
        now: int,
        key: str,
        row: int,
        tail: float,
    ) -> SurgeDecision:
        region, _, category = key.partition(SEPARATOR)
        began = int(self.episodes["began"][row])
        started = SEPARATOR.join((region, category, str(began)))
        if kind is not SurgeOpened:
            started = SEPARATOR.join((started, str(now)))
        subject = f"region/{region}"
        name = str(kind.__struct_config__.tag)
        identity = decision_id(name, subject, reason, started)
        if kind is SurgeOpened:
            self.episodes.text("decision_id")[row] = identity
        observed = float(self.episodes["observed"][row])
        expected = float(self.episodes["expected"][row])
        model = self.scan.expectation
        return kind(
            decision_id=identity,
            episode_id=self.episodes.text("decision_id")[row] or identity,
            subject=subject,
            decided_at=instant(now),
            region=region,
            category=Category(category),
            reason=reason,
            began_at=instant(began),
            evidence=Evidence(
                text=_text(region, category, began, observed, expected, tail, reason),
                unit="complaints",
                observed=observed,
                expected=round(expected, 3),
                probability=tail,
                segment=f"{region} {category}, hour of day x day of week",
                observations=model.seen(int(self.series.find([key])[0])),
                model=MODEL,
                config=self.config_version,
            ),
        )


def chance(probability: float) -> str:
    """Say a probability as people do: `1 in 40,000`."""
    if probability <= 1e-12:
        return "under 1 in a trillion"
    ratio = 1 / probability
    digits = 10 ** max(int(np.floor(np.log10(ratio))) - 1, 0)
    return f"1 in {round(ratio / digits) * digits:,}"


def _text(  # the words of one sentence
    region: str, category: str, began: int, observed: float, expected: float, tail: float,
    reason: SurgeReason,
) -> str:  # fmt: skip
    since = instant(began).strftime("%Y-%m-%d %H:%M UTC")
    usual = f"{expected:.0f}" if expected >= 10 else f"{expected:.1f}"
    text = f"{observed:.0f} {category} complaints in {region} since {since}, {usual} expected"
    if reason is SurgeReason.BACK_TO_EXPECTATION:
        return f"{text}; back to the usual."
    return f"{text}, chance {chance(tail)}."

"""How good decisions were: by the truth where there is one, else by later complaints.

Stalled parcels: a planted parcel counts as found when it is flagged after its trouble began,
before it moved on and within three times the 99th percentile of that dwell (working time). Only
parcels whose time to be found lies within the recording are judged. A false flag is on a healthy
parcel; victims of outages and silent feeds are counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Final, TypeVar

import msgspec

from detectors.decisions import (
    CustomerHighCare,
    Decision,
    FeedSilent,
    SignoffAbnormal,
    StallOpened,
    SurgeOpened,
)
from simulator.trouble import Kind
from simulator.truth import Truth

_AFTER: Final = timedelta(hours=24)
"""A surge or silence may still be found so long after its end, or it counts as false."""
_STALLS: Final = (Kind.STUCK, Kind.LOST, Kind.NO_PICKUP)
Times = Mapping[str, Sequence[datetime]]


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """What was planted of one kind, what was found of it, and what was raised besides."""

    planted: int
    found: int
    raised: int
    """Decisions of that kind, or for stalls the parcels flagged."""
    false: int
    """Of these, what nothing planted explains."""
    recall: float | None
    precision: float | None
    delay_hours: float | None
    """Median from the beginning to the decision, of what was found."""


class Stalls(msgspec.Struct, frozen=True, kw_only=True):
    """Parcels flagged as stalled."""

    hits: Hits
    by_kind: dict[str, tuple[int, int]]
    """Judged and found, by kind of trouble."""
    found_late: int
    """Flagged before they moved on, but after three times the 99th percentile."""
    too_early_to_judge: int
    delay_in_p99: float | None
    """Median delay as a multiple of the 99th percentile of that dwell, in elapsed time."""
    healthy: int
    false_in_1000: float | None
    false_once_learned: int
    """False flags of parcels first flagged after the first planted trouble began: before that,
    detectors are still learning."""
    victims: dict[str, tuple[int, int]]
    """Healthy parcels held up by an outage or hidden by a silent feed, and those flagged."""
    complained: int
    """Judged parcels whose customer complained."""
    warned_before: int
    """Of these, flagged before the complaint."""
    hours_won: float | None
    """Median time between flag and complaint, of these."""


class Complained(msgspec.Struct, frozen=True, kw_only=True):
    """Flags and the complaints that name the same parcel, without any truth."""

    flagged: int
    complained_later: int
    complained_before: int
    lead_hours: float | None
    """Median from the flag to the next complaint naming the parcel."""


def flag_times(decisions: Iterable[Decision]) -> dict[str, list[datetime]]:
    """Return when each parcel (subject) was flagged as stalled, in order.

    Overdue in customs is a rule, not a judgement: it is true whenever it is said.
    """
    times: dict[str, list[datetime]] = defaultdict(list)
    for decision in decisions:
        if isinstance(decision, StallOpened):
            times[decision.subject].append(decision.decided_at)
    return {subject: sorted(at) for subject, at in times.items()}


def by_reason(decisions: Iterable[Decision]) -> dict[str, dict[str, int]]:
    """Count decisions by kind and reason."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for decision in decisions:
        kind = str(type(decision).__struct_config__.tag)
        counted[kind][decision.reason.value] += 1
    return {kind: dict(sorted(reasons.items())) for kind, reasons in sorted(counted.items())}


def complained(flags: Times, complaints: Times) -> Complained:
    """Compare flags with the complaints that name the parcel; keys are subjects and parcel ids."""
    leads, before = [], 0
    for subject, flagged in flags.items():
        named = complaints.get(subject.rsplit("/", 1)[-1], ())
        later = [at for at in named if at >= flagged[0]]
        before += any(at < flagged[0] for at in named)
        if later:
            leads.append(min(later) - flagged[0])
    return Complained(
        flagged=len(flags),
        complained_later=len(leads),
        complained_before=before,
        lead_hours=_hours(leads),
    )


def score_stalls(flags: Times, truths: Sequence[Truth], parcels: int, through: datetime) -> Stalls:
    """Compare flags with planted trouble; `parcels` is how many were seen in all."""
    planted = [truth for truth in truths if truth.kind in _STALLS]
    judged = [t for t in planted if t.judged_until is not None and t.judged_until <= through]
    found = {t.subject: at for t in judged if (at := _found(t, flags, t.judged_until))}
    anyhow = {t.subject: at for t in planted if (at := _found(t, flags, through))}
    victims = {t.subject: t.reason or "" for t in truths if t.kind is Kind.VICTIM}
    troubled = {t.subject for t in truths if t.subject.startswith("parcel/")}
    healthy = parcels - len(troubled)
    false = sum(subject not in troubled for subject in flags)
    learned = min((truth.began_at for truth in planted), default=through)
    warned = [
        (truth.complained_at, anyhow.get(truth.subject))
        for truth in judged
        if truth.complained_at is not None
    ]
    won = [complaint - flag for complaint, flag in warned if flag and flag < complaint]
    raised = sum(subject not in victims for subject in flags)
    return Stalls(
        hits=Hits(
            planted=len(judged),
            found=len(found),
            raised=raised,
            false=false,
            recall=_share(len(found), len(judged)),
            precision=_share(raised - false, raised),
            delay_hours=_hours(
                [found[t.subject] - t.began_at for t in judged if t.subject in found]
            ),
        ),
        by_kind=_by_kind(judged, found),
        found_late=sum(t.subject in anyhow and t.subject not in found for t in judged),
        too_early_to_judge=len(planted) - len(judged),
        delay_in_p99=_median(
            [
                (found[t.subject] - t.began_at) / (t.p99_at - t.began_at)
                for t in judged
                if t.subject in found and t.p99_at is not None
            ]
        ),
        healthy=healthy,
        false_in_1000=None if not healthy else 1000 * false / healthy,
        false_once_learned=sum(
            subject not in troubled and at[0] >= learned for subject, at in flags.items()
        ),
        victims=_victims(victims, flags),
        complained=len(warned),
        warned_before=len(won),
        hours_won=_hours(won),
    )


def _found(truth: Truth, flags: Times, until: datetime | None) -> datetime | None:
    """Return the first flag while the trouble lasted, not after `until`."""
    ends = [end for end in (truth.ended_at, until) if end is not None]
    for at in flags.get(truth.subject, ()):
        if truth.began_at <= at and all(at <= end for end in ends):
            return at
    return None


def _by_kind(judged: Sequence[Truth], found: Mapping[str, datetime]) -> dict[str, tuple[int, int]]:
    kinds = Counter(truth.kind.value for truth in judged)
    hits = Counter(truth.kind.value for truth in judged if truth.subject in found)
    return {kind: (number, hits[kind]) for kind, number in sorted(kinds.items())}


def _victims(victims: Mapping[str, str], flags: Times) -> dict[str, tuple[int, int]]:
    suffered = Counter(victims.values())
    flagged = Counter(cause for subject, cause in victims.items() if subject in flags)
    return {cause: (number, flagged[cause]) for cause, number in sorted(suffered.items())}


def score_signoffs(decisions: Sequence[Decision], truths: Sequence[Truth]) -> Hits:
    """Compare abnormal sign-offs with the planted ones."""
    raised = [d for d in decisions if isinstance(d, SignoffAbnormal)]
    planted = [t for t in truths if t.kind is Kind.ABNORMAL_SIGNOFF]
    return _hits(planted, raised, lambda _, __: True)


def score_surges(decisions: Sequence[Decision], truths: Sequence[Truth]) -> Hits:
    """Compare surges with the planted ones, from the beginning to a day after the end."""
    raised = [d for d in decisions if isinstance(d, SurgeOpened)]
    planted = [t for t in truths if t.kind is Kind.COMPLAINT_SURGE]

    def same(truth: Truth, decision: SurgeOpened) -> bool:
        return decision.category.value == truth.category and _while(truth, decision)

    return _hits(planted, raised, same)


def score_feeds(decisions: Sequence[Decision], truths: Sequence[Truth]) -> Hits:
    """Compare silent feeds with the planted ones."""
    raised = [d for d in decisions if isinstance(d, FeedSilent)]
    planted = [t for t in truths if t.kind is Kind.FEED_SILENT]
    return _hits(planted, raised, _while)


def score_repeats(decisions: Sequence[Decision], truths: Sequence[Truth]) -> Hits:
    """Compare high care with customers who complained of the same within two weeks."""
    raised = [d for d in decisions if isinstance(d, CustomerHighCare)]
    planted = [t for t in truths if t.kind is Kind.REPEAT_COMPLAINER]
    return _hits(planted, raised, lambda truth, decision: truth.issue == decision.issue)


_Raised = TypeVar("_Raised", SignoffAbnormal, SurgeOpened, FeedSilent, CustomerHighCare)


def _while(truth: Truth, decision: SurgeOpened | FeedSilent) -> bool:
    ended = truth.ended_at or truth.began_at
    return truth.began_at <= decision.decided_at <= ended + _AFTER


def _hits(
    planted: Sequence[Truth],
    raised: Sequence[_Raised],
    explains: Callable[[Truth, _Raised], bool],
) -> Hits:
    """Match decisions with what was planted for the same subject; either may match several."""
    by_subject: dict[str, list[_Raised]] = defaultdict(list)
    for decision in raised:
        by_subject[decision.subject].append(decision)
    delays: list[timedelta] = []
    explained: set[str] = set()
    for truth in planted:
        mine = [each for each in by_subject[truth.subject] if explains(truth, each)]
        explained.update(decision.decision_id for decision in mine)
        if mine:
            delays.append(min(decision.decided_at for decision in mine) - truth.began_at)
    false = sum(decision.decision_id not in explained for decision in raised)
    return Hits(
        planted=len(planted),
        found=len(delays),
        raised=len(raised),
        false=false,
        recall=_share(len(delays), len(planted)),
        precision=_share(len(raised) - false, len(raised)),
        delay_hours=_hours(delays),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _hours(gaps: Sequence[timedelta]) -> float | None:
    return _median([gap.total_seconds() / 3600 for gap in gaps])

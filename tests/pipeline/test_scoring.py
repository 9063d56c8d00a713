"""Decisions are measured against the truth by the rules the scorecard states."""

from datetime import UTC, datetime, timedelta

import pytest

from detectors.decisions import CareReason, CustomerHighCare, Evidence, SurgeOpened, SurgeReason
from detectors.events import Category
from pipeline.scoring import complained, score_repeats, score_stalls, score_surges
from simulator.trouble import Kind
from simulator.truth import Truth

_START = datetime(2026, 3, 20, tzinfo=UTC)
_EVIDENCE = Evidence(
    text="", unit="complaints", observed=1, segment="", observations=0, model="", config=""
)


def _at(hours: float) -> datetime:
    return _START + timedelta(hours=hours)


def _stuck(parcel: str, *, ended: float | None = 60, complained_at: float | None = None) -> Truth:
    """A parcel stuck from 0 h on, with 99 % of such dwells within 10 h."""
    return Truth(
        kind=Kind.STUCK,
        subject=f"parcel/swift/{parcel}",
        began_at=_at(0),
        ended_at=None if ended is None else _at(ended),
        p99_at=_at(10),
        judged_until=_at(30),
        complained_at=None if complained_at is None else _at(complained_at),
    )


@pytest.mark.parametrize(
    ("flag", "ended", "found", "late"),
    [
        (12, 60, 1, 0),
        (30, 60, 1, 0),
        (31, 60, 0, 1),
        (61, 60, 0, 0),
        (-1, 60, 0, 0),
        (12, 11, 0, 0),
    ],
)
def test_found_means_in_time(flag: float, ended: float, found: int, late: int) -> None:
    """A flag counts after the trouble began, before it ended, within three times the p99."""
    flags = {"parcel/swift/P": [_at(flag)]}
    stalls = score_stalls(flags, [_stuck("P", ended=ended)], parcels=10, through=_at(100))
    assert (stalls.hits.found, stalls.found_late) == (found, late)
    assert stalls.hits.recall == found


def test_delay_and_time_won() -> None:
    """Delay is told in hours and in p99; time won only where the flag came before the complaint."""
    truths = [_stuck("P", complained_at=40), _stuck("Q", complained_at=15), _stuck("R")]
    flags = {f"parcel/swift/{name}": [_at(20)] for name in "PQR"}
    stalls = score_stalls(flags, truths, parcels=10, through=_at(100))
    assert (stalls.hits.delay_hours, stalls.delay_in_p99) == (20, 2)
    assert (stalls.complained, stalls.warned_before, stalls.hours_won) == (2, 1, 20)


def test_what_cannot_be_judged_yet_is_left_out() -> None:
    """A parcel whose time to be found ends after the recording counts neither way."""
    stalls = score_stalls({}, [_stuck("P")], parcels=10, through=_at(29))
    assert (stalls.hits.planted, stalls.too_early_to_judge, stalls.hits.recall) == (0, 1, None)


def test_victims_are_no_false_flags() -> None:
    """A flag on a victim is counted with its cause; only healthy parcels make false flags."""
    victim = Truth(
        kind=Kind.VICTIM, subject="parcel/swift/V", began_at=_at(0), reason="feed_silent"
    )
    flags = {"parcel/swift/V": [_at(5)], "parcel/swift/H": [_at(5)]}
    stalls = score_stalls(flags, [victim, _stuck("P")], parcels=102, through=_at(100))
    assert stalls.victims == {"feed_silent": (1, 1)}
    assert (stalls.hits.raised, stalls.hits.false) == (1, 1)
    assert (stalls.healthy, stalls.false_in_1000, stalls.false_once_learned) == (100, 10, 1)


def test_false_flags_while_learning_are_told_apart() -> None:
    """A false flag before the first planted trouble counts, but not among those once learned."""
    flags = {"parcel/swift/H": [_at(-5), _at(9)]}
    stalls = score_stalls(flags, [_stuck("P")], parcels=11, through=_at(100))
    assert (stalls.hits.false, stalls.false_once_learned) == (1, 0)


def test_without_truth_flags_are_compared_with_complaints() -> None:
    """The lead is the time from the first flag to the next complaint naming the parcel."""
    flags = {"parcel/swift/P": [_at(5), _at(9)], "parcel/swift/Q": [_at(5)]}
    named = {"P": [_at(2), _at(8), _at(20)], "Z": [_at(6)]}
    seen = complained(flags, named)
    assert (seen.flagged, seen.complained_later, seen.complained_before) == (2, 1, 1)
    assert seen.lead_hours == 3


def _surge(region: str, hours: float, number: int = 0) -> SurgeOpened:
    return SurgeOpened(
        decision_id=f"{region}{hours}{number}",
        episode_id="",
        subject=f"region/{region}",
        decided_at=_at(hours),
        evidence=_EVIDENCE,
        region=region,
        category=Category.LOGISTICS,
        reason=SurgeReason.ABOVE_EXPECTATION,
        began_at=_at(hours),
    )


def test_surges_match_by_region_category_and_time() -> None:
    """One found late, one false, one missed; an opening a day after the end is false."""
    planted = [
        Truth(
            kind=Kind.COMPLAINT_SURGE,
            subject=f"region/{region}",
            category="logistics",
            began_at=_at(0),
            ended_at=_at(20),
        )
        for region in ("A", "B")
    ]
    hits = score_surges([_surge("A", 6), _surge("A", 45), _surge("C", 6)], planted)
    assert (hits.planted, hits.found, hits.raised, hits.false) == (2, 1, 3, 2)
    assert (hits.recall, hits.delay_hours) == (0.5, 6)
    assert hits.precision == pytest.approx(1 / 3)


def test_repeat_complainers_match_by_customer_and_issue() -> None:
    """The same customer with another issue is not what was planted."""
    planted = Truth(
        kind=Kind.REPEAT_COMPLAINER, subject="customer/C1", issue="damaged", began_at=_at(0)
    )

    def care(issue: str) -> CustomerHighCare:
        return CustomerHighCare(
            decision_id=issue,
            episode_id="",
            subject="customer/C1",
            decided_at=_at(1),
            evidence=_EVIDENCE,
            customer_id="C1",
            reason=CareReason.SAME_ISSUE_TWICE,
            issue=issue,
            complaint_ids=("a", "b"),
            region="A",
        )

    hits = score_repeats([care("damaged"), care("late")], [planted])
    assert (hits.found, hits.false) == (1, 1)
    assert score_repeats([], []).recall is None

"""Stalls from opening to end: reasons, what makes them worse, and what they say."""

from functools import cache
from typing import Any

import pytest

from detectors.decisions import (
    ClearedReason,
    CustomsOverdue,
    StallCleared,
    StallOpened,
    StallReason,
    StallWorsened,
)
from detectors.events import Milestone, TrackingEvent
from detectors.parcels import ParcelsCore
from tests.detectors.scans import LANE, at, batch, core, healthy, journey, said, scan, seconds

LEARNED = 140.0


@cache
def lessons() -> bytes:
    """Return the state of a core that knows swift: customs and failed attempts, too."""
    one = core()
    scans = healthy(100)
    for number in range(100):
        name, hours = f"swift/F{number}", float(number)
        scans += [
            scan(name, Milestone.PICKED_UP, hours, region="R01", **LANE),
            scan(name, Milestone.CUSTOMS_HELD, hours + 6, region="R07"),
            scan(name, Milestone.DELIVERY_FAILED, hours + 12, region="R07"),
            scan(name, Milestone.OUT_FOR_DELIVERY, hours + 24, region="R07"),
            scan(name, Milestone.DELIVERED, hours + 27, region="R07"),
        ]
    one.observe(batch(sorted(scans, key=lambda each: each.occurred_at)))
    return one.dump(0, 1)


def taught() -> ParcelsCore:
    """Return a core with these lessons."""
    one = core()
    one.load(0, 1, lessons())
    return one


def decided(one: ParcelsCore, scans: list[TrackingEvent], hours: float) -> list[Any]:
    """Return what scans, and the time until `hours` after the lessons, make a core say."""
    return said([*one.observe(batch(scans)), *one.advance(seconds(LEARNED + hours))])


def attempts(*hours: float) -> list[TrackingEvent]:
    """Return a parcel that went out and failed at each of these hours."""
    scans = journey("swift/S", LEARNED)[:4]
    for each in hours:
        scans += [
            scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + each - 3, region="R07"),
            scan("swift/S", Milestone.DELIVERY_FAILED, LEARNED + each, region="R07"),
        ]
    return scans


def test_silence_after_the_first_failed_attempt_is_no_movement() -> None:
    """Another attempt nearly always follows; without one the parcel simply does not move."""
    (stall, *_) = decided(taught(), attempts(24), 200)
    assert stall.reason is StallReason.NO_MOVEMENT
    assert stall.milestone is Milestone.DELIVERY_FAILED


def test_silence_after_the_second_failed_attempt_has_its_own_reason() -> None:
    """Then the address is wrong or nobody is ever at home, and somebody has to call."""
    (stall, *_) = decided(taught(), attempts(24, 38), 200)
    assert stall.reason is StallReason.DELIVERY_FAILED_REPEATEDLY


@pytest.mark.parametrize(("apart_hours", "reason"), [
    (0.1, StallReason.NO_MOVEMENT), (9.0, StallReason.DELIVERY_FAILED_REPEATEDLY),
])  # fmt: skip
def test_two_scans_of_one_attempt_are_one(apart_hours: float, reason: StallReason) -> None:
    """A card left at the door is scanned apart from nobody being at home."""
    again = scan("swift/S", Milestone.DELIVERY_FAILED, LEARNED + 24 + apart_hours, region="R07")
    (stall, *_) = decided(taught(), [*attempts(24), again], 200)
    assert stall.reason is reason


def test_a_stall_that_goes_on_worsens_once() -> None:
    """Twice as long as when it opened, and then no more however long it lasts."""
    opened, worse = decided(taught(), journey("swift/S", LEARNED)[:4], 400)
    assert isinstance(opened, StallOpened)
    assert isinstance(worse, StallWorsened)
    assert worse.reason is worse.stall_reason is opened.reason
    assert worse.episode_id == opened.decision_id != worse.decision_id
    assert (worse.opened_at, worse.times) == (opened.decided_at, 1)
    first = opened.decided_at - opened.occurred_at
    late = worse.decided_at - opened.occurred_at - 2 * first
    assert 0 <= late.total_seconds() < 60
    assert worse.evidence.text.startswith("Still no scan for ")
    assert worse.evidence.text.endswith("twice as long as when it was called stalled.")


def test_the_next_stall_can_worsen_again() -> None:
    """How often a stall has worsened is forgotten with it."""
    one = taught()
    kinds = [type(each) for each in decided(one, journey("swift/S", LEARNED)[:4], 400)]
    out = scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 401, region="R07")
    kinds += [type(each) for each in decided(one, [out], 800)]
    assert kinds == [StallOpened, StallWorsened, StallCleared, StallOpened, StallWorsened]


def test_a_hold_by_customs_becomes_one_of_over_seven_days() -> None:
    """The stall's reason becomes graver with `customs.overdue`: at most two worsenings a stall."""
    scans = [*journey("swift/S", LEARNED)[:2],
             scan("swift/S", Milestone.CUSTOMS_HELD, LEARNED + 6, region="R07")]  # fmt: skip
    made = decided(taught(), scans, 1000)
    assert [type(each) for each in made] == [
        StallOpened, StallWorsened, CustomsOverdue, StallWorsened,
    ]  # fmt: skip
    opened, longer, overdue, graver = made
    assert opened.reason is StallReason.CUSTOMS_HOLD
    assert longer.reason is StallReason.CUSTOMS_HOLD
    assert graver.reason.value == overdue.reason.value == "customs_over_7_days"
    assert graver.stall_reason is StallReason.CUSTOMS_HOLD
    assert graver.episode_id == longer.episode_id == opened.episode_id
    assert [longer.times, graver.times] == [1, 2]
    assert longer.decision_id != graver.decision_id
    assert graver.decided_at == overdue.decided_at


def test_a_clearing_names_the_scan_that_cleared_it() -> None:
    """Milestone and place of the next movement, in fields and in words."""
    one = taught()
    decided(one, journey("swift/S", LEARNED)[:4], 72)
    gone = scan("swift/S", Milestone.DEPARTED, LEARNED + 80, region="R08", facility="hub R08")
    cleared = decided(one, [gone], 81)[0]
    assert isinstance(cleared, StallCleared)
    assert cleared.next_milestone is Milestone.DEPARTED
    assert (cleared.next_facility, cleared.next_region) == ("hub R08", "R08")
    assert cleared.facility == "station R07"
    assert cleared.evidence.text.startswith("It is moving again (departed at hub R08) ")


def test_an_opening_says_what_is_usual_there() -> None:
    """Two sentences for a person: what is missing, and what is usual of how many seen."""
    (stall, *_) = decided(taught(), journey("swift/S", LEARNED)[:4], 72)
    first, _, second = str(stall.evidence.text).partition(". ")
    assert first.startswith("No scan for ")
    assert first.endswith(" after arriving at station R07")
    assert second.startswith("Parcels of swift here leave within ")
    assert second.endswith(" seen).")


def back(*before: Milestone) -> list[TrackingEvent]:
    """Return a parcel that turns back after some scans."""
    scans = journey("swift/S", LEARNED)[:4]
    for number, milestone in enumerate((*before, Milestone.RETURNING)):
        scans.append(scan("swift/S", milestone, LEARNED + 18 + number, region="R07"))
    return scans


def test_a_return_nobody_announced_is_said_at_once() -> None:
    """It is decided by the scan itself, lasts over the hubs on the way back, and ends with it."""
    one = taught()
    made = said(one.observe(batch(back(Milestone.OUT_FOR_DELIVERY))))
    (stall,) = made
    assert isinstance(stall, StallOpened)
    assert stall.reason is StallReason.RETURNING_UNANNOUNCED
    assert stall.decided_at == stall.occurred_at == at(LEARNED + 19)
    hub = scan("swift/S", Milestone.ARRIVED, LEARNED + 30, region="R01", facility="hub R01")
    assert decided(one, [hub], 40) == []
    returned = scan("swift/S", Milestone.RETURNED, LEARNED + 50, region="R01")
    (cleared,) = decided(one, [returned], 51)
    assert isinstance(cleared, StallCleared)
    assert cleared.reason is ClearedReason.RETURNED
    assert (cleared.episode_id, cleared.opened_at) == (stall.decision_id, stall.decided_at)
    assert cleared.evidence.text.endswith("after it turned back.")


@pytest.mark.parametrize("before", [
    Milestone.DELIVERY_FAILED, Milestone.AT_PICKUP_POINT, Milestone.CUSTOMS_HELD,
])  # fmt: skip
def test_a_return_after_a_failure_is_expected(before: Milestone) -> None:
    """A refusal, an uncollected parcel or a hold by customs says why it turns back."""
    assert decided(taught(), back(before), 20) == []


def test_a_life_that_begins_with_a_return_is_no_stall() -> None:
    """Nothing seen before is no opinion: most such numbers are return labels."""
    only = scan("swift/N", Milestone.RETURNING, LEARNED, region="R07", **LANE)
    assert decided(taught(), [only], 1) == []


def waiting(**fields: Any) -> list[TrackingEvent]:
    """Return a parcel that customs hold, and that may wait for its customer."""
    return [
        *journey("swift/S", LEARNED)[:2],
        scan("swift/S", Milestone.CUSTOMS_HELD, LEARNED + 6, region="R07", **fields),
    ]


def test_while_the_customer_has_to_act_no_clock_runs() -> None:
    """Neither the silence nor customs' seven days count while papers or duties are waited for."""
    one = taught()
    assert decided(one, waiting(awaits_customer=True), 24 * 20) == []
    paid = scan("swift/S", Milestone.CUSTOMS_HELD, LEARNED + 24 * 20, region="R07", facility="C")
    made = decided(one, [paid], 24 * 40)
    overdue = next(each for each in made if isinstance(each, CustomsOverdue))
    assert overdue.decided_at == at(LEARNED + 24 * 20 + 7 * 24)
    assert made[0].reason is StallReason.CUSTOMS_HOLD


def test_what_waited_for_the_customer_teaches_nothing() -> None:
    """A dwell that the customer ended says nothing of how long parcels stay."""
    one, other = taught(), taught()
    slow = [
        scan(f"swift/W{number}", milestone, LEARNED + hours, region="R07", **fields)
        for number in range(200)
        for milestone, hours, fields in (
            (Milestone.PICKED_UP, 0.0, LANE),
            (Milestone.CUSTOMS_HELD, 1.0, {"awaits_customer": True}),
            (Milestone.CUSTOMS_RELEASED, 200.0, {}),
        )
    ]
    decided(one, sorted(slow, key=lambda each: each.occurred_at), 201)
    other.advance(seconds(LEARNED + 201))
    late = [scan("swift/L", Milestone.PICKED_UP, LEARNED + 201, region="R01", **LANE),
            scan("swift/L", Milestone.CUSTOMS_HELD, LEARNED + 207, region="R07")]  # fmt: skip
    first, second = (decided(each, late, 300)[0] for each in (one, other))
    assert first.reason is second.reason is StallReason.CUSTOMS_HOLD
    assert first.evidence.expected == pytest.approx(second.evidence.expected, rel=0.1)

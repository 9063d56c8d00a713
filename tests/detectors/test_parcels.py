"""The parcels core: silence, customs, sign-off and counts, in virtual time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from detectors.base import Metric, Output, Rejected, RejectReason
from detectors.decisions import (
    ClearedReason,
    CustomsOverdue,
    SignoffAbnormal,
    SignoffReason,
    StallCleared,
    StallOpened,
    StallReason,
    StallWorsened,
)
from detectors.events import Milestone, TrackingEvent
from detectors.parcels import ParcelsCore
from tests.detectors.scans import (
    LANE,
    START,
    at,
    batch,
    cells,
    core,
    healthy,
    journey,
    scan,
    seconds,
)
from tests.detectors.scans import said as all_said

LEARNED = 140.0
"""Hours after which `taught()` has seen a hundred journeys."""


def said(outputs: Sequence[Output]) -> list[Any]:
    """Return decisions, without stalls that go on: those are in test_episodes."""
    return [each for each in all_said(outputs) if not isinstance(each, StallWorsened)]


def taught(**parameters: Any) -> ParcelsCore:
    """Return a core that has seen a hundred healthy parcels of swift from R01 to R07."""
    one = core(**parameters)
    outputs = said(one.observe(batch(healthy(100))))
    assert outputs == []
    return one


def test_a_parcel_that_stays_silent_is_called_stalled_once() -> None:
    """The stall opens when the silence outlasts what is usual, on a whole minute, and once."""
    one = taught()
    assert said(one.observe(batch(journey("swift/S", LEARNED)[:4]))) == []
    arrived = LEARNED + 16
    (stall,) = said(one.advance(seconds(arrived + 72)))
    assert isinstance(stall, StallOpened)
    assert stall.reason is StallReason.NO_MOVEMENT
    assert stall.occurred_at == at(arrived)
    assert at(arrived + 6) < stall.decided_at < at(arrived + 14)
    assert stall.decided_at.second == 0
    assert (stall.region, stall.destination_region, stall.origin_region) == ("R07", "R07", "R01")
    assert said(one.advance(seconds(arrived + 500))) == []


ADDRESS = "1f00ab5c9d7e"
TOLD = [
    ({"fragile": True, "address_hash": ADDRESS}, {}, (True, ADDRESS)),
    ({"fragile": False, "address_hash": ADDRESS * 5}, {}, (False, ADDRESS)),
    ({"fragile": True}, {"fragile": False, "address_hash": ADDRESS}, (False, ADDRESS)),
    ({"address_hash": "0" * 12}, {"address_hash": ADDRESS}, (None, ADDRESS)),
    ({}, {}, (None, None)),
]


@pytest.mark.parametrize(("first", "later", "told"), TOLD)
@pytest.mark.parametrize("reloaded", [False, True])
def test_what_is_fragile_and_goes_where_is_said(
    first: dict[str, Any],
    later: dict[str, Any],
    told: tuple[bool | None, str | None],
    reloaded: bool,
) -> None:
    """Scans that bring it, the last one's word, are remembered until the decision and after it."""
    one, (label, *scans) = taught(), journey("swift/S", LEARNED)[:4]
    one.observe(batch([msgspec.structs.replace(label, **first)]))
    one.observe(batch([msgspec.structs.replace(scans[0], **later), *scans[1:]]))
    if reloaded:
        state, one = one.dump(0, 1), core()
        one.load(0, 1, state)
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    assert (stall.fragile, stall.address_hash) == told
    moves = scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 80, region="R07")
    (cleared,) = said(one.observe(batch([moves])))
    assert (cleared.fragile, cleared.address_hash) == told


def test_a_late_scan_fills_gaps_only() -> None:
    """What an older scan says of the parcel is taken where nothing was said since."""
    one, (label, *scans) = taught(), journey("swift/S", LEARNED)[:4]
    late = scan(
        "swift/S", Milestone.OTHER, LEARNED + 0.5, arrives=LEARNED + 17, fragile=True,
        address_hash=ADDRESS,
    )  # fmt: skip
    one.observe(batch([msgspec.structs.replace(label, fragile=False), *scans, late]))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    assert (stall.fragile, stall.address_hash) == (False, ADDRESS)


def test_a_stall_says_why() -> None:
    """The evidence names the silence, the segment, what is usual there and how many were seen."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)[:4]))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    evidence = stall.evidence
    assert evidence.text.startswith("No scan for ")
    assert "after arriving at station R07" in evidence.text
    assert evidence.segment == "swift station R07 arrived at destination"
    assert 90 <= evidence.observations <= 100
    assert evidence.expected == pytest.approx(5 * 3600, rel=0.1)
    assert evidence.probability is not None
    assert 0 < evidence.probability <= 0.001
    assert evidence.threshold is not None
    assert evidence.observed >= evidence.threshold
    assert evidence.config == "test"


def test_a_movement_clears_the_stall() -> None:
    """The next real movement ends the stall and names the episode."""
    one = taught()
    scans = journey("swift/S", LEARNED)
    one.observe(batch(scans[:4]))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    out = scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 80, region="R07")
    (cleared,) = said(one.observe(batch([out])))
    assert isinstance(cleared, StallCleared)
    assert cleared.reason is ClearedReason.MOVED
    assert cleared.stall_reason is StallReason.NO_MOVEMENT
    assert cleared.episode_id == stall.decision_id
    assert cleared.decided_at == at(LEARNED + 80)
    assert cleared.opened_at == stall.decided_at


def test_a_delivery_clears_the_stall_as_delivered() -> None:
    """The reason says what ended the silence."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)[:5]))
    assert len(said(one.advance(seconds(LEARNED + 72)))) == 1
    delivered = scan("swift/S", Milestone.DELIVERED, LEARNED + 80, region="R07")
    (cleared,) = said(one.observe(batch([delivered])))
    assert isinstance(cleared, StallCleared)
    assert cleared.reason is ClearedReason.DELIVERED


def test_the_deadline_fires_before_the_event_that_comes_too_late() -> None:
    """In one batch: the stall opens at its due minute, then the event clears it."""
    one = taught()
    scans = journey("swift/S", LEARNED)[:4]
    late = scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 80, region="R07")
    stall, cleared = said(one.observe(batch([*scans, late])))
    assert isinstance(stall, StallOpened)
    assert isinstance(cleared, StallCleared)
    assert stall.decided_at < cleared.decided_at == at(LEARNED + 80)


def test_a_label_that_is_never_picked_up_is_a_stall() -> None:
    """Silence before the first scan of the carrier counts too."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)[:1]))
    (stall,) = said(one.advance(seconds(LEARNED + 48)))
    assert stall.reason is StallReason.NO_PICKUP


def test_no_opinion_before_enough_is_known() -> None:
    """With too few dwells nobody can tell what is usual: no stall, however long the silence."""
    one = core()
    one.observe(batch([*healthy(20), *journey("swift/S", 60)[:4]]))
    assert said(one.advance(seconds(20 * 24))) == []


def test_a_parcel_nobody_could_judge_is_looked_at_again() -> None:
    """Once there is an opinion, parcels that fell silent before are judged by it."""
    one = core()
    one.observe(batch(journey("swift/S", 0)[:4]))
    decisions = said(one.observe(batch(healthy(100, start=10))))
    assert [type(d) for d in decisions] == [StallOpened]
    assert decisions[0].subject == "parcel/swift/S"


def test_a_new_lane_is_judged_by_its_carrier() -> None:
    """Where a lane is unknown the carrier's dwells speak, and the segment says so."""
    one = taught()
    fresh = [
        scan("swift/N", Milestone.PICKED_UP, LEARNED, region="R02", origin_region="R02",
             destination_region="R09"),
    ]  # fmt: skip
    one.observe(batch(fresh))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    assert stall.evidence.segment == "swift picked_up"


def test_a_carrier_that_reports_late_is_waited_for() -> None:
    """The learned reporting lag is added to the wait."""
    prompt, slow = taught(), core()
    delayed = [
        scan(s.key, s.milestone, (s.occurred_at - START).total_seconds() / 3600,
             arrives=(s.occurred_at - START).total_seconds() / 3600 + 4,
             region=s.region, facility=s.facility, origin_region=s.origin_region,
             destination_region=s.destination_region)
        for s in healthy(100)
    ]  # fmt: skip
    slow.observe(batch(delayed))
    stalls = []
    for one in (prompt, slow):
        one.observe(batch(journey("swift/S", LEARNED)[:4]))
        stalls += said(one.advance(seconds(LEARNED + 72)))
    wait = (stalls[1].decided_at - stalls[0].decided_at).total_seconds()
    assert 3.5 * 3600 < wait < 5 * 3600


def test_a_place_survives_a_reload() -> None:
    """A scan without a place means the last region, whether or not the state was reloaded."""
    one = taught()
    one.observe(batch([*journey("swift/S", LEARNED)[:2], scan("swift/S", Milestone.DEPARTED, 147)]))
    assert len(said(one.advance(seconds(LEARNED + 96)))) == 1
    copy = core()
    copy.load(0, 1, one.dump(0, 1))
    again = batch([scan("swift/S", Milestone.DEPARTED, LEARNED + 97, region="R01")])
    assert said(copy.observe(again)) == said(one.observe(again)) == []


def test_other_moves_time_but_not_the_stage() -> None:
    """A scan of no known meaning restarts the silence and ends no stall."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)[:4]))
    one.observe(batch([scan("swift/S", Milestone.OTHER, LEARNED + 20)]))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    assert stall.milestone is Milestone.ARRIVED
    assert stall.occurred_at == at(LEARNED + 20)
    assert said(one.observe(batch([scan("swift/S", Milestone.OTHER, LEARNED + 73)]))) == []


def test_a_late_scan_never_turns_the_stage_back() -> None:
    """A scan older than the last one fills gaps and neither clears nor opens anything."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)[:4]))
    (stall,) = said(one.advance(seconds(LEARNED + 72)))
    old = scan("swift/S", Milestone.DEPARTED, LEARNED + 7, arrives=LEARNED + 73, order_id="O1")
    assert said(one.observe(batch([old]))) == []
    (cleared,) = said(
        one.observe(batch([scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 80)]))
    )
    assert cleared.episode_id == stall.decision_id
    assert isinstance(cleared, StallCleared)
    assert cleared.order_id == "O1"


def test_a_duplicate_changes_nothing() -> None:
    """The same scan again leaves the parcel's state as it was."""
    one, other = taught(), taught()
    scans = journey("swift/S", LEARNED)[:4]
    one.observe(batch(scans))
    other.observe(batch([*scans, scans[-1], scans[-1]]))
    tables = [c._parcels.dump(0, 1) for c in (one, other)]
    assert tables[0] == tables[1]


def held(since: float) -> list[TrackingEvent]:
    """Return a parcel that customs hold."""
    return [
        scan("swift/C", Milestone.PICKED_UP, since - 5, region="R01", **LANE),
        scan("swift/C", Milestone.CUSTOMS_PRESENTED, since, region="R07"),
        scan("swift/C", Milestone.CUSTOMS_HELD, since + 5, region="R07"),
    ]


def test_customs_over_seven_days_is_said_once() -> None:
    """The rule needs no model, counts from the first customs scan and speaks once an episode."""
    one = core()
    one.observe(batch(held(10)))
    (overdue,) = said(one.advance(seconds(10 + 9 * 24)))
    assert isinstance(overdue, CustomsOverdue)
    assert overdue.decided_at == overdue.customs_since + (at(7 * 24) - START) == at(10 + 7 * 24)
    again = scan("swift/C", Milestone.CUSTOMS_HELD, 10 + 10 * 24, region="R07", facility="F")
    assert said(one.observe(batch([again]))) == []
    assert said(one.advance(seconds(10 + 20 * 24))) == []


def test_customs_released_in_time_is_not_overdue() -> None:
    """Release ends the episode; a second episode counts anew."""
    one = core()
    one.observe(batch(held(10)))
    free = scan("swift/C", Milestone.CUSTOMS_RELEASED, 60, region="R07")
    back = scan("swift/C", Milestone.CUSTOMS_HELD, 100, region="R07")
    one.observe(batch([free, back]))
    (overdue,) = said(one.advance(seconds(100 + 8 * 24)))
    assert overdue.decided_at == at(100 + 7 * 24)


def signed(one: ParcelsCore, scans: list[TrackingEvent]) -> list[SignoffReason]:
    """Return why sign-offs were abnormal."""
    decisions = said(one.observe(batch(scans)))
    return [d.reason for d in decisions if isinstance(d, SignoffAbnormal)]


def test_a_delivery_in_another_region_is_abnormal() -> None:
    """Where it was signed for is not where it was sent."""
    scans = journey("swift/S", LEARNED)[:4]
    wrong = scan("swift/S", Milestone.DELIVERED, LEARNED + 20, region="R03")
    assert signed(core(), [*scans, wrong]) == [SignoffReason.OTHER_REGION]


def test_a_delivery_after_returning_or_lost_is_abnormal() -> None:
    """What was given up is delivered after all: worth a look, once."""
    scans = journey("swift/S", LEARNED)[:4]
    returning = scan("swift/S", Milestone.RETURNING, LEARNED + 20, region="R07")
    lost = scan("swift/S", Milestone.LOST, LEARNED + 20)
    delivered = scan("swift/S", Milestone.DELIVERED, LEARNED + 60, region="R07")
    again = scan("swift/S", Milestone.DELIVERED, LEARNED + 61, region="R07")
    assert signed(core(), [*scans, returning, delivered]) == [SignoffReason.AFTER_RETURNING]
    assert signed(core(), [*scans, lost, delivered, again]) == [SignoffReason.AFTER_LOST]


def test_a_parcel_that_never_left_its_region_is_not_delivered_in_another() -> None:
    """Where it was addressed to is enough to know; no scan elsewhere is needed before."""
    one = core()
    local: dict[str, Any] = {"origin_region": "R01", "destination_region": "R01"}
    scans = [
        scan("swift/L", Milestone.PICKED_UP, 0, region="R01", **local),
        scan("swift/L", Milestone.DELIVERED, 5, region="R07"),
    ]
    (abnormal,) = said(one.observe(batch(scans)))
    assert isinstance(abnormal, SignoffAbnormal)
    assert abnormal.reason is SignoffReason.OTHER_REGION


def test_missing_out_for_delivery_is_abnormal_only_where_it_is_usual() -> None:
    """The share of deliveries that were out for delivery before is learned for each carrier."""
    usual, seldom = core(min_observations=20), core(min_observations=20)
    usual.observe(batch(healthy(100)))
    skipping = [s for s in healthy(100) if s.milestone is not Milestone.OUT_FOR_DELIVERY]
    seldom.observe(batch(skipping))
    scans = [s for s in journey("swift/S", LEARNED) if s.milestone != Milestone.OUT_FOR_DELIVERY]
    assert signed(usual, scans) == [SignoffReason.WITHOUT_OUT_FOR_DELIVERY]
    assert signed(seldom, scans) == []


def test_a_delivery_sooner_than_the_lane_allows_is_abnormal() -> None:
    """Out and signed for minutes after it left the other end of the country."""
    one = core(min_observations=20)
    one.observe(batch(healthy(100)))
    scans = journey("swift/S", LEARNED)[:3]
    out = scan("swift/S", Milestone.OUT_FOR_DELIVERY, LEARNED + 6.2, region="R07")
    soon = scan("swift/S", Milestone.DELIVERED, LEARNED + 6.5, region="R07")
    assert signed(one, [*scans, out, soon]) == [SignoffReason.IMPLAUSIBLY_SOON]


def test_nothing_reopens_a_delivered_parcel() -> None:
    """Scans after the end of life are ignored, and the parcel falls silent for good."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)))
    after = scan("swift/S", Milestone.ARRIVED, LEARNED + 30, region="R07")
    assert said(one.observe(batch([after]))) == []
    assert said(one.advance(seconds(LEARNED + 30 * 24))) == []


def test_a_number_used_again_is_another_parcel() -> None:
    """A label long after the end begins a new life with episodes of its own."""
    one = taught(retention_days=90)
    one.observe(batch(journey("swift/S", LEARNED)))
    again = LEARNED + 40 * 24
    one.observe(batch(journey("swift/S", again)[:1]))
    (stall,) = said(one.advance(seconds(again + 72)))
    assert stall.occurred_at == at(again)
    assert stall.reason is StallReason.NO_PICKUP


def test_a_label_soon_after_the_end_is_not_another_parcel() -> None:
    """A straggling label does not bring a delivered parcel back to life."""
    one = taught()
    one.observe(batch(journey("swift/S", LEARNED)))
    one.observe(batch([scan("swift/S", Milestone.LABEL_CREATED, LEARNED + 48)]))
    assert said(one.advance(seconds(LEARNED + 20 * 24))) == []


def test_ended_parcels_are_forgotten_and_silent_ones_expire() -> None:
    """Rows go after the retention, or when a parcel was silent for too long; its stall ends."""
    one = taught(retention_days=10, expire_days=20)
    one.observe(batch([*journey("swift/E", LEARNED), *journey("swift/S", LEARNED + 30)[:4]]))
    decisions = said(one.advance(seconds(LEARNED + 30 * 24)))
    assert [type(d) for d in decisions] == [StallOpened, StallCleared]
    assert decisions[1].reason is ClearedReason.EXPIRED
    assert len(one._parcels) == 0


def test_too_many_parcels_are_refused_one_by_one() -> None:
    """Beyond the bound new parcels are refused by index; those known go on."""
    one = core(max_parcels=2)
    scans = [scan(f"swift/P{n}", Milestone.LABEL_CREATED, float(n)) for n in range(4)]
    outputs = one.observe(batch([*scans, scan("swift/P1", Milestone.PICKED_UP, 5.0)]))
    refused = [o for o in outputs if isinstance(o, Rejected)]
    assert refused == [Rejected(n, RejectReason.TOO_MANY_PARCELS) for n in (2, 3)]
    assert len(one._parcels) == 2
    assert one._parcels.rows["last_at"][1] == seconds(5.0)
    assert one._parcels.key(1) == "swift/P1"


def test_scans_are_counted_by_carrier_and_parcels_by_region() -> None:
    """Every arrival counts for its carrier; a parcel enters and leaves its region once."""
    one = core()
    scans = journey("swift/A", 0)
    late = scan("swift/B", Milestone.LABEL_CREATED, 30.0)
    outputs = one.observe(batch([*scans[:4], scans[3], *scans[4:], scans[5], late]))
    outputs += one.advance(seconds(31))
    assert cells(outputs) == {
        (Metric.SCANS, "swift"): 9,
        (Metric.ENTERED, "R07"): 1,
        (Metric.LEFT, "R07"): 1,
        (Metric.CAME, "R07\x1f0"): 1,
        (Metric.CAME, "R07\x1f1"): 1,
        (Metric.WENT, "R07\x1f0\x1f0"): 1,
        (Metric.WENT, "R07\x1f1\x1f5"): 1,
    }


def test_a_scan_that_arrives_long_after_its_quarter_is_counted_as_late() -> None:
    """Arrivals are bucketed by quarter of an hour; a bucket long closed is corrected only."""
    one = core()
    first = scan("swift/A", Milestone.LABEL_CREATED, 5.0)
    old = scan("swift/B", Milestone.LABEL_CREATED, 1.0)
    outputs = [*one.observe(batch([first, old])), *one.advance(seconds(6))]
    counted = [c for o in outputs for c in getattr(o, "cells", ())]
    assert {(c.bucket - START.timestamp(), c.late_at - START.timestamp()) for c in counted} == {
        (5 * 3600.0, -START.timestamp()),
        (3600.0, 5 * 3600.0),
    }


def test_dearer_lateness_flags_more() -> None:
    """On log-normal dwells few healthy parcels are flagged, and more where being late is dear."""
    rng = np.random.default_rng(7)
    count = 12_000
    dwell = np.exp(rng.normal(np.log(10.0), 0.4, count))
    start = np.sort(rng.uniform(0, 40 * 24, count))
    scans = [
        event
        for n in range(count)
        for event in (
            scan(f"swift/P{n}", Milestone.DEPARTED, float(start[n]), region="R01", **LANE),
            scan(f"swift/P{n}", Milestone.DELIVERED, float(start[n] + dwell[n])),
        )
    ]
    scans.sort(key=lambda s: s.occurred_at)
    half = len(scans) // 2
    flagged = []
    for late_cost in (0.002, 0.02, 0.2):
        one = core(late_cost=late_cost)
        one.observe(batch(scans[:half]))
        stalls = [d for d in said(one.observe(batch(scans[half:]))) if isinstance(d, StallOpened)]
        flagged.append(len(stalls) / (count / 2))
    assert flagged[0] < flagged[1] < flagged[2]
    assert flagged[1] < 0.01

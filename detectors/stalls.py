"""What is said about a stalled parcel: the reason, and the evidence in words."""

from typing import Any, Final

from detectors.decisions import (
    ClearedReason,
    CustomsOverdue,
    CustomsReason,
    Evidence,
    StallCleared,
    StallOpened,
    StallReason,
    decision_id,
    instant,
)
from detectors.dwell import Segment
from detectors.events import Milestone

MODEL: Final = "dwell/1"
CUSTOMS_MODEL: Final = "customs/1"
DAY_SECONDS: Final = 86_400

STALL_REASONS: Final = tuple(StallReason)
REASON_OF: Final[dict[Milestone, StallReason]] = {
    Milestone.LABEL_CREATED: StallReason.NO_PICKUP,
    Milestone.CUSTOMS_PRESENTED: StallReason.CUSTOMS_HOLD,
    Milestone.CUSTOMS_HELD: StallReason.CUSTOMS_HOLD,
    Milestone.OUT_FOR_DELIVERY: StallReason.OUT_FOR_DELIVERY_TOO_LONG,
    Milestone.DELIVERY_FAILED: StallReason.DELIVERY_FAILED_REPEATEDLY,
    Milestone.AT_PICKUP_POINT: StallReason.AT_PICKUP_POINT_TOO_LONG,
}
"""The reason of a silence by the stage it began in; elsewhere it is `no_movement`."""
CLEARED_BY: Final[dict[Milestone, ClearedReason]] = {
    Milestone.DELIVERED: ClearedReason.DELIVERED,
    Milestone.RETURNED: ClearedReason.RETURNED,
    Milestone.LOST: ClearedReason.LOST,
    Milestone.DAMAGED: ClearedReason.DAMAGED,
    Milestone.CANCELLED: ClearedReason.CANCELLED,
}
"""What ends a stall, by milestone; any other real movement is `moved`."""

_AFTER: Final[dict[Milestone, str]] = {
    Milestone.LABEL_CREATED: "after the label was made",
    Milestone.PICKED_UP: "after pick-up{at}",
    Milestone.DEPARTED: "after leaving{place}",
    Milestone.ARRIVED: "after arriving{at}",
    Milestone.CUSTOMS_PRESENTED: "after it was presented to customs{at}",
    Milestone.CUSTOMS_HELD: "after customs held it{at}",
    Milestone.CUSTOMS_RELEASED: "after customs released it{at}",
    Milestone.OUT_FOR_DELIVERY: "after it went out for delivery",
    Milestone.DELIVERY_FAILED: "after a delivery failed",
    Milestone.AT_PICKUP_POINT: "after it reached the pick-up point{place}",
    Milestone.RETURNING: "after its return began",
}

Facts = dict[str, Any]
"""What `ParcelTable.facts` returns: the fields every decision about a parcel has."""


def span(seconds: float) -> str:
    """Return a time in words: `50 min`, `31 h`, `5 days`."""
    if seconds < 5400:
        return f"{max(round(seconds / 60), 1)} min"
    if seconds < 3 * DAY_SECONDS:
        return f"{round(seconds / 3600)} h"
    return f"{seconds / DAY_SECONDS:.3g} days"


def stall_text(facts: Facts, silence_seconds: float, segment: Segment) -> str:
    """Return two sentences: what is missing, and what is usual."""
    facility = facts["facility"] or facts["region"]
    after = _AFTER.get(facts["milestone"], "after its last scan{at}").format(
        at=f" at {facility}" if facility else "", place=f" {facility}" if facility else ""
    )
    return (
        f"No scan for {span(silence_seconds)} {after}. "
        f"Parcels {_of(segment)} are seen again within {span(segment.q90)} "
        f"(99 %: {span(segment.q99)}; {segment.observations:,} seen)."
    )


def _of(segment: Segment) -> str:
    if segment.lane:
        return f"of {segment.carrier} on {segment.lane}"
    return f"of {segment.carrier}" if segment.carrier else "of all carriers"


def started(epoch: int, facts: Facts, since: float) -> str:
    """Name the scan an episode counts from, by its data only."""
    place = facts["facility"] or facts["region"]
    return f"{epoch}:{facts['milestone']}:{place}:{instant(since).isoformat()}"


def stall_opened(
    facts: Facts,
    *,
    epoch: int,
    since: float,
    due: float,
    threshold: float,
    probability: float,
    segment: Segment,
    config: str,
) -> StallOpened:
    """Return the decision that a parcel has been silent since `since` for too long at `due`."""
    reason = REASON_OF.get(facts["milestone"], StallReason.NO_MOVEMENT)
    identity = decision_id("stall.opened", facts["subject"], reason, started(epoch, facts, since))
    return StallOpened(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(due),
        occurred_at=instant(since),
        reason=reason,
        evidence=Evidence(
            text=stall_text(facts, due - since, segment),
            unit="seconds",
            observed=due - since,
            expected=round(segment.median, 1),
            probability=probability,
            threshold=round(threshold, 1),
            segment=segment.name,
            observations=segment.observations,
            model=MODEL,
            config=config,
        ),
    )


def stall_cleared(
    facts: Facts,
    *,
    epoch: int,
    since: float,
    opened_at: float,
    stall_reason: StallReason,
    reason: ClearedReason,
    at: float,
    moved_at: float,
    config: str,
) -> StallCleared:
    """Return the decision that ends a stall; `facts` are those it was opened with."""
    began = started(epoch, facts, since)
    subject = facts["subject"]
    gone = "It is forgotten" if reason is ClearedReason.EXPIRED else f"It is {_now(reason)}"
    return StallCleared(
        **facts,
        decision_id=decision_id("stall.cleared", subject, reason, began),
        episode_id=decision_id("stall.opened", subject, stall_reason, began),
        decided_at=instant(at),
        occurred_at=instant(moved_at),
        reason=reason,
        stall_reason=stall_reason,
        opened_at=instant(opened_at),
        evidence=Evidence(
            text=f"{gone} after {span(moved_at - since)} without a scan.",
            unit="seconds",
            observed=moved_at - since,
            segment="next movement",
            observations=0,
            model=MODEL,
            config=config,
        ),
    )


def _now(reason: ClearedReason) -> str:
    return "moving again" if reason is ClearedReason.MOVED else reason.value


def customs_overdue(
    facts: Facts, *, epoch: int, since: float, due: float, days: float, config: str
) -> CustomsOverdue:
    """Return the decision that a parcel has been in customs since `since`, for over `days`."""
    reason = CustomsReason.OVER_7_DAYS
    began = f"{epoch}:{instant(since).isoformat()}"
    identity = decision_id("customs.overdue", facts["subject"], reason, began)
    return CustomsOverdue(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(due),
        occurred_at=instant(since),
        customs_since=instant(since),
        reason=reason,
        evidence=Evidence(
            text=f"In customs for {span(due - since)}; more than {days:g} days is overdue.",
            unit="days",
            observed=round((due - since) / DAY_SECONDS, 3),
            threshold=days,
            segment=f"customs over {days:g} days",
            observations=0,
            model=CUSTOMS_MODEL,
            config=config,
        ),
    )

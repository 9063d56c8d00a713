"""What is said about a stalled parcel: the reason, and the evidence in words."""

from typing import Any, Final, TypedDict

import msgspec

from detectors.decisions import (
    ClearedReason,
    Evidence,
    StallCleared,
    StallOpened,
    StallReason,
    StallWorsened,
    decision_id,
    instant,
)
from detectors.dwell import Segment
from detectors.events import Instant, Milestone
from detectors.journeys import Ahead

MODEL: Final = "dwell/1"
RETURNS_MODEL: Final = "returns/1"
JOURNEYS_MODEL: Final = "journeys/1"
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
REPEATEDLY: Final = 2
"""Failed attempts from which on a silence is `delivery_failed_repeatedly`. The first is followed by
another attempt nearly everywhere, so a silence after it is like any other."""
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

_LEAVE: Final[dict[Milestone, str]] = {
    Milestone.LABEL_CREATED: "are picked up",
    Milestone.DEPARTED: "arrive",
    Milestone.ARRIVED: "leave",
    Milestone.OUT_FOR_DELIVERY: "are delivered",
    Milestone.AT_PICKUP_POINT: "are collected",
}
"""What is usual next; elsewhere parcels move on."""

Facts = dict[str, Any]
"""What `ParcelTable.facts` returns: the fields every decision about a parcel has."""


class Forecast(TypedDict):
    """The fields of a decision that say what is ahead of a parcel; None for no opinion."""

    late_probability: float | None
    eta_p50_at: Instant | None
    eta_p90_at: Instant | None


def forecast(ahead: Ahead | None, now: float) -> Forecast:
    """Return when a parcel will arrive, in whole minutes, and how likely it misses its promise."""
    if ahead is None:
        return Forecast(late_probability=None, eta_p50_at=None, eta_p90_at=None)
    p50, p90 = (60.0 * round((now + each) / 60.0) for each in ahead[:2])
    late = None if ahead.late is None else round(ahead.late, 3)
    return Forecast(late_probability=late, eta_p50_at=instant(p50), eta_p90_at=instant(p90))


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """The scan that ended a stall."""

    milestone: Milestone
    facility: str | None
    region: str | None

    @property
    def text(self) -> str:
        """`departed at R07-hub`."""
        place = self.facility or self.region
        name = self.milestone.value.replace("_", " ")
        return f"{name} at {place}" if place else name


def span(seconds: float) -> str:
    """Return a time in words: `50 min`, `31 h`, `5 days`."""
    if seconds < 5400:
        return f"{max(round(seconds / 60), 1)} min"
    if seconds < 3 * DAY_SECONDS:
        return f"{round(seconds / 3600)} h"
    return f"{seconds / DAY_SECONDS:.3g} days"


def stall_text(facts: Facts, silence_seconds: float, segment: Segment) -> str:
    """Return two sentences: what is missing, and what is usual."""
    return (
        f"No scan for {span(silence_seconds)} {_after(facts)}. "
        f"Parcels {_of(segment)} {_LEAVE.get(facts['milestone'], 'move on')} "
        f"within {span(segment.q90)} "
        f"(99 %: {span(segment.q99)}; {segment.observations:,} seen)."
    )


def _after(facts: Facts) -> str:
    """Say after what a silence began: `after arriving at R07-hub`."""
    facility = facts["facility"] or facts["region"]
    return _AFTER.get(facts["milestone"], "after its last scan{at}").format(
        at=f" at {facility}" if facility else "", place=f" {facility}" if facility else ""
    )


def _of(segment: Segment) -> str:
    if segment.lane:
        return f"of {segment.carrier} {'on this lane' if '>' in segment.lane else 'here'}"
    return f"of {segment.carrier}" if segment.carrier else "of all carriers"


def reason_of(milestone: Milestone, failures: int) -> StallReason:
    """Return the reason of a silence that began at a stage, after so many failed attempts."""
    if milestone is Milestone.DELIVERY_FAILED and failures < REPEATEDLY:
        return StallReason.NO_MOVEMENT
    return REASON_OF.get(milestone, StallReason.NO_MOVEMENT)


def started(epoch: int, facts: Facts, since: float, reason: StallReason) -> str:
    """Name the scan an episode counts from, by its data only.

    While it returns or will be late the parcel moves, so its place is no part of the name.
    """
    if reason in {StallReason.RETURNING_UNANNOUNCED, StallReason.LATE_AGAINST_PROMISE}:
        return f"{epoch}:{instant(since).isoformat()}"
    place = facts["facility"] or facts["region"]
    return f"{epoch}:{facts['milestone']}:{place}:{instant(since).isoformat()}"


def stall_opened(
    facts: Facts,
    *,
    epoch: int,
    failures: int,
    since: float,
    due: float,
    threshold: float,
    probability: float,
    segment: Segment,
    config: str,
    ahead: Forecast,
) -> StallOpened:
    """Return the decision that a parcel has been silent since `since` for too long at `due`."""
    reason = reason_of(facts["milestone"], failures)
    began = started(epoch, facts, since, reason)
    identity = decision_id("stall.opened", facts["subject"], reason, began)
    return StallOpened(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(due),
        occurred_at=instant(since),
        reason=reason,
        **ahead,
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


def late_against_promise(
    facts: Facts,
    *,
    epoch: int,
    since: float,
    due: float,
    ahead: Ahead,
    config: str,
) -> StallOpened:
    """Return the decision, at `due`, that a parcel will hardly arrive by its promise."""
    reason = StallReason.LATE_AGAINST_PROMISE
    identity = decision_id(
        "stall.opened", facts["subject"], reason, started(epoch, facts, since, reason)
    )
    left = facts["promised_at"].timestamp() - due
    return StallOpened(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(due),
        occurred_at=instant(since),
        reason=reason,
        **forecast(ahead, due),
        evidence=Evidence(
            text=(
                f"Promised in {span(left)}. Half of the parcels on this lane that have been on "
                f"their way for as long take {span(ahead.p50_seconds)} more, "
                f"{ahead.late or 0.0:.0%} take longer than the promise."
            ),
            unit="seconds",
            observed=ahead.p50_seconds,
            expected=left,
            probability=round(ahead.late or 0.0, 3),
            segment="journeys of the lane",
            observations=0,
            model=JOURNEYS_MODEL,
            config=config,
        ),
    )


def turned_back(
    facts: Facts, *, epoch: int, since: float, at: float, config: str, ahead: Forecast
) -> StallOpened:
    """Return the decision that a parcel turned back at `since`, and nothing before says why."""
    reason = StallReason.RETURNING_UNANNOUNCED
    identity = decision_id(
        "stall.opened", facts["subject"], reason, started(epoch, facts, since, reason)
    )
    place = facts["facility"] or facts["region"]
    return StallOpened(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(at),
        occurred_at=instant(since),
        reason=reason,
        **ahead,
        evidence=Evidence(
            text=(
                f"Turned back{f' at {place}' if place else ''}; "
                "no failed attempt, refusal or hold by customs was seen before."
            ),
            unit="parcels",
            observed=1,
            segment="unannounced returns",
            observations=0,
            model=RETURNS_MODEL,
            config=config,
        ),
    )


def stall_worsened(
    facts: Facts,
    *,
    epoch: int,
    since: float,
    opened_at: float,
    stall_reason: StallReason,
    reason: StallReason,
    due: float,
    times: int,
    config: str,
    ahead: Forecast,
) -> StallWorsened:
    """Return the decision that an open stall goes on, or has a graver reason by now."""
    began, subject = started(epoch, facts, since, stall_reason), facts["subject"]
    graver = reason is not stall_reason
    what = "graver" if graver else "longer"
    text = f"Still no scan for {span(due - since)} {_after(facts)}"
    why = (
        f"by now it is called {reason.value.replace('_', ' ')}"
        if graver
        else "twice as long as when it was called stalled"
    )
    return StallWorsened(
        **facts,
        decision_id=decision_id("stall.worsened", subject, reason, f"{began}:{what}"),
        episode_id=decision_id("stall.opened", subject, stall_reason, began),
        decided_at=instant(due),
        occurred_at=instant(since),
        reason=reason,
        stall_reason=stall_reason,
        opened_at=instant(opened_at),
        times=times,
        **ahead,
        evidence=Evidence(
            text=f"{text}; {why}.",
            unit="seconds",
            observed=due - since,
            expected=opened_at - since,
            segment="the same stall when it opened",
            observations=0,
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
    by: Movement | None,
    config: str,
) -> StallCleared:
    """Return the decision that ends a stall; `facts` are those it was opened with.

    `by` is the scan that ended it, None where none did.
    """
    began = started(epoch, facts, since, stall_reason)
    subject = facts["subject"]
    gone = "It is forgotten" if reason is ClearedReason.EXPIRED else f"It is {_now(reason)}"
    scan = f" ({by.text})" if by and by.text else ""
    silent = stall_reason is not StallReason.RETURNING_UNANNOUNCED
    return StallCleared(
        **facts,
        decision_id=decision_id("stall.cleared", subject, reason, began),
        episode_id=decision_id("stall.opened", subject, stall_reason, began),
        decided_at=instant(at),
        occurred_at=instant(moved_at),
        reason=reason,
        stall_reason=stall_reason,
        opened_at=instant(opened_at),
        next_milestone=by.milestone if by else None,
        next_facility=by.facility if by else None,
        next_region=by.region if by else None,
        evidence=Evidence(
            text=(
                f"{gone}{scan} {span(moved_at - since)} "
                f"{'after its last scan' if silent else 'after it turned back'}."
            ),
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

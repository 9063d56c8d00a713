"""Whether a rule's conditions hold for a decision: pure, and what is not known holds nothing."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from configs.condition_schema import DayRange, Kind, Weekday, When
from configs.limit_schema import Recipients
from detectors.decisions import (
    CapacityClosed,
    CapacityUpdated,
    Decision,
    FeedResumed,
    SurgeClosed,
    SurgeUpdated,
)

DAY_SECONDS: Final = 86_400
_LATER: Final = (SurgeUpdated, SurgeClosed, CapacityUpdated, CapacityClosed, FeedResumed)
"""News and ends of what was opened before."""
_WEEKDAYS: Final = tuple(Weekday)


def matches(
    when: When, kind: Kind, decision: Decision, *, held_out: bool, recipients: Recipients
) -> bool:
    """Whether every condition that is given holds; `held_out` is said of the customer."""
    # An end has the reason of the end, but follows the rule of what it ends; its day and its
    # evidence are its own, too.
    if kind not in when.kind:
        return False
    opening = not isinstance(decision, _LATER)
    if not _named(when, decision):
        return False
    return not opening or (
        when.hold_out in {None, held_out} and _measured(when, decision, recipients)
    )


def _named(when: When, decision: Decision) -> bool:
    """Whether what a decision is about is among what the rule names."""
    return all(
        wanted is None or getattr(decision, name, None) in wanted
        for name, wanted in (
            ("carrier", when.carrier),
            ("region", when.region),
            ("destination_region", when.destination_region),
            ("service_level", when.service_level),
            ("category", when.category),
        )
    )


def _measured(when: When, decision: Decision, recipients: Recipients) -> bool:
    """Whether the conditions hold that an end of something does not have to meet."""
    probability = decision.evidence.probability
    late = getattr(decision, "late_probability", None)
    wrong = getattr(decision, "wrong_probability", None)
    at = decision.decided_at
    return (
        (when.reason is None or decision.reason in when.reason)
        and (when.fragile is None or getattr(decision, "fragile", None) is when.fragile)
        and _valued(when, getattr(decision, "declared_value_minor", None))
        and _at_most(probability, when.probability_at_most)
        and _at_least(late, when.late_probability_at_least)
        and _at_least(wrong, when.wrong_probability_at_least)
        and _within(days_between(getattr(decision, "promised_at", None), at), when.days_late)
        and _within(
            days_between(getattr(decision, "customs_since", None), at), when.days_in_customs
        )
        and _on(when, decision, recipients)
    )


def region_of(decision: Decision) -> str | None:
    """Return the region whose clock the recipient lives by: the parcel's destination, if known."""
    destination: str | None = getattr(decision, "destination_region", None)
    region: str | None = getattr(decision, "region", None)
    return destination or region


def days_between(begin: datetime | None, end: datetime) -> float | None:
    """Return the days from one moment to another, None when the first is not known."""
    return None if begin is None else (end - begin).total_seconds() / DAY_SECONDS


def _valued(when: When, value: int | None) -> bool:
    if when.value is None:
        return True
    if value is None:
        return False
    low, high = when.value.min_minor, when.value.max_minor
    return (low is None or value >= low) and (high is None or value <= high)


def _at_most(found: float | None, limit: float | None) -> bool:
    return limit is None or (found is not None and found <= limit)


def _at_least(found: float | None, limit: float | None) -> bool:
    return limit is None or (found is not None and found >= limit)


def _within(days: float | None, wanted: DayRange | None) -> bool:
    if wanted is None:
        return True
    if days is None:
        return False
    low, high = wanted.min, wanted.max
    return (low is None or days >= low) and (high is None or days <= high)


def _on(when: When, decision: Decision, recipients: Recipients) -> bool:
    if when.weekday is None:
        return True
    zone = ZoneInfo(recipients.time_zone_of(region_of(decision)))
    return _WEEKDAYS[decision.decided_at.astimezone(zone).weekday()] in when.weekday

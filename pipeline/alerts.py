"""What operations are told of a decision."""

from typing import Final

from configs.condition_schema import Kind
from configs.remedy_schema import Operations
from detectors.decisions import (
    CapacityAlert,
    CapacityClosed,
    CapacityUpdated,
    Decision,
    FeedResumed,
    FeedSilent,
    SurgeClosed,
)
from pipeline.remedies import OperationsAlert

_NAMES: Final = {
    Kind.STALL: "ForewarnStall",
    Kind.WORSENED: "ForewarnStallWorsened",
    Kind.SIGNOFF: "ForewarnSignoff",
    Kind.CUSTOMS: "ForewarnCustoms",
    Kind.HIGH_CARE: "ForewarnHighCare",
    Kind.SURGE: "ForewarnSurge",
    Kind.CAPACITY: "ForewarnCapacity",
    Kind.FEED: "ForewarnFeedSilent",
}
_LABELS: Final = {
    Kind.SURGE: ("region", "category"),
    Kind.CAPACITY: ("region",),
    Kind.FEED: ("carrier",),
}
_TO_DO: Final = {
    Kind.STALL: "Ask the carrier where the parcel is.",
    Kind.WORSENED: "Press the carrier for an answer, or give the parcel up for lost.",
    Kind.SIGNOFF: "Ask the carrier for proof of delivery.",
    Kind.CUSTOMS: "Ask the broker what the clearance waits for.",
    Kind.HIGH_CARE: "Give the customer to one agent who follows up.",
    Kind.SURGE: "Look at what the complaints of this region and category have in common.",
    Kind.CAPACITY: "Add couriers in this region.",
    Kind.FEED: (
        "Ask the carrier whether its feed or its work has stopped. Coupons for its parcels are "
        "held until it speaks again."
    ),
}


def alert_of(decision: Decision, kind: Kind, operations: Operations | None) -> OperationsAlert:
    """Return the alert of a decision; without `operations` it is remembered, not told."""
    name = _NAMES[kind]
    labels = _labels(decision, kind)
    told = operations or Operations()
    began = getattr(decision, "began_at", None) or getattr(decision, "silent_since", None)
    return OperationsAlert(
        alert_id="/".join((name, *labels.values())),
        name=name,
        episode_id=decision.episode_id,
        firing=not isinstance(decision, SurgeClosed | CapacityClosed | FeedResumed),
        tell=operations is not None,
        severity=told.severity,
        labels=labels,
        annotations=_annotations(decision, kind),
        decided_at=decision.decided_at,
        starts_at=began or decision.decided_at,
        expires_seconds=told.expires_hours * 3600,
        silent_carrier=decision.carrier if isinstance(decision, FeedSilent | FeedResumed) else None,
        stuck_facility=_facility(decision),
    )


def _facility(decision: Decision) -> str | None:
    """Return the place a decision is about, as `carrier/facility`."""
    kind, _, place = decision.subject.partition("/")
    return place if kind == "facility" else None


def _labels(decision: Decision, kind: Kind) -> dict[str, str]:
    """Return what tells one alert from another: bounded for regions and carriers."""
    names = _LABELS.get(kind, ("subject",))
    return {name: str(getattr(decision, name)) for name in names}


def _annotations(decision: Decision, kind: Kind) -> dict[str, str]:
    to_do = _TO_DO[kind]
    more: dict[str, str] = {}
    if isinstance(decision, CapacityAlert | CapacityUpdated):
        to_do = (
            f"Add {decision.couriers_to_add} couriers in {decision.region}: "
            f"{decision.observed:g} against {decision.expected:g} expected, "
            f"backlog {decision.backlog_parcels} parcels."
        )
        more = _coming(decision)
    return {
        "summary": decision.evidence.text,
        "what_to_do": to_do,
        "reason": str(decision.reason),
        "decision_id": decision.decision_id,
        "decided_at": decision.decided_at.isoformat(),
        **more,
    }


def _coming(decision: CapacityAlert | CapacityUpdated) -> dict[str, str]:
    """Return what a capacity alert foresees, as far as it does."""
    told = {
        "overflow_at": decision.overflow_at and decision.overflow_at.isoformat(),
        "causes": ", ".join(candidate.cause for candidate in decision.causes),
    }
    return {name: text for name, text in told.items() if text}

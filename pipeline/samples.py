"""A made-up decision that a rule matches, and what it would ask for: to look at and to check."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from configs.condition_schema import DECISIONS, Kind, Weekday, reasons_of
from configs.policy_schema import Policies, Rule
from detectors.decisions import Decision, Evidence
from detectors.events import Category, Milestone
from pipeline.policy import request_of
from pipeline.remedies import RemedyRequest

MONDAY_NOON: Final = datetime(2026, 3, 2, 4, tzinfo=UTC)
"""In China."""
_EVIDENCE: Final = Evidence(
    text="No scan for 31 h after arriving at hub R07; 9 h are usual.",
    unit="seconds",
    observed=111_600.0,
    expected=32_400.0,
    probability=0.001,
    segment="sample",
    observations=1240,
    model="sample",
    config="sample",
)


def sample_decision(rule: Rule, *, known: bool = True) -> Decision:
    """Return a decision of the rule's first kind and reason; `known`: with all it may carry."""
    when, kind = rule.when, rule.when.kind[0]
    values: dict[str, Any] = {
        "kind": str(kind),
        "decided_at": MONDAY_NOON + timedelta(days=_day(when.weekday)),
        "reason": next(
            r for r in (when.reason or sorted(reasons_of(kind))) if r in reasons_of(kind)
        ),
    }
    for name in ("carrier", "region", "category", "service_level", "destination_region"):
        named = getattr(when, name)
        if named:
            values[name] = named[0]
    if when.fragile is not None:
        values["fragile"] = when.fragile
    return decision_from(values, known=known)


def decision_from(values: dict[str, Any], *, known: bool = True) -> Decision:
    """Return a decision with these fields (as on the wire), the others those of a sample.

    Raises `ValueError` for what cannot be a decision.
    """
    try:
        kind = Kind(values.get("kind", ""))
    except ValueError:
        kinds = ", ".join(Kind)
        raise ValueError(f"kind must be one of {kinds}, not {values.get('kind')!r}") from None
    at = values["decided_at"]
    if not isinstance(at, datetime):
        at = msgspec.convert(at, datetime)
    fields = _always(kind, at) | (_if_known(at) if known else {}) | values | {"decided_at": at}
    if "subject" not in values:
        fields["subject"] = _subject(kind, fields)
    names = {*DECISIONS[kind].__struct_fields__, "kind"}
    stranger = sorted(values.keys() - names)
    if stranger:
        raise ValueError(f"{kind} has no field {stranger[0]!r}")
    wire = {name: value for name, value in fields.items() if name in names}
    decision: Decision = msgspec.convert(msgspec.to_builtins(wire), Decision)
    return decision


def _subject(kind: Kind, fields: dict[str, Any]) -> str:
    if kind in {Kind.SURGE, Kind.CAPACITY}:
        return f"region/{fields['region']}"
    if kind is Kind.FEED:
        return f"carrier/{fields['carrier']}"
    if kind is Kind.HIGH_CARE:
        return f"customer/{fields['customer_id']}"
    return f"parcel/{fields['carrier']}/{fields['parcel_id']}"


def _always(kind: Kind, at: datetime) -> dict[str, Any]:
    reason = min(reasons_of(kind))
    return {
        "decision_id": "sample", "episode_id": "sample", "decided_at": at, "evidence": _EVIDENCE,
        "reason": reason, "parcel_id": "SW00000042", "carrier": "swift",
        "milestone": Milestone.ARRIVED, "occurred_at": at - timedelta(hours=31),
        "region": "Ningbo", "customer_id": "C-1f3a", "customs_since": at - timedelta(days=8),
        "issue": "late_delivery", "complaint_ids": ("c1", "c2"), "category": Category.LOGISTICS,
        "silent_since": at - timedelta(hours=9), "began_at": at - timedelta(hours=3),
        "opened_at": at - timedelta(hours=31), "stall_reason": reason, "expected": 40.0,
        "observed": 90.0, "backlog_parcels": 310, "couriers_to_add": 4, "times": 1,
    }  # fmt: skip


def _if_known(at: datetime) -> dict[str, Any]:
    return {
        "facility": "swift-hub-Ningbo", "order_id": "O-77", "promised_at": at + timedelta(days=1),
        "service_level": "standard", "fragile": False, "declared_value_minor": 19_900,
        "late_probability": 0.8, "wrong_probability": 0.6, "eta_p50_at": at + timedelta(days=2),
        "eta_p90_at": at + timedelta(days=4),
    }  # fmt: skip


def sample_request(rule: Rule, policies: Policies, *, known: bool = True) -> RemedyRequest:
    """Return what a rule with a remedy asks for a sample."""
    request = request_of(sample_decision(rule, known=known), rule, policies)
    if not known:
        return msgspec.structs.replace(request, carrier=None, since_at=None, region=None)
    return request


def _day(days: tuple[Weekday, ...] | None) -> int:
    """Return the first of the days, counted from Monday."""
    return list(Weekday).index(days[0]) if days else 0

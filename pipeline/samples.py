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
    at = _on(when.weekday)
    reason = next(r for r in (when.reason or sorted(reasons_of(kind))) if r in reasons_of(kind))
    always: dict[str, Any] = {
        "decision_id": "sample", "episode_id": "sample", "subject": "parcel/swift/SW00000042",
        "decided_at": at, "evidence": _EVIDENCE, "reason": reason,
        "parcel_id": "SW00000042", "carrier": _first(when.carrier, "swift"),
        "milestone": Milestone.ARRIVED, "occurred_at": at - timedelta(hours=31),
        "region": _first(when.region, "Ningbo"), "customer_id": "C-1f3a",
        "customs_since": at - timedelta(days=8), "issue": "late_delivery",
        "complaint_ids": ("c1", "c2"), "category": _first(when.category, Category.LOGISTICS),
        "silent_since": at - timedelta(hours=9), "began_at": at - timedelta(hours=3),
        "opened_at": at - timedelta(hours=31), "stall_reason": reason,
        "expected": 40.0, "observed": 90.0, "backlog_parcels": 310, "couriers_to_add": 4,
        "times": 1,
    }  # fmt: skip
    if known:
        always |= {
            "facility": "swift-hub-Ningbo", "order_id": "O-77",
            "promised_at": at + timedelta(days=1),
            "destination_region": _first(when.destination_region, None),
            "service_level": _first(when.service_level, "standard"), "fragile": bool(when.fragile),
            "declared_value_minor": 19_900, "late_probability": 0.8,
            "eta_p50_at": at + timedelta(days=2), "eta_p90_at": at + timedelta(days=4),
        }  # fmt: skip
    return _decision(kind, always)


def sample_request(rule: Rule, policies: Policies, *, known: bool = True) -> RemedyRequest:
    """Return what a rule with a remedy asks for a sample."""
    request = request_of(sample_decision(rule, known=known), rule, policies)
    if not known:
        return msgspec.structs.replace(request, carrier=None, since_at=None, region=None)
    return request


def _decision(kind: Kind, values: dict[str, Any]) -> Decision:
    model = DECISIONS[kind]
    fields = {name: values[name] for name in model.__struct_fields__ if name in values}
    wire = msgspec.to_builtins(fields) | {"kind": str(kind)}
    decision: Decision = msgspec.convert(wire, Decision)
    return decision


def _first(names: tuple[str, ...] | None, otherwise: Any) -> Any:
    return names[0] if names else otherwise


def _on(days: tuple[Weekday, ...] | None) -> datetime:
    """Return noon in China of the first of the days."""
    return MONDAY_NOON + timedelta(days=list(Weekday).index(days[0]) if days else 0)

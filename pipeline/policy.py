"""From a decision to what should be done about it: pure, first match wins.

`judge` looks at nothing but the decision and the policies, so the same decision always asks for
the same. What depends on what others were given (budgets, caps, floods) is the issuer's.
"""

from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import Final
from zoneinfo import ZoneInfo

from configs.policy_schema import HoldOut, Kind, Operations, Policies, QuietHours, Rule, When
from detectors.decisions import (
    CapacityAlert,
    CustomerHighCare,
    CustomsOverdue,
    Decision,
    FeedResumed,
    FeedSilent,
    SignoffAbnormal,
    StallCleared,
    StallOpened,
    StallWorsened,
    SurgeClosed,
    SurgeOpened,
    SurgeUpdated,
)
from pipeline.remedies import (
    EpisodeEnded,
    Nothing,
    OperationsAlert,
    Reason,
    RemedyRequest,
    remedy_id,
)

_KINDS: Final[dict[type, Kind]] = {
    StallOpened: Kind.STALL,
    StallWorsened: Kind.WORSENED,
    SignoffAbnormal: Kind.SIGNOFF,
    CustomsOverdue: Kind.CUSTOMS,
    CustomerHighCare: Kind.HIGH_CARE,
    SurgeOpened: Kind.SURGE,
    SurgeUpdated: Kind.SURGE,
    SurgeClosed: Kind.SURGE,
    CapacityAlert: Kind.CAPACITY,
    FeedSilent: Kind.FEED,
    FeedResumed: Kind.FEED,
}
_ALERT_NAMES: Final = {
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


def judge(decision: Decision, policies: Policies) -> "Verdict":
    """Return what should be done about a decision."""
    if isinstance(decision, StallCleared):
        return EpisodeEnded(
            subject=decision.subject,
            episode_id=decision.episode_id,
            reason=decision.reason,
            decided_at=decision.decided_at,
        )
    kind = _KINDS[type(decision)]
    rule = next((rule for rule in policies.policies if matches(rule.when, kind, decision)), None)
    if kind in {Kind.SURGE, Kind.FEED}:
        return _alert(decision, kind, rule.operations if rule else None)
    if rule is None:
        return Nothing.NO_RULE
    if rule.operations is not None:
        return _alert(decision, kind, rule.operations)
    if rule.remedy is None:
        return Nothing.RULE_SAYS_NOTHING
    return _request(decision, kind, rule, policies)


Verdict = RemedyRequest | OperationsAlert | EpisodeEnded | Nothing


def matches(when: When, kind: Kind, decision: Decision) -> bool:
    """Whether every condition that is given holds."""
    # An end has the reason of the end, but follows the rule of what it ends.
    opening = not isinstance(decision, SurgeUpdated | SurgeClosed | FeedResumed)
    return (
        kind in when.kind
        and (not opening or _among(decision.reason, when.reason))
        and _among(getattr(decision, "carrier", None), when.carrier)
        and _among(getattr(decision, "region", None), when.region)
        and _among(getattr(decision, "service_level", None), when.service_level)
        and _among(getattr(decision, "category", None), when.category)
        and _valued(decision, when)
        and _surprising(decision, when, opening=opening)
        and when.in_high_care in {None, kind is Kind.HIGH_CARE}
    )


def _among(value: str | None, wanted: tuple[str, ...] | None) -> bool:
    return wanted is None or value in wanted


def _valued(decision: Decision, when: When) -> bool:
    if when.value is None:
        return True
    value = getattr(decision, "declared_value_minor", None)
    if value is None:
        return False
    low, high = when.value.min_minor, when.value.max_minor
    return (low is None or value >= low) and (high is None or value <= high)


def _surprising(decision: Decision, when: When, *, opening: bool) -> bool:
    if when.probability_at_most is None or not opening:
        return True
    probability = decision.evidence.probability
    return probability is not None and probability <= when.probability_at_most


def _request(decision: Decision, kind: Kind, rule: Rule, policies: Policies) -> RemedyRequest:
    assert rule.remedy is not None
    remedy = rule.remedy
    amount = remedy.coupon.amount_minor if remedy.coupon else 0
    customer = getattr(decision, "customer_id", None)
    order = getattr(decision, "order_id", None)
    quiet_until = end_of_quiet(decision.decided_at, policies.quiet_hours)
    return RemedyRequest(
        remedy_id=remedy_id(decision.subject, decision.reason, decision.episode_id),
        decision_id=decision.decision_id,
        episode_id=decision.episode_id,
        subject=decision.subject,
        kind=str(kind),
        decision_reason=str(decision.reason),
        decided_at=decision.decided_at,
        rule=rule.name,
        template=remedy.template,
        amount_minor=amount,
        currency=policies.currency,
        validity_days=remedy.coupon.validity_days if remedy.coupon else 0,
        upgrade=remedy.upgrade,
        follow_up=remedy.follow_up,
        campaign=remedy.campaign,
        customer_id=customer,
        order_id=order,
        parcel_id=getattr(decision, "parcel_id", None),
        carrier=getattr(decision, "carrier", None),
        facility=getattr(decision, "facility", None),
        region=getattr(decision, "region", None),
        refuse=_refusal(customer, order, policies.hold_out),
        hold=_hold(amount, quiet_until, policies),
        not_before=quiet_until,
    )


def _refusal(customer: str | None, order: str | None, hold_out: HoldOut) -> Reason | None:
    if customer is None and order is None:
        return Reason.NO_RECIPIENT
    if customer is not None and held_out(customer, hold_out):
        return Reason.HOLD_OUT
    return None


def _hold(amount_minor: int, quiet_until: datetime | None, policies: Policies) -> Reason | None:
    if amount_minor > policies.automatic_limit_minor:
        return Reason.OVER_AUTHORITY
    return Reason.QUIET_HOURS if quiet_until else None


def held_out(customer_id: str, hold_out: HoldOut) -> bool:
    """Whether a customer is among those who are given nothing; always the same answer."""
    digest = blake2b(f"{hold_out.salt}\x1f{customer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < hold_out.share * 2**64


def end_of_quiet(at: datetime, quiet: QuietHours | None) -> datetime | None:
    """Return when the quiet hours around a moment end, None outside of them."""
    if quiet is None:
        return None
    local = at.astimezone(ZoneInfo(quiet.time_zone))
    begin, end = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end)
    clock = local.time()
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not inside:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=local.tzinfo).astimezone(at.tzinfo)


def _alert(decision: Decision, kind: Kind, operations: Operations | None) -> OperationsAlert:
    name = _ALERT_NAMES[kind]
    labels = _labels(decision, kind)
    told = operations or Operations()
    began = getattr(decision, "began_at", None) or getattr(decision, "silent_since", None)
    return OperationsAlert(
        alert_id="/".join((name, *labels.values())),
        name=name,
        episode_id=decision.episode_id,
        firing=not isinstance(decision, SurgeClosed | FeedResumed),
        tell=operations is not None,
        severity=told.severity,
        labels=labels,
        annotations=_annotations(decision, kind),
        decided_at=decision.decided_at,
        starts_at=began or decision.decided_at,
        expires_seconds=told.expires_hours * 3600,
        silent_carrier=decision.carrier if isinstance(decision, FeedSilent | FeedResumed) else None,
    )


def _labels(decision: Decision, kind: Kind) -> dict[str, str]:
    """Return what tells one alert from another: bounded for regions and carriers."""
    names = _LABELS.get(kind, ("subject",))
    return {name: str(getattr(decision, name)) for name in names}


def _annotations(decision: Decision, kind: Kind) -> dict[str, str]:
    to_do = _TO_DO[kind]
    if isinstance(decision, CapacityAlert):
        to_do = (
            f"Add {decision.couriers_to_add} couriers in {decision.region}: "
            f"{decision.observed:g} against {decision.expected:g} expected, "
            f"backlog {decision.backlog_parcels} parcels."
        )
    return {
        "summary": decision.evidence.text,
        "what_to_do": to_do,
        "reason": str(decision.reason),
        "decision_id": decision.decision_id,
        "decided_at": decision.decided_at.isoformat(),
    }

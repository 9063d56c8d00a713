"""From a decision to what should be done about it: pure, first match wins.

`judge` looks at nothing but the decision and the policies, so the same decision always asks for
the same. What depends on what others were given (budgets, caps, floods, high care) is the issuer's.
"""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from configs.condition_schema import Kind
from configs.limit_schema import Authority, HoldOut
from configs.policy_schema import Policies, Rule
from configs.remedy_schema import FollowUp, Form, Person, Remedy
from detectors.decisions import (
    CapacityAlert,
    CapacityClosed,
    CapacityUpdated,
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
from pipeline.alerts import alert_of
from pipeline.conditions import matches, region_of
from pipeline.quiet import end_of_quiet
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
    CapacityUpdated: Kind.CAPACITY,
    CapacityClosed: Kind.CAPACITY,
    FeedSilent: Kind.FEED,
    FeedResumed: Kind.FEED,
}
_REMEMBERED: Final = frozenset({Kind.SURGE, Kind.CAPACITY, Kind.FEED})
"""Kinds with an end, or that hold money back: noted also where no rule speaks of them."""
_RANK: Final = tuple(Person)
"""By authority, least first."""
_ABOUT_PARCELS: Final = (
    "customer_id", "order_id", "parcel_id", "carrier", "facility", "region", "destination_region",
    "address_hash", "milestone", "promised_at", "eta_p50_at", "eta_p90_at",
)  # fmt: skip

Verdict = RemedyRequest | OperationsAlert | EpisodeEnded | Nothing


def judge(decision: Decision, policies: Policies) -> Verdict:
    """Return what should be done about a decision."""
    if isinstance(decision, StallCleared):
        return EpisodeEnded(
            subject=decision.subject,
            episode_id=decision.episode_id,
            reason=decision.reason,
            decided_at=decision.decided_at,
        )
    kind = _KINDS[type(decision)]
    rule = rule_for(decision, policies)
    if kind in _REMEMBERED:
        return alert_of(decision, kind, rule.operations if rule else None)
    if rule is None:
        return Nothing.NO_RULE
    if rule.operations is not None:
        return alert_of(decision, kind, rule.operations)
    if rule.remedy is None:
        return Nothing.RULE_SAYS_NOTHING
    return request_of(decision, rule, policies)


def rule_for(decision: Decision, policies: Policies) -> Rule | None:
    """Return the first rule whose conditions all hold."""
    kind = _KINDS[type(decision)]
    held = held_out(getattr(decision, "customer_id", None), policies.hold_out)
    return next(
        (
            rule
            for rule in policies.policies
            if matches(rule.when, kind, decision, held_out=held, recipients=policies.recipients)
        ),
        None,
    )


def request_of(decision: Decision, rule: Rule, policies: Policies) -> RemedyRequest:
    """Return what a rule with a remedy asks for a decision."""
    remedy, kind = rule.remedy, _KINDS[type(decision)]
    assert remedy is not None
    money, coupon = remedy.money, remedy.coupon
    form = Form.REFUND if remedy.refund else Form.COUPON
    amount = money.amount_minor if money else 0
    about = {name: getattr(decision, name, None) for name in _ABOUT_PARCELS}
    zone = policies.recipients.time_zone_of(region_of(decision))
    quiet_until = end_of_quiet(decision.decided_at, policies.quiet_hours, zone)
    held = held_out(about["customer_id"], policies.hold_out)
    hold, person = _hold(remedy, amount, form, policies.authority)
    due = timedelta(hours=remedy.follow_up_hours)
    return RemedyRequest(
        **about,
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
        form=form,
        currency=policies.currency,
        validity_days=coupon.validity_days if coupon else 0,
        upgrade=remedy.upgrade,
        follow_up=remedy.follow_up,
        follow_up_due_at=_none_for(remedy.follow_up, decision.decided_at + due),
        campaign=remedy.campaign,
        window_days=remedy.window_days,
        since_at=getattr(decision, "occurred_at", None),
        time_zone=zone,
        held_out=held,
        refuse=_refusal(
            about["customer_id"], about["order_id"], held=held and not rule.when.hold_out
        ),
        hold=hold or (Reason.QUIET_HOURS if quiet_until else None),
        person=person,
        person_in_high_care=remedy.in_high_care if kind is not Kind.HIGH_CARE else None,
        not_before=quiet_until,
    )


def _none_for(follow_up: FollowUp, due_at: datetime) -> datetime | None:
    return None if follow_up is FollowUp.NONE else due_at


def _refusal(customer: str | None, order: str | None, *, held: bool) -> Reason | None:
    if customer is None and order is None:
        return Reason.NO_RECIPIENT
    return Reason.HOLD_OUT if held else None


def _hold(
    remedy: Remedy, amount_minor: int, form: Form, authority: Authority
) -> tuple[Reason | None, Person | None]:
    """Return why a person decides, and who; the one with more authority where two would."""
    needed, wanted = approver(amount_minor, form, authority), remedy.person_first
    if wanted is not None and (needed is None or _RANK.index(wanted) > _RANK.index(needed)):
        return Reason.PERSON_FIRST, wanted
    return (None, None) if needed is None else (Reason.OVER_AUTHORITY, needed)


def approver(amount_minor: int, form: Form, authority: Authority) -> Person | None:
    """Return who grants so much money, None where software may.

    Examples
    --------
    >>> limits = Authority(automatic_minor=5000, refund_minor=30000)
    >>> [approver(minor, Form.COUPON, limits) for minor in (5000, 5001)]
    [None, <Person.COMPLAINTS_LEAD: 'complaints_lead'>]
    >>> [approver(minor, Form.REFUND, limits).value for minor in (100, 30000, 30001)]
    ['specialist', 'specialist', 'complaints_lead']
    """
    if not amount_minor:
        return None
    if form is Form.REFUND:
        granted = amount_minor <= authority.refund_minor
        return Person.SPECIALIST if granted else Person.COMPLAINTS_LEAD
    return None if amount_minor <= authority.automatic_minor else Person.COMPLAINTS_LEAD


def held_out(customer_id: str | None, hold_out: HoldOut) -> bool:
    """Whether a customer is among those who are given nothing; always the same answer."""
    if customer_id is None:
        return False
    digest = blake2b(f"{hold_out.salt}\x1f{customer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < hold_out.share * 2**64

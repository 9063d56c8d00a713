"""Policies: pure, first match wins, the shipped ones as the trade has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.limit_schema import Authority
from configs.load import SHIPPED, load_config
from configs.policy_schema import Policies
from configs.remedy_schema import Form, Person
from detectors.decisions import (
    CapacityAlert,
    CapacityCause,
    CapacityClosed,
    CapacityReason,
    CapacityUpdated,
    CareReason,
    CauseCandidate,
    ClearedReason,
    CustomerHighCare,
    CustomsOverdue,
    CustomsReason,
    Decision,
    FeedReason,
    FeedResumed,
    FeedSilent,
    SignoffAbnormal,
    SignoffReason,
    StallReason,
    StallWorsened,
    SurgeClosed,
    SurgeOpened,
    SurgeReason,
)
from detectors.events import Category
from pipeline.policy import approver, held_out, judge
from pipeline.remedies import EpisodeEnded, Nothing, OperationsAlert, Reason, RemedyRequest
from tests.pipeline.delivering import EVIDENCE, NOON, cleared, stall

SHIPPED_POLICIES = load_config().policies


def changed(**changes: Any) -> Policies:
    """The shipped policies with some sections replaced."""
    data = yaml.safe_load((SHIPPED / "policies.yaml").read_text("utf-8"))
    return Policies.model_validate(data | changes)


def one_rule(when: dict[str, Any], **outcome: Any) -> Policies:
    rule = {"name": "only", "when": when} | (outcome or {"nothing": True})
    return changed(policies=[rule])


def asked(decision: Decision, policies: Policies = SHIPPED_POLICIES) -> RemedyRequest:
    verdict = judge(decision, policies)
    assert isinstance(verdict, RemedyRequest)
    return verdict


def like_stall(kind: type[Any], **fields: Any) -> Any:
    """Another kind of decision about the same parcel."""
    shared = {
        name: getattr(stall(1), name)
        for name in kind.__struct_fields__
        if hasattr(stall(1), name) and name != "reason"
    }
    return kind(**(shared | fields))


def surge(
    kind: type[Any] = SurgeOpened, reason: SurgeReason = SurgeReason.ABOVE_EXPECTATION
) -> Any:
    return like_stall(
        kind, subject="region/R01", region="R01", category=Category.LOGISTICS, reason=reason,
        began_at=NOON - timedelta(hours=2), episode_id="surge-1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "amount_minor", "upgrade", "follow_up", "template"),
    [
        (stall(1), 500, "express", "none", "stall_apology"),
        (
            like_stall(CustomsOverdue, reason=CustomsReason.OVER_7_DAYS, customs_since=NOON),
            1000, "priority_clearance", "none", "customs_apology",
        ),
        (like_stall(SignoffAbnormal, reason=SignoffReason.OTHER_REGION), 0, "none", "none",
         "signoff_inquiry"),
        (
            like_stall(CustomerHighCare, subject="customer/C1", reason=CareReason.SAME_ISSUE_TWICE,
                issue="late", complaint_ids=("a", "b"), region="R01"),
            0, "none", "dedicated_agent", "high_care",
        ),
    ],
)  # fmt: skip
def test_shipped_remedies(
    decision: Decision, amount_minor: int, upgrade: str, follow_up: str, template: str
) -> None:
    """The shipped policies give what the trade gives."""
    request = asked(decision)
    assert (request.amount_minor, request.upgrade, request.follow_up) == (
        amount_minor, upgrade, follow_up,
    )  # fmt: skip
    assert request.template == template
    assert request.hold is None
    assert request.refuse is None


@pytest.mark.parametrize("reason", list(StallReason))
def test_every_stall_has_a_rule(reason: StallReason) -> None:
    """No reason of a stall falls through the shipped list."""
    assert judge(stall(1, reason=reason), SHIPPED_POLICIES) is not Nothing.NO_RULE


def test_a_rule_may_ask_how_likely_a_signoff_is_wrong() -> None:
    """An inquiry for those that are likely wrong only; unknown is not likely."""
    likely = one_rule({"kind": "signoff.abnormal", "wrong_probability_at_least": 0.5},
                      remedy={"template": "signoff_inquiry"})  # fmt: skip
    for wrong, asks in ((0.6, True), (0.5, True), (0.4, False), (None, False)):
        odd = like_stall(
            SignoffAbnormal, reason=SignoffReason.OTHER_REGION, wrong_probability=wrong
        )
        assert isinstance(judge(odd, likely), RemedyRequest) is asks


def test_a_stall_that_worsens_asks_for_no_second_remedy() -> None:
    """The customer is given one remedy a stall, however long it goes on; operations may be told."""
    worse = like_stall(
        StallWorsened, reason=StallReason.NO_MOVEMENT, stall_reason=StallReason.NO_MOVEMENT,
        opened_at=NOON, times=1,
    )  # fmt: skip
    assert judge(worse, SHIPPED_POLICIES) is Nothing.RULE_SAYS_NOTHING
    when = {"kind": "stall.worsened", "reason": "no_movement"}
    told = judge(worse, one_rule(when, operations={"severity": "info"}))
    assert isinstance(told, OperationsAlert)
    assert told.episode_id == stall(1).episode_id
    with pytest.raises(ValidationError, match="not when it worsens"):
        one_rule(when, remedy={"template": "apology"})


def test_alerts_fire_and_end_under_one_name() -> None:
    """A surge's opening and its end are one alert, and so is a silent feed."""
    opened = judge(surge(SurgeOpened, SurgeReason.ABOVE_EXPECTATION), SHIPPED_POLICIES)
    closed = judge(surge(SurgeClosed, SurgeReason.BACK_TO_EXPECTATION), SHIPPED_POLICIES)
    assert isinstance(opened, OperationsAlert)
    assert isinstance(closed, OperationsAlert)
    assert opened.firing
    assert opened.tell
    assert not closed.firing
    assert opened.alert_id == closed.alert_id == "ForewarnSurge/R01/logistics"
    silent, resumed = (
        judge(
            like_stall(kind, subject="carrier/swift", reason=why, silent_since=NOON),
            SHIPPED_POLICIES,
        )
        for kind, why in (
            (FeedSilent, FeedReason.NO_ARRIVALS), (FeedResumed, FeedReason.ARRIVALS_AGAIN),
        )
    )  # fmt: skip
    assert isinstance(silent, OperationsAlert)
    assert isinstance(resumed, OperationsAlert)
    assert silent.alert_id == resumed.alert_id
    assert silent.silent_carrier == resumed.silent_carrier == "swift"


def test_silent_feed_is_remembered_without_a_rule() -> None:
    """Money is held for a silent carrier even where no rule tells operations of it."""
    silent = like_stall(FeedSilent, subject="carrier/swift", reason=FeedReason.NO_ARRIVALS,
                 silent_since=NOON)  # fmt: skip
    alert = judge(silent, changed(policies=[]))
    assert isinstance(alert, OperationsAlert)
    assert not alert.tell


def test_capacity_says_what_to_do() -> None:
    """The annotation names the couriers to add."""
    alert = judge(
        like_stall(CapacityAlert, subject="region/R01", region="R01", expected=40.0, observed=90.0,
            reason=CapacityReason.BACKLOG_GROWING, backlog_parcels=310, couriers_to_add=4),
        SHIPPED_POLICIES,
    )  # fmt: skip
    assert isinstance(alert, OperationsAlert)
    assert alert.annotations["what_to_do"].startswith("Add 4 couriers in R01")


def test_a_capacity_alert_is_updated_and_resolved_under_one_name() -> None:
    """What is foreseen stands in the annotations; the end follows the rule of the opening."""
    fields = {
        "subject": "region/R01", "region": "R01", "expected": 40.0, "observed": 90.0,
        "backlog_parcels": 310, "couriers_to_add": 4, "overflow_at": NOON + timedelta(hours=20),
        "causes": (
            CauseCandidate(cause=CapacityCause.HELD_UPSTREAM, log_likelihood_ratio=7.5),
        ),
    }  # fmt: skip
    told = [
        judge(like_stall(kind, reason=reason, **fields), SHIPPED_POLICIES)
        for kind, reason in (
            (CapacityAlert, CapacityReason.OVERFLOW_AHEAD),
            (CapacityUpdated, CapacityReason.BACKLOG_GROWING),
            (CapacityClosed, CapacityReason.BACK_TO_USUAL),
        )
    ]
    alerts = [one for one in told if isinstance(one, OperationsAlert)]
    assert [one.firing for one in alerts] == [True, True, False]
    assert {one.alert_id for one in alerts} == {"ForewarnCapacity/R01"}
    assert alerts[1].annotations["causes"] == "held_upstream"
    assert alerts[1].annotations["overflow_at"] == (NOON + timedelta(hours=20)).isoformat()
    assert alerts[2].tell


def test_an_end_is_passed_on() -> None:
    """The end of a stall names its episode."""
    ended = judge(cleared(stall(1), ClearedReason.MOVED), SHIPPED_POLICIES)
    assert isinstance(ended, EpisodeEnded)
    assert ended.episode_id == stall(1).episode_id


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ({"kind": "stall.opened"}, True),
        ({"kind": ["customs.overdue", "stall.opened"]}, True),
        ({"kind": "customs.overdue"}, False),
        ({"kind": "stall.opened", "reason": "no_movement"}, True),
        ({"kind": "stall.opened", "reason": "no_pickup"}, False),
        ({"kind": "stall.opened", "carrier": ["swift", "atlas"]}, True),
        ({"kind": "stall.opened", "carrier": "atlas"}, False),
        ({"kind": "stall.opened", "region": "R01"}, True),
        ({"kind": "stall.opened", "service_level": "express"}, False),
        ({"kind": "stall.opened", "value": {"min_minor": 10_000}}, True),
        ({"kind": "stall.opened", "value": {"max_minor": 9_999}}, False),
        ({"kind": "stall.opened", "value": {"min_minor": 10_000, "max_minor": 10_000}}, True),
        ({"kind": "stall.opened", "probability_at_most": 0.001}, True),
        ({"kind": "stall.opened", "probability_at_most": 0.0001}, False),
        ({"kind": "stall.opened", "destination_region": "R07"}, True),
        ({"kind": "stall.opened", "destination_region": "R01"}, False),
        ({"kind": "stall.opened", "days_late": {"min": 1}}, True),
        ({"kind": "stall.opened", "days_late": {"min": 1.5}}, False),
        ({"kind": "stall.opened", "days_late": {"max": 0}}, False),
        ({"kind": "stall.opened", "weekday": "monday"}, True),
        ({"kind": "stall.opened", "weekday": ["saturday", "sunday"]}, False),
        ({"kind": "stall.opened", "hold_out": False}, True),
        ({"kind": "stall.opened", "hold_out": True}, False),
    ],
)
def test_conditions(when: dict[str, Any], matches: bool) -> None:
    """Every condition that is given must hold."""
    decision = stall(
        1,
        declared_value_minor=10_000,
        destination_region="R07",
        promised_at=NOON - timedelta(days=1, hours=2),
    )
    verdict = judge(decision, one_rule(when))
    assert verdict is (Nothing.RULE_SAYS_NOTHING if matches else Nothing.NO_RULE)


@pytest.mark.parametrize(
    "when",
    [
        {"value": {"max_minor": 5}},
        {"probability_at_most": 1.0},
        {"late_probability_at_least": 0.0},
        {"days_late": {"min": -3650}},
        {"days_in_customs": {"min": 0}},
        {"fragile": False},
        {"service_level": "standard"},
        {"destination_region": "R01"},
    ],
)
def test_what_is_not_known_is_in_no_range(when: dict[str, Any]) -> None:
    """What is not known is not 0, and holds no condition."""
    unknown = stall(1, evidence=msgspec.structs.replace(EVIDENCE, probability=None))
    assert judge(unknown, one_rule({"kind": "stall.opened"} | when)) is Nothing.NO_RULE


@pytest.mark.parametrize(
    ("days", "range_", "matches"),
    [(7.5, {"min": 7}, True), (7.5, {"min": 8}, False), (7.5, {"min": 7, "max": 7.5}, True)],
)
def test_days_in_customs(days: float, range_: dict[str, float], matches: bool) -> None:
    """They count from the day customs began to the decision."""
    since = NOON - timedelta(days=days)
    held = like_stall(CustomsOverdue, reason=CustomsReason.OVER_7_DAYS, customs_since=since)
    verdict = judge(held, one_rule({"kind": "customs.overdue", "days_in_customs": range_}))
    assert (verdict is Nothing.RULE_SAYS_NOTHING) is matches


@pytest.mark.parametrize(
    ("zones", "day"),
    [({}, "sunday"), ({"R01": "Asia/Shanghai"}, "monday"), ({"R02": "UTC"}, "sunday")],
)
def test_weekdays_are_the_recipients(zones: dict[str, str], day: str) -> None:
    """20:00 UTC on a Sunday is Monday in Shanghai."""
    sunday = stall(1, at=NOON - timedelta(hours=16))
    rule = {"name": "only", "when": {"kind": "stall.opened", "weekday": day}, "nothing": True}
    recipients = {"time_zone": "UTC", "region_time_zones": zones}
    verdict = judge(sunday, changed(policies=[rule], recipients=recipients))
    assert verdict is Nothing.RULE_SAYS_NOTHING


def money(form: str, amount_minor: int, **remedy: Any) -> Policies:
    """One rule that gives so much."""
    given = {form: {"amount_minor": amount_minor}, "template": "apology"} | remedy
    return one_rule({"kind": "stall.opened"}, remedy=given)


@pytest.mark.parametrize(
    ("policies", "hold", "person"),
    [
        (money("coupon", 5000), None, None),
        (money("coupon", 5001), Reason.OVER_AUTHORITY, Person.COMPLAINTS_LEAD),
        (money("refund", 1), Reason.OVER_AUTHORITY, Person.SPECIALIST),
        (money("refund", 30_000), Reason.OVER_AUTHORITY, Person.SPECIALIST),
        (money("refund", 30_001), Reason.OVER_AUTHORITY, Person.COMPLAINTS_LEAD),
        (money("coupon", 500, person_first="agent"), Reason.PERSON_FIRST, Person.AGENT),
        (money("refund", 500, person_first="agent"), Reason.OVER_AUTHORITY, Person.SPECIALIST),
        (
            money("refund", 500, person_first="complaints_lead"),
            Reason.PERSON_FIRST, Person.COMPLAINTS_LEAD,
        ),
    ],
)  # fmt: skip
def test_authority(policies: Policies, hold: Reason | None, person: Person | None) -> None:
    """¥50 is issued, one fen more is the lead's; a refund is a specialist's up to ¥300."""
    request = asked(stall(1), policies)
    assert (request.hold, request.person) == (hold, person)


@given(
    amount_minor=st.integers(1, 10**12),
    form=st.sampled_from(Form),
    automatic=st.integers(0, 10**9),
    more=st.integers(0, 10**9),
)
def test_more_money_never_needs_less_authority(
    amount_minor: int, form: Form, automatic: int, more: int
) -> None:
    """Whoever grants an amount can grant every smaller one."""
    limits = Authority(automatic_minor=automatic, refund_minor=automatic + more)
    ranks = [None, *Person]
    larger, smaller = (
        ranks.index(approver(amount, form, limits))
        for amount in (amount_minor, amount_minor // 2 + 1)
    )
    assert larger >= smaller
    assert (larger == 0) is (form is Form.COUPON and amount_minor <= automatic)


def test_nobody_to_give_it_to() -> None:
    """Without customer and order there is no recipient."""
    assert asked(stall(1, customer_id=None, order_id=None)).refuse is Reason.NO_RECIPIENT


def test_hold_out_is_a_stable_share() -> None:
    """A fifth of the customers is held out, always the same ones."""
    policies = changed(hold_out={"share": 0.2})
    chosen = [held_out(f"C{number}", policies.hold_out) for number in range(5000)]
    assert chosen == [held_out(f"C{number}", policies.hold_out) for number in range(5000)]
    assert 900 < sum(chosen) < 1100
    victim = chosen.index(True)
    request = asked(stall(victim), policies)
    assert request.refuse is Reason.HOLD_OUT
    assert request.held_out


def test_customers_held_out_can_be_given_words() -> None:
    """A rule for them alone says what they get instead of nothing; never money."""
    everybody = {"share": 0.5, "salt": "x"}
    rules = [
        {"name": "told", "when": {"kind": "stall.opened", "hold_out": True},
         "remedy": {"template": "apology"}},
        {"name": "given", "when": {"kind": "stall.opened"},
         "remedy": {"template": "apology", "coupon": {"amount_minor": 500}}},
    ]  # fmt: skip
    policies = changed(hold_out=everybody, policies=rules)
    requests = [asked(stall(number), policies) for number in range(40)]
    assert {(r.rule, r.held_out, r.refuse) for r in requests} == {
        ("told", True, None), ("given", False, None),
    }  # fmt: skip
    rules[0]["remedy"] = rules[1]["remedy"]
    with pytest.raises(ValidationError, match="held out get no money"):
        changed(hold_out=everybody, policies=rules)


def test_a_request_carries_what_the_customer_is_told() -> None:
    """Where, since when, by when somebody calls, and whose clock it is."""
    remedy = {"template": "apology", "follow_up": "dedicated_agent", "follow_up_hours": 4}
    request = asked(stall(1), one_rule({"kind": "stall.opened"}, remedy=remedy))
    assert request.follow_up_due_at == NOON + timedelta(hours=4)
    assert request.since_at == NOON - timedelta(hours=40)
    assert (request.facility, request.time_zone) == ("hub-1", "Asia/Shanghai")
    assert (request.amount_minor, request.validity_days) == (0, 0)


def test_one_id_for_each_parcel_reason_and_episode() -> None:
    """The id follows parcel, reason and episode and nothing else."""
    again = stall(1, decision_id="another", decided_at=datetime(2026, 4, 1, tzinfo=UTC))
    assert asked(stall(1)).remedy_id == asked(again).remedy_id
    others = (stall(2), stall(1, reason=StallReason.NO_PICKUP), stall(1, episode_id="later"))
    assert len({asked(decision).remedy_id for decision in (stall(1), *others)}) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"authority": {"automatic_minor": 10.5, "refund_minor": 11}},
        {"authority": {"automatic_minor": -1, "refund_minor": 11}},
        {"authority": {"automatic_minor": True, "refund_minor": 11}},
        {"authority": {"automatic_minor": 12, "refund_minor": 11}},
        {"curency": "CNY"},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.open"}, "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened", "reason": "no_movment"},
                       "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "surge.opened"},
                       "remedy": {"template": "apology"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}, "remedy": {
            "template": "apology", "coupon": {"amount_minor": 5}, "refund": {"amount_minor": 5}}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened", "days_late": {}},
                       "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened",
                       "days_late": {"min": 2, "max": 1}}, "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}, "remedy": {
            "template": "apology", "coupon": {"amount_minor": 5}, "campaign": "none"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}, "nothing": True}] * 2},
        {"quiet_hours": {"begin": "22:00", "end": "22:00"}},
        {"recipients": {"time_zone": "Mars/Base"}},
        {"recipients": {"region_time_zones": {"R01": "Mars/Base"}}},
    ],
)  # fmt: skip
def test_mistakes_are_refused(changes: dict[str, Any]) -> None:
    """What cannot be meant is an error, not a guess."""
    with pytest.raises(ValidationError):
        changed(**changes)

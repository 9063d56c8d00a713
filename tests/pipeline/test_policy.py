"""Policies: pure, first match wins, the shipped ones as the trade has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml
from pydantic import ValidationError

from configs.load import SHIPPED, load_config
from configs.policy_schema import Policies, QuietHours, Template
from detectors.decisions import (
    CapacityAlert,
    CapacityReason,
    CareReason,
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
from pipeline.policy import end_of_quiet, held_out, judge
from pipeline.remedies import EpisodeEnded, Nothing, OperationsAlert, Reason, RemedyRequest
from sinks.templates import LANGUAGES, PLACEHOLDERS, load
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
        (stall(1), 500, "express", "none", Template.STALL_APOLOGY),
        (
            like_stall(CustomsOverdue, reason=CustomsReason.OVER_7_DAYS, customs_since=NOON),
            1000, "priority_clearance", "none", Template.CUSTOMS_APOLOGY,
        ),
        (like_stall(SignoffAbnormal, reason=SignoffReason.OTHER_REGION), 0, "none", "none",
         Template.SIGNOFF_INQUIRY),
        (
            like_stall(CustomerHighCare, subject="customer/C1", reason=CareReason.SAME_ISSUE_TWICE,
                issue="late", complaint_ids=("a", "b"), region="R01"),
            0, "none", "dedicated_agent", Template.HIGH_CARE,
        ),
    ],
)  # fmt: skip
def test_shipped_remedies(
    decision: Decision, amount_minor: int, upgrade: str, follow_up: str, template: Template
) -> None:
    """The shipped policies give what the trade gives."""
    request = asked(decision)
    assert (request.amount_minor, request.upgrade, request.follow_up) == (
        amount_minor, upgrade, follow_up,
    )  # fmt: skip
    assert request.template is template
    assert request.hold is None
    assert request.refuse is None


@pytest.mark.parametrize("reason", list(StallReason))
def test_every_stall_has_a_rule(reason: StallReason) -> None:
    """No reason of a stall falls through the shipped list."""
    assert judge(stall(1, reason=reason), SHIPPED_POLICIES) is not Nothing.NO_RULE


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
        ({"kind": "stall.opened", "in_high_care": True}, False),
        ({"kind": "stall.opened", "in_high_care": False}, True),
    ],
)
def test_conditions(when: dict[str, Any], matches: bool) -> None:
    """Every condition that is given must hold."""
    verdict = judge(stall(1, declared_value_minor=10_000), one_rule(when))
    assert verdict is (Nothing.RULE_SAYS_NOTHING if matches else Nothing.NO_RULE)


def test_no_value_and_no_probability_are_in_no_range() -> None:
    """What is not known is not 0."""
    unknown = stall(1, evidence=msgspec.structs.replace(EVIDENCE, probability=None))
    by_value = one_rule({"kind": "stall.opened", "value": {"max_minor": 5}})
    by_probability = one_rule({"kind": "stall.opened", "probability_at_most": 1.0})
    assert judge(unknown, by_value) is Nothing.NO_RULE
    assert judge(unknown, by_probability) is Nothing.NO_RULE


@pytest.mark.parametrize(("amount_minor", "held"), [(5000, None), (5001, Reason.OVER_AUTHORITY)])
def test_authority(amount_minor: int, held: Reason | None) -> None:
    """¥50 is issued, one fen more waits for a person."""
    remedy = {"template": "apology", "coupon": {"amount_minor": amount_minor}}
    assert asked(stall(1), one_rule({"kind": "stall.opened"}, remedy=remedy)).hold is held


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
    assert asked(stall(victim), policies).refuse is Reason.HOLD_OUT


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-02T13:59:59+00:00", None),
        ("2026-03-02T14:00:00+00:00", "2026-03-03T00:00:00+00:00"),
        ("2026-03-02T23:59:59+00:00", "2026-03-03T00:00:00+00:00"),
        ("2026-03-03T00:00:00+00:00", None),
    ],
)
def test_quiet_hours(at: str, until: str | None) -> None:
    """22:00 to 08:00 in Shanghai, over midnight, to the second."""
    quiet = QuietHours(begin="22:00", end="08:00", time_zone="Asia/Shanghai")
    found = end_of_quiet(datetime.fromisoformat(at), quiet)
    assert found == (datetime.fromisoformat(until) if until else None)


def test_one_id_for_each_parcel_reason_and_episode() -> None:
    """The id follows parcel, reason and episode and nothing else."""
    again = stall(1, decision_id="another", decided_at=datetime(2026, 4, 1, tzinfo=UTC))
    assert asked(stall(1)).remedy_id == asked(again).remedy_id
    others = (stall(2), stall(1, reason=StallReason.NO_PICKUP), stall(1, episode_id="later"))
    assert len({asked(decision).remedy_id for decision in (stall(1), *others)}) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"automatic_limit_minor": 10.5},
        {"automatic_limit_minor": -1},
        {"automatic_limit_minor": True},
        {"curency": "CNY"},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.open"}, "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened", "reason": "no_movment"},
                       "nothing": True}]},
        {"policies": [{"name": "a", "when": {"kind": "surge.opened"},
                       "remedy": {"template": "apology"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"},
                       "remedy": {"template": "stall_apology"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}, "remedy": {
            "template": "apology", "coupon": {"amount_minor": 5}, "campaign": "none"}}]},
        {"policies": [{"name": "a", "when": {"kind": "stall.opened"}, "nothing": True}] * 2},
        {"quiet_hours": {"begin": "22:00", "end": "08:00", "time_zone": "Mars/Base"}},
    ],
)  # fmt: skip
def test_mistakes_are_refused(changes: dict[str, Any]) -> None:
    """What cannot be meant is an error, not a guess."""
    with pytest.raises(ValidationError):
        changed(**changes)


@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("language", LANGUAGES)
def test_texts(template: Template, language: str) -> None:
    """Every template has a text in every language with known placeholders only."""
    subject, body = load(template, language)
    assert subject.template.strip()
    assert body.template.strip()
    assert {*subject.get_identifiers(), *body.get_identifiers()} <= PLACEHOLDERS

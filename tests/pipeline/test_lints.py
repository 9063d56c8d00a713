"""Policies that are well-formed and wrong: found with file, line and field."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from configs.condition_schema import When
from configs.load import POLICIES, SHIPPED, load_config
from pipeline.conditions import matches
from pipeline.lints import Findings, find
from pipeline.overlaps import covers, meets
from pipeline.policy import _KINDS
from pipeline.samples import sample_decision
from tests.pipeline.delivering import NOON, stall


def apology(**more: Any) -> dict[str, Any]:
    return {"template": "apology", **more}


def findings(folder: Path, *rules: dict[str, Any], **changes: Any) -> Findings:
    """What is found in the shipped policies with other rules."""
    folder.mkdir(exist_ok=True)
    data = yaml.safe_load((SHIPPED / POLICIES).read_text("utf-8")) | changes
    data["policies"] = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)]
    (folder / POLICIES).write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return find(load_config(folder))


def stalled(**when: Any) -> dict[str, Any]:
    return {"kind": "stall.opened", **when}


def test_the_shipped_policies_are_clean() -> None:
    """Neither errors nor warnings."""
    assert find(load_config()) == Findings([], [])


@pytest.mark.parametrize(
    ("rules", "field", "said"),
    [
        (
            [{"when": stalled(), "nothing": True},
             {"when": stalled(carrier="swift"), "remedy": apology()}],
            "policies[1].when", "never reached: rule-0",
        ),
        (
            [{"when": stalled(reason=["no_pickup"]), "nothing": True},
             {"when": stalled(reason=["no_movement"], value={"min_minor": 5}), "nothing": True},
             {"when": stalled(reason=["no_pickup", "no_movement"], value={"min_minor": 9}),
              "remedy": apology()}],
            "policies[2].when", "never reached: rule-1, rule-0",
        ),
        (
            [{"when": {"kind": "surge.opened", "value": {"min_minor": 5}}, "nothing": True}],
            "policies[0].when.value", "no decision of surge.opened has this",
        ),
        (
            [{"when": stalled(days_in_customs={"min": 8}), "nothing": True}],
            "policies[0].when.days_in_customs", "no decision of stall.opened has this",
        ),
        (
            [{"when": stalled(), "remedy": apology(coupon={"amount_minor": 2001})}],
            "policies[0].remedy.coupon.amount_minor", "above caps.order.amount_minor (2000)",
        ),
        (
            [{"when": stalled(),
              "remedy": apology(coupon={"amount_minor": 500, "currency": "EUR"})}],
            "policies[0].remedy.coupon.currency", "EUR is another currency than the budgets' (CNY)",
        ),
        (
            [{"when": stalled(), "remedy": {"template": "mine"}}],
            "policies[0].remedy.template", "mine.en promises '¥8', but the rule gives no money",
        ),
    ],
)  # fmt: skip
def test_errors(tmp_path: Path, rules: list[dict[str, Any]], field: str, said: str) -> None:
    """What can never work as written, with the line it stands on."""
    own(tmp_path / "config", "Sorry\nHere is ¥8 and express shipping.")
    errors = findings(tmp_path / "config", *rules).errors
    (problem,) = [each for each in errors if said in each.expected]
    assert problem.field == field
    assert problem.line is not None
    key = field.rpartition(".")[2]
    assert key in (tmp_path / "config" / POLICIES).read_text().splitlines()[problem.line - 1]


def own(folder: Path, text: str) -> Path:
    (folder / "templates").mkdir(parents=True)
    for language in ("en", "zh"):
        (folder / "templates" / f"mine.{language}.txt").write_text(text, "utf-8")
    return folder


def test_currency_of_a_campaign(tmp_path: Path) -> None:
    """A budget in another currency is no budget."""
    data = yaml.safe_load((SHIPPED / POLICIES).read_text("utf-8"))["budgets"]
    data["campaigns"]["stalls"]["currency"] = "USD"
    (problem,) = findings(tmp_path / "config", budgets=data).errors
    assert problem.field == "budgets.campaigns.stalls.currency"


def test_unknown_facts_and_missing_texts(tmp_path: Path) -> None:
    """A text that names what is no fact is found in its own file; a text nobody wrote, too."""
    folder = own(tmp_path / "config", "Sorry\nYour {{ parsel }} is late.")
    shutil.copy(SHIPPED / POLICIES, folder / POLICIES)
    errors = find(load_config(folder)).errors
    assert [(Path(each.file).name, each.line, each.field, each.suggestion) for each in errors] == [
        ("mine.en.txt", 2, "parsel", "parcel"), ("mine.zh.txt", 2, "parsel", "parcel"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            [{"when": stalled(region="R01"), "remedy": apology(upgrade="express")},
             {"when": stalled(carrier="swift"), "remedy": apology()}],
            "overlaps rule-0, which comes first and wins, e.g. stall.opened",
        ),
        (
            [{"when": stalled(), "remedy": apology(coupon={"amount_minor": 6000})}],
            "beyond authority (5000): the complaints lead decides each",
        ),
        (
            [{"when": stalled(), "remedy": apology(refund={"amount_minor": 30_001})}],
            "beyond authority (30000): the complaints lead decides each",
        ),
    ],
)  # fmt: skip
def test_warnings(tmp_path: Path, rules: list[dict[str, Any]], said: str) -> None:
    """What may be meant and deserves a look."""
    caps = {
        "customer": {"window_days": 30, "remedies": 5, "amount_minor": 90_000},
        "order": {"window_days": 365, "remedies": 4, "amount_minor": 90_000},
    }
    found = findings(tmp_path / "config", *rules, caps=caps)
    assert found.errors == []
    (warning,) = found.warnings
    assert said in warning.expected
    assert warning.line is not None


def test_the_special_rule_before_the_general_one_is_no_overlap(tmp_path: Path) -> None:
    """It is how a first-match list is written."""
    special = {"when": stalled(region="R01", weekday=["saturday"]), "remedy": apology()}
    general = {"when": stalled(), "nothing": True}
    assert findings(tmp_path / "config", special, general) == Findings([], [])


NAMES = st.none() | st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True)
SPANS = st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)).map(sorted)


@st.composite
def whens(draw: st.DrawFn) -> When:
    value, days = draw(SPANS), draw(SPANS)
    given_: dict[str, Any] = {
        "carrier": draw(NAMES),
        "service_level": draw(NAMES),
        "value": None if value is None else {"min_minor": value[0], "max_minor": value[1]},
        "days_late": None if days is None else {"min": days[0], "max": days[1]},
        "hold_out": draw(st.sampled_from([None, True, False])),
    }
    return When.model_validate({"kind": "stall.opened"} | given_)


@given(wide=whens(), narrow=whens(), carrier=st.sampled_from(["a", "b"]),
       service=st.sampled_from([None, "a", "b"]), value=st.none() | st.integers(0, 3),
       days=st.none() | st.integers(0, 3), held=st.booleans())  # fmt: skip
def test_covering_and_meeting_say_what_matching_does(
    wide: When, narrow: When, carrier: str, service: str | None, value: int | None,
    days: int | None, held: bool,
) -> None:  # fmt: skip
    """A rule that covers another matches all it matches; rules that do not meet share nothing."""
    promised = None if days is None else NOON - timedelta(days=days)
    decision = stall(1, carrier=carrier, service_level=service, declared_value_minor=value,
                     promised_at=promised)  # fmt: skip
    recipients = load_config().policies.recipients
    inner, outer = (
        matches(when, _KINDS[type(decision)], decision, held_out=held, recipients=recipients)
        for when in (narrow, wide)
    )
    if covers(wide, narrow):
        assert outer or not inner
    if not meets(wide, narrow):
        assert not (inner and outer)


@pytest.mark.parametrize("rule", load_config().policies.policies, ids=lambda rule: rule.name)
def test_samples_match_their_rules(rule: Any) -> None:
    """What is shown for a rule is what the rule decides."""
    recipients = load_config().policies.recipients
    decision = sample_decision(rule)
    assert matches(
        rule.when, _KINDS[type(decision)], decision, held_out=False, recipients=recipients
    )

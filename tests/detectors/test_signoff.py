"""Sign-offs: the gravest rule speaks, and what is unknown accuses nobody."""

from typing import Any

import pytest

from detectors.decisions import SignoffReason
from detectors.signoff import LastStep, SignOff, suspicion, together

FINE: dict[str, Any] = {
    "returning": False,
    "lost": False,
    "attempted": True,
    "region": "R07",
    "destination": "R07",
    "seconds": 20_000.0,
    "soonest": 5_000.0,
    "attempted_share": 0.999,
    "deliveries": 500,
}


def why(**fields: Any) -> SignoffReason | None:
    """Return the reason a delivery is abnormal for, of a carrier that nearly always attempts."""
    found = suspicion(SignOff(**FINE | fields), 0.99)
    return None if found is None else found.reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"lost": True, "returning": True, "region": "R01"}, SignoffReason.AFTER_LOST),
        ({"returning": True, "region": "R01"}, SignoffReason.AFTER_RETURNING),
        ({"region": "R01", "seconds": 1.0}, SignoffReason.OTHER_REGION),
        ({"seconds": 4_999.0, "attempted": False}, SignoffReason.IMPLAUSIBLY_SOON),
        ({"attempted": False}, SignoffReason.WITHOUT_OUT_FOR_DELIVERY),
    ],
)
def test_the_gravest_rule_speaks(fields: dict[str, Any], reason: SignoffReason | None) -> None:
    """A delivery that breaks several rules is abnormal once, for the gravest."""
    assert why(**fields) is reason


@pytest.mark.parametrize(
    "fields",
    [
        {"region": None},
        {"region": "R01", "destination": None},
        {"seconds": 1.0, "soonest": None},
        {"seconds": None},
        {"seconds": 5_000.0},
        {"attempted": False, "attempted_share": None},
        {"attempted": False, "attempted_share": 0.98},
    ],
)
def test_what_is_unknown_accuses_nobody(fields: dict[str, Any]) -> None:
    """Without a region, a time or a share to compare with, a delivery is believed."""
    assert why(**fields) is None


def step(share: float, text: str = "in R09") -> LastStep:
    """Return a step of a delivery that so small a share of usual ones has."""
    return LastStep(reason=SignoffReason.OTHER_REGION, text=text, share=share)


def test_steps_together_speak_from_a_probability_on() -> None:
    """The oddest step gives the reason, and all odd ones are named with how rare they are."""
    soon = LastStep(
        reason=SignoffReason.IMPLAUSIBLY_SOON, text="6 min after its last scan", share=0.0001
    )
    steps = [step(0.002), soon, step(0.6, "after arrived")]
    assert together(steps, 0.19, 0.2) is None
    assert together([], 0.9, 0.2) is None
    found = together(steps, 0.62, 0.2)
    assert found is not None
    assert found.reason is SignoffReason.IMPLAUSIBLY_SOON
    assert found.text == (
        "Delivered 6 min after its last scan (1 in 10,000 deliveries), "
        "in R09 (1 in 500 deliveries): 62% likely to be wrong."
    )
    assert (found.unit, found.observed, found.threshold) == ("probability", 0.62, 0.2)

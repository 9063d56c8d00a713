"""Sign-offs: the gravest rule speaks, and what is unknown accuses nobody."""

from typing import Any

import numpy as np
import pytest

from detectors.decisions import SignoffReason
from detectors.signoff import AttemptShares, SignOff, suspicion

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


def learn(model: AttemptShares, deliveries: int, attempted: int) -> None:
    """Teach deliveries of one carrier, so many of them attempted before."""
    codes = np.full(deliveries, model.code("swift"))
    model.learn_many(codes, np.arange(deliveries) < attempted)


def share(model: AttemptShares, carrier: str = "swift") -> tuple[float | None, int]:
    """Return what is known of a carrier."""
    return model.share(model.code(carrier))


def shares() -> AttemptShares:
    """Return shares that have an opinion after ten deliveries."""
    return AttemptShares(half_life_days=10.0, min_observations=10, max_carriers=100)


def test_a_share_counts_from_the_next_fold_on() -> None:
    """Within an epoch what is learned changes no judgement."""
    model = shares()
    learn(model, 20, 15)
    assert share(model) == (None, 0)
    model.sketches.fold(1.0)
    assert share(model) == (0.75, 20)
    assert share(model, "comet") == (None, 0)


def test_a_share_forgets() -> None:
    """After a half-life the old deliveries weigh half of what they did."""
    model = shares()
    learn(model, 20, 20)
    model.sketches.fold(0.0)
    learn(model, 10, 0)
    model.sketches.fold(10.0)
    assert share(model) == (0.5, 20)


def test_what_was_counted_before_a_reload_is_folded_after_it() -> None:
    """Deliveries of the running epoch survive in the state."""
    model, copy = shares(), shares()
    learn(model, 20, 20)
    copy.sketches.fold(0.5)
    copy.sketches.apply(model.sketches.changes())
    copy.sketches.forget_codes()
    copy.sketches.fold(1.0)
    assert share(copy) == (1.0, 20)

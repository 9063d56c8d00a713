"""Sign-offs that are hard to believe: rules on a `delivered` scan.

Which scan is missing is learned, not assumed: a carrier that seldom scans `out_for_delivery` is
not suspected for its absence, and how soon is implausible depends on the lane.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.decisions import SignoffReason
from detectors.sketches import Sketches

MODEL: Final = "signoff/1"
_ATTEMPTED, _OTHER = 0, 1
"""Bins of the histograms of deliveries."""
_SAYS: Final = {
    SignoffReason.AFTER_LOST: "Delivered after it was reported lost.",
    SignoffReason.AFTER_RETURNING: "Delivered although it was on its way back to the sender.",
}

Numbers = NDArray[np.int64]


class SignOff(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one delivery when its scan is judged."""

    returning: bool
    lost: bool
    attempted: bool
    """Out for delivery, a failed attempt or a pick-up point was scanned before."""
    region: str | None
    destination: str | None
    seconds: float | None
    """From the first scan after the label to the delivery."""
    soonest: float | None
    """What hardly any delivery on this lane takes less than."""
    attempted_share: float | None
    """Share of this carrier's deliveries that were scanned as attempted before."""
    deliveries: int
    """How many deliveries that share was learned from."""


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sign-off is abnormal, with what was seen and expected."""

    reason: SignoffReason
    text: str
    unit: str
    observed: float
    threshold: float | None = None
    probability: float | None = None
    observations: int = 0


def suspicion(delivery: SignOff, least_share: float) -> Suspicion | None:
    """Return the first rule a delivery breaks: the gravest first."""
    reason = _grave(delivery)
    if reason is not None:
        return Suspicion(reason=reason, text=_SAYS[reason], unit="parcels", observed=1)
    if delivery.region and delivery.destination and delivery.region != delivery.destination:
        return Suspicion(
            reason=SignoffReason.OTHER_REGION,
            text=f"Delivered in {delivery.region}, addressed to {delivery.destination}.",
            unit="parcels",
            observed=1,
        )
    return _soon(delivery) or _unattempted(delivery, least_share)


def _grave(delivery: SignOff) -> SignoffReason | None:
    if delivery.lost:
        return SignoffReason.AFTER_LOST
    return SignoffReason.AFTER_RETURNING if delivery.returning else None


def _soon(delivery: SignOff) -> Suspicion | None:
    seconds, soonest = delivery.seconds, delivery.soonest
    if seconds is None or soonest is None or seconds >= soonest:
        return None
    return Suspicion(
        reason=SignoffReason.IMPLAUSIBLY_SOON,
        text=(
            f"Delivered {seconds / 3600:.1f} h after its first scan; "
            f"hardly any parcel here takes less than {soonest / 3600:.1f} h."
        ),
        unit="seconds",
        observed=seconds,
        threshold=soonest,
    )


def _unattempted(delivery: SignOff, least_share: float) -> Suspicion | None:
    share = delivery.attempted_share
    if delivery.attempted or share is None or share < least_share:
        return None
    return Suspicion(
        reason=SignoffReason.WITHOUT_OUT_FOR_DELIVERY,
        text=(
            f"Delivered without having been out for delivery, which {share:.1%} of this "
            f"carrier's {delivery.deliveries:,} deliveries were."
        ),
        unit="parcels",
        observed=1,
        probability=1 - share,
        observations=delivery.deliveries,
    )


class AttemptShares:
    """Share of each carrier's deliveries that were scanned as out for delivery before.

    A histogram of two bins in `sketches`, with its epochs, its forgetting and its state.
    """

    def __init__(
        self,
        *,
        half_life_days: float,
        min_observations: int,
        max_carriers: int,
        shared: bool = False,
    ) -> None:
        self.min_observations = min_observations
        self.sketches = Sketches(
            "attempts",
            half_life_days=half_life_days,
            max_rows=max_carriers,
            levels=1,
            shared=shared,
        )

    def code(self, carrier: str) -> int:
        """Return a number for a carrier, valid until the sketches forget codes."""
        return self.sketches.code(carrier)

    def learn_many(self, codes: Numbers, attempted: NDArray[np.bool_]) -> None:
        """Count deliveries, shape (n,), and whether they were attempted before."""
        self.sketches.count_many(codes, np.where(attempted, _ATTEMPTED, _OTHER))

    def share(self, code: int) -> tuple[float | None, int]:
        """Return the share and how many deliveries it was learned from; None for too few."""
        row = int(self.sketches.rows(np.array([code]))[0, 0])
        if row < 0:
            return None, 0
        attempted, other = self.sketches.weights(row)[[_ATTEMPTED, _OTHER]].tolist()
        total = attempted + other
        if total < self.min_observations:
            return None, round(total)
        return attempted / total, round(total)

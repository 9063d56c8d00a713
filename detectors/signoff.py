"""Sign-offs that are hard to believe: rules on a `delivered` scan.

Which scan is missing is learned, not assumed: a carrier that seldom scans `out_for_delivery` is
not suspected for its absence, and how soon is implausible depends on the lane.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.decisions import SignoffReason
from detectors.table import Table

MODEL: Final = "signoff/1"
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

    Integers within an epoch, folded at its end with forgetting, as in `detectors.sketches`.
    """

    def __init__(self, *, half_life_days: float, min_observations: int) -> None:
        self.half_life_days = half_life_days
        self.min_observations = min_observations
        self.table = Table(
            "attempts",
            {"attempted": "u4", "other": "u4", "weights": ("f8", 2), "day": "f8"},
        )
        self.forget_derived()

    def forget_derived(self) -> None:
        """After loading, look into the state for what was counted."""
        self._counted = True

    def learn_many(self, carriers: list[str], attempted: Numbers, deliveries: Numbers) -> None:
        """Count deliveries of the running epoch by carrier, each carrier once; shape (n,)."""
        if not carriers:
            return
        self._counted = True
        rows = self.table.add(carriers)
        self.table["attempted"][rows] += attempted.astype(np.uint32)
        self.table["other"][rows] += (deliveries - attempted).astype(np.uint32)

    def fold(self, day: float) -> None:
        """Let what was counted since the last fold count from now on."""
        if not self._counted:
            return
        self._counted = False
        rows = self.table.rows()
        counts = np.stack([self.table["attempted"][rows], self.table["other"][rows]], axis=1)
        busy = counts.any(axis=1)
        rows, counts = rows[busy], counts[busy]
        if len(rows) == 0:
            return
        kept = np.exp2((self.table["day"][rows] - day) / self.half_life_days)
        self.table["weights"][rows] = self.table["weights"][rows] * kept[:, None] + counts
        self.table["day"][rows] = day
        self.table["attempted"][rows] = self.table["other"][rows] = 0
        self.table.touch(rows)

    def share(self, carrier: str) -> tuple[float | None, int]:
        """Return the share and how many deliveries it was learned from; None for too few."""
        row = int(self.table.find([carrier])[0])
        attempted, other = self.table["weights"][row].tolist() if row >= 0 else (0.0, 0.0)
        total = attempted + other
        if total < self.min_observations:
            return None, round(total)
        return attempted / total, round(total)

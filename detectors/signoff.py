"""Sign-offs that are hard to believe: rules on a `delivered` scan, and all its steps together.

Which scan is missing is learned, not assumed: a carrier that seldom scans `out_for_delivery` is
not suspected for its absence, and how soon is implausible depends on the lane. The rules are a
floor: what breaks none of them is abnormal if its steps together are (`detectors.plausibility`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from detectors.decisions import SignoffReason

MODEL: Final = "signoff/2"
_ODD: Final = 0.05
_SAYS: Final = {
    SignoffReason.AFTER_LOST: "Delivered after it was reported lost.",
    SignoffReason.AFTER_RETURNING: "Delivered although it was on its way back to the sender.",
}


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


class LastStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a delivery and the share of usual deliveries at least as odd in it."""

    reason: SignoffReason
    text: str
    share: float


def together(steps: Sequence[LastStep], wrong: float, least: float) -> Suspicion | None:
    """Return a suspicion where a sign-off is wrong with at least the probability `least`.

    Its reason is the oddest step's; the text names all that one in twenty usual deliveries has or
    fewer.
    """
    if wrong < least or not steps:
        return None
    ranked = sorted(steps, key=lambda step: step.share)
    odd = [f"{step.text} ({_one_in(step.share)})" for step in ranked if step.share <= _ODD]
    return Suspicion(
        reason=ranked[0].reason,
        text=f"Delivered {', '.join(odd) or ranked[0].text}: {wrong:.0%} likely to be wrong.",
        unit="probability",
        observed=round(wrong, 4),
        threshold=least,
        probability=float(f"{np.prod([step.share for step in ranked]):.3g}"),
    )


def _one_in(share: float) -> str:
    return f"1 in {round(1 / max(share, 1e-9)):,} deliveries"


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

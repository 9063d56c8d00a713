"""What is said about a parcel that customs keep for too long."""

from typing import Final

from detectors.decisions import CustomsOverdue, CustomsReason, Evidence, decision_id, instant
from detectors.stalls import DAY_SECONDS, Facts, span

CUSTOMS_MODEL: Final = "customs/1"


def customs_overdue(
    facts: Facts, *, epoch: int, since: float, due: float, days: float, config: str
) -> CustomsOverdue:
    """Return the decision that a parcel has been in customs since `since`, for over `days`.

    What customs waited for the customer is no part of it.
    """
    reason = CustomsReason.OVER_7_DAYS
    began = f"{epoch}:{instant(since).isoformat()}"
    identity = decision_id("customs.overdue", facts["subject"], reason, began)
    return CustomsOverdue(
        **facts,
        decision_id=identity,
        episode_id=identity,
        decided_at=instant(due),
        occurred_at=instant(since),
        customs_since=instant(since),
        reason=reason,
        evidence=Evidence(
            text=f"In customs for {span(due - since)}; more than {days:g} days is overdue.",
            unit="days",
            observed=round((due - since) / DAY_SECONDS, 3),
            threshold=days,
            segment=f"customs over {days:g} days",
            observations=0,
            model=CUSTOMS_MODEL,
            config=config,
        ),
    )

"""Delivery scans, judged against what is usual and then learned from."""

import numpy as np

from detectors.decisions import (
    Evidence,
    SignoffAbnormal,
    SignoffReason,
    decision_id,
    instant,
)
from detectors.events import Milestone
from detectors.parcel_table import Block, Flag, ParcelTable, has, some
from detectors.sayings import Sayings
from detectors.scan_columns import LOST, MILESTONES, RETURNED, RETURNING, Index, Seconds
from detectors.scans import Scans
from detectors.signoff import MODEL, LastStep, SignOff, Suspicion, suspicion, together
from detectors.stalls import span
from detectors.usual import Usual

_SHORT = 2.0
"""A last leg is short below so many times what hardly any takes less than."""


class Deliveries:
    """Says which sign-offs are hard to believe; few are, so only those are looked at closely."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        said: Sayings,
        *,
        least_attempted_share: float,
        least_wrong_probability: float,
        config_version: str,
    ) -> None:
        self._parcels, self._usual, self._said = parcels, usual, said
        self._steps = usual.last_steps
        self._least_share = least_attempted_share
        self._least_wrong = least_wrong_probability
        self._config_version = config_version

    def judge(self, scans: Scans, events: Index, block: Block) -> None:
        """Judge deliveries of parcels seen before, then learn from them; at most one a parcel."""
        seen = has(block["flags"], Flag.SEEN)
        if np.count_nonzero(seen) < len(seen):
            events, block = events[seen], some(block, seen)
        if len(events) == 0:
            return
        attempted = has(block["flags"], Flag.ATTEMPTED)
        destination, region = block["destination"], scans.region[events]
        carrier, lane = block["carrier"].astype(np.int64), block["lane"].astype(np.int64)
        measured = (block["outside_at"] != 0) & (destination != 0)
        took = scans.at[events] - block["outside_at"]
        odd = (destination != 0) & (region != 0) & (region != destination)
        odd |= block["stage"] == RETURNING
        if np.count_nonzero(measured):
            odd |= measured & (took < self._usual.soonest(lane))
        if np.count_nonzero(attempted) < len(attempted):
            odd |= ~attempted & self._steps.usually_attempted(carrier, self._least_share)
        gap = scans.at[events] - block["last_at"]
        shares = self._shares(block, region, gap, took)
        odd |= self._steps.model.probability(shares) >= self._least_wrong
        if np.count_nonzero(odd):
            self._parcels.put(scans.rows[events[odd]], some(block, odd))
            for event in events[odd].tolist():
                self.judge_one(scans, event)
        self._steps.learn(block, region, gap)
        self._usual.learn_legs(lane[measured], took[measured])
        began = block["began"] != 0
        self._usual.learn_journeys(lane[began], scans.at[events][began] - block["began"][began])
        unasked = (block["promised"] != 0) & ~has(block["flags"], Flag.PROMISE_ASKED)
        self._usual.journeys.arrived(int(np.count_nonzero(unasked)))

    def _shares(self, block: Block, region: Index, gap: Seconds, took: Seconds) -> list[Seconds]:
        """Return the shares of usual deliveries as odd as each, step by step.

        A last leg is looked at closely only where it is short: few are, and lanes are many.
        """
        lane = block["lane"].astype(np.int64)
        short = (block["outside_at"] != 0) & (block["destination"] != 0)
        short &= took < _SHORT * self._usual.soonest(lane)
        legs = np.full(len(block), np.nan)
        if np.count_nonzero(short):
            legs[short] = self._usual.leg_shares(lane[short], took[short])
        return [*self._steps.shares(block, region, gap), legs]

    def judge_one(self, scans: Scans, event: int) -> None:
        """Say so when the delivery at a position of the batch breaks a rule."""
        state, row = self._parcels, int(scans.rows[event])
        facts, record = state.facts(row), state.rows[row]
        outside, stage = float(record["outside_at"]), int(record["stage"])
        share, deliveries = self._steps.attempted(int(record["carrier"]))
        measured = outside != 0 and facts["destination_region"] is not None
        soonest = float(self._usual.soonest(np.array([record["lane"]], np.int64))[0])
        found = suspicion(
            SignOff(
                returning=stage in {RETURNING, RETURNED},
                lost=stage == LOST,
                attempted=bool(record["flags"] & Flag.ATTEMPTED),
                region=scans.columns.regions[event],
                destination=facts["destination_region"],
                seconds=float(scans.at[event]) - outside if measured else None,
                soonest=None if np.isnan(soonest) else soonest,
                attempted_share=share,
                deliveries=deliveries,
            ),
            self._least_share,
        )
        steps, wrong = self._together(scans, event)
        found = found or together(steps, wrong, self._least_wrong)
        if found is not None:
            self._say(scans, event, found, wrong if steps else None)

    def _together(self, scans: Scans, event: int) -> tuple[list[LastStep], float]:
        """Return the steps of a delivery that are known, and how likely it is wrong."""
        block = self._parcels.gather(scans.rows[[event]])
        at = scans.at[[event]]
        gap, took = at - block["last_at"], at - block["outside_at"]
        shares = self._shares(block, scans.region[[event]], gap, took)
        wrong = float(self._steps.model.probability(shares)[0])
        said = _said_of(block[0], scans.columns.regions[event], float(gap[0]), float(took[0]))
        known = zip(said, (float(share[0]) for share in shares), strict=True)
        steps = [
            LastStep(reason=reason, text=text, share=share)
            for (reason, text), share in known
            if not np.isnan(share)
        ]
        return steps, wrong

    def _say(self, scans: Scans, event: int, found: Suspicion, wrong: float | None) -> None:
        row, at = int(scans.rows[event]), float(scans.at[event])
        facts = self._parcels.facts(row) | {
            "milestone": Milestone.DELIVERED,
            "facility": scans.columns.facilities[event],
            "region": scans.columns.regions[event],
        }
        began = f"{int(self._parcels.rows['epoch'][row])}:{instant(at).isoformat()}"
        identity = decision_id("signoff.abnormal", facts["subject"], found.reason, began)
        decision = SignoffAbnormal(
            **facts,
            decision_id=identity,
            episode_id=identity,
            decided_at=instant(float(scans.clock[event])),
            occurred_at=instant(at),
            reason=found.reason,
            wrong_probability=None if wrong is None else float(f"{wrong:.3g}"),
            evidence=Evidence(
                text=found.text,
                unit=found.unit,
                observed=found.observed,
                threshold=found.threshold,
                probability=found.probability,
                segment=f"{facts['carrier']} sign-offs",
                observations=found.observations,
                model=MODEL,
                config=self._config_version,
            ),
        )
        self._said.say(event, decision)


def _said_of(
    record: np.void, region: str | None, gap_seconds: float, took_seconds: float
) -> list[tuple[SignoffReason, str]]:
    """Return, for each step, the reason of an odd one and how it reads after `Delivered `."""
    stage = int(record["stage"])
    before = MILESTONES[stage - 1].value.replace("_", " ") if stage else "no scan"
    if int(record["flags"]) & Flag.TURNED_BACK:
        way = SignoffReason.AFTER_RETURNING, f"after it had turned back and {before}"
    elif not int(record["flags"]) & Flag.ATTEMPTED:
        text = f"after {before}, without having been out for delivery"
        way = SignoffReason.WITHOUT_OUT_FOR_DELIVERY, text
    else:
        way = SignoffReason.UNUSUAL_STEP, f"after {before}"
    return [
        way,
        (SignoffReason.IMPLAUSIBLY_SOON, f"{span(gap_seconds)} after its last scan"),
        (SignoffReason.OTHER_REGION, f"in {region}"),
        (SignoffReason.IMPLAUSIBLY_SOON, f"{span(took_seconds)} after its first scan"),
    ]

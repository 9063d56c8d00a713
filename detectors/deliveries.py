"""Delivery scans, judged against what is usual and then learned from."""

import numpy as np

from detectors.decisions import Evidence, SignoffAbnormal, decision_id, instant
from detectors.events import Milestone
from detectors.parcel_table import Block, Flag, ParcelTable, has, some
from detectors.sayings import Sayings
from detectors.scan_columns import LOST, RETURNED, RETURNING, Index
from detectors.scans import Scans
from detectors.signoff import MODEL, SignOff, Suspicion, suspicion
from detectors.usual import Usual


class Deliveries:
    """Says which sign-offs are hard to believe; few are, so only those are looked at closely."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        said: Sayings,
        *,
        least_attempted_share: float,
        config_version: str,
    ) -> None:
        self._parcels, self._usual, self._said = parcels, usual, said
        self._least_share = least_attempted_share
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
            odd |= ~attempted & self._usual.usually_attempted(carrier, self._least_share)
        if np.count_nonzero(odd):
            self._parcels.put(scans.rows[events[odd]], some(block, odd))
            for event in events[odd].tolist():
                self.judge_one(scans, event)
        self._usual.learn_attempts(carrier, attempted)
        self._usual.learn_legs(lane[measured], took[measured])

    def judge_one(self, scans: Scans, event: int) -> None:
        """Say so when the delivery at a position of the batch breaks a rule."""
        state, row = self._parcels, int(scans.rows[event])
        facts, record = state.facts(row), state.rows[row]
        outside, stage = float(record["outside_at"]), int(record["stage"])
        share, deliveries = self._usual.attempted(int(record["carrier"]))
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
        if found is not None:
            self._say(scans, event, found)

    def _say(self, scans: Scans, event: int, found: Suspicion) -> None:
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

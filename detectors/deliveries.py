"""Delivery scans, judged against what is usual and then learned from."""

import numpy as np

from detectors.decisions import Evidence, SignoffAbnormal, decision_id, instant
from detectors.events import Milestone
from detectors.parcel_table import CODE, Flag, ParcelTable
from detectors.sayings import Sayings
from detectors.scan_columns import RETURNING, Index, Scans
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

    def judge(self, scans: Scans, events: Index) -> None:
        """Judge deliveries of parcels seen before, then learn from them; at most one a parcel."""
        state = self._parcels
        events = events[state["flags"][scans.rows[events]] & np.uint8(Flag.SEEN) != 0]
        if len(events) == 0:
            return
        rows = scans.rows[events]
        attempted = state["flags"][rows] & np.uint8(Flag.ATTEMPTED) != 0
        measured = (state["outside_at"][rows] != 0) & (state.destination[rows] != 0)
        took = scans.at[events] - state["outside_at"][rows]
        region = scans.region[events]
        odd = measured & (region != 0) & (region != state.destination[rows])
        odd |= state["stage"][rows] == RETURNING
        if np.count_nonzero(measured):
            odd |= measured & (took < self._usual.soonest(rows))
        if np.count_nonzero(attempted) < len(attempted):
            usual = self._usual.usually_attempted(state.carrier[rows], self._least_share)
            odd |= ~attempted & usual
        for event in events[odd].tolist():
            self.judge_one(scans, event)
        carriers = [state.carriers[number] for number in state.carrier[rows].tolist()]
        self._usual.attempts.learn_many(carriers, attempted)
        self._usual.learn_legs(rows[measured], took[measured])

    def judge_one(self, scans: Scans, event: int) -> None:
        """Say so when the delivery at a position of the batch breaks a rule."""
        state, row = self._parcels, int(scans.rows[event])
        facts = state.facts(row)
        outside, stage = float(state["outside_at"][row]), int(state["stage"][row])
        share, deliveries = self._usual.attempts.share(facts["carrier"])
        measured = outside != 0 and facts["destination_region"] is not None
        soonest = float(self._usual.soonest(np.array([row]))[0])
        found = suspicion(
            SignOff(
                returning=stage in {RETURNING, CODE[Milestone.RETURNED]},
                lost=stage == CODE[Milestone.LOST],
                attempted=bool(state["flags"][row] & Flag.ATTEMPTED),
                region=scans.regions[event],
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
            "facility": scans.facilities[event],
            "region": scans.regions[event],
        }
        began = f"{int(self._parcels['epoch'][row])}:{instant(at).isoformat()}"
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

"""A whole world at once: parcels, scans, complaints and the truth behind them."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from simulator.calendars import Hours
from simulator.complaints import Complaints, draw_complaints
from simulator.encode import Encoder, Record
from simulator.journey import Planner, Step, Walk, draw_scores, facility_names, plan_hub_steps
from simulator.kinds import WorldKind
from simulator.parcels import Index, Parcels, draw_parcels
from simulator.pooled import plan_pooled_steps
from simulator.scans import Scans, counts_by_carrier, happened, heard
from simulator.scheduled import plan_scheduled_steps
from simulator.teller import TruthTeller
from simulator.trouble import Plan, draw_plan
from simulator.truth import Truth
from simulator.walk import Walker, cut_signoffs, plant, promises
from simulator.world import START, World, draw_world


class Stream(StrEnum):
    """Which topic or file a record belongs to."""

    TRACKING = "tracking"
    COMPLAINTS = "complaints"


@dataclass(frozen=True, slots=True)
class Simulation:
    """One world, played to its end."""

    world: World
    parcels: Parcels
    scans: Scans
    complaints: Complaints
    truth: list[Truth]
    plan: Plan
    promised: Hours
    steps: list[Step]
    walk: Walk
    walker: Walker
    hidden: list[Index]
    """Parcels of which each silence of the plan held scans back."""

    def tracking_records(self) -> Iterator[Record]:
        """Yield the scans in order of arrival."""
        return self._encoder().tracking(self.scans)

    def complaint_records(self) -> Iterator[Record]:
        """Yield the complaints in order of arrival."""
        return self._encoder().complaints(self.complaints)

    def records(self) -> Iterator[tuple[Stream, Record]]:
        """Yield scans and complaints together, in order of arrival."""
        tracking = ((Stream.TRACKING, record) for record in self.tracking_records())
        complaints = ((Stream.COMPLAINTS, record) for record in self.complaint_records())
        return heapq.merge(tracking, complaints, key=lambda pair: pair[1][2])

    def truth_lines(self) -> Iterator[bytes]:
        """Yield the truth by time."""
        return (msgspec.json.encode(truth) for truth in self.truth)

    def describe(self) -> dict[str, Any]:
        """Return what world.json holds: the world drawn, and what came of it."""
        by_carrier = counts_by_carrier(self.world, self.parcels, self.scans).tolist()
        kinds: dict[str, int] = {}
        for truth in self.truth:
            kinds[truth.kind] = kinds.get(truth.kind, 0) + 1
        return {
            "world": msgspec.to_builtins(self.world),
            "learning_until": self.world.moment(self.world.learning_hours),
            "end": self.world.moment(self.world.end_hours),
            "tracking_events": len(self.scans),
            "complaints": len(self.complaints),
            "scans_by_carrier": dict(
                zip((c.name for c in self.world.carriers), by_carrier, strict=True)
            ),
            "truth": dict(sorted(kinds.items())),
        }

    def _encoder(self) -> Encoder:
        return Encoder(self.world, self.parcels, self.promised)


_PLANNERS: dict[WorldKind, Planner] = {
    WorldKind.SCHEDULED: plan_scheduled_steps,
    WorldKind.POOLED: plan_pooled_steps,
}
"""All other kinds have routes over hubs."""


def simulate(
    parcels: int,
    days: int,
    seed: int,
    start: datetime = START,
    kind: WorldKind = WorldKind.DEMO,
) -> Simulation:
    """Play the world of a seed; the same arguments give the same events, byte for byte."""
    world = draw_world(parcels, days, seed, start, kind)
    ordered = draw_parcels(world)
    steps = _PLANNERS.get(kind, plan_hub_steps)(world, ordered)
    plan = draw_plan(world, ordered, steps)
    scores = draw_scores(world, ordered, steps)
    promised = promises(world, ordered, steps, Walker(world, ordered, steps).walk(scores))
    times = plant(scores, plan.parcels)
    walker = Walker(world, ordered, steps, plan)
    walk = walker.walk(scores, times)
    extra = cut_signoffs(walk, steps, ordered, plan.parcels)
    scans, hidden = heard(
        world, ordered, happened(world, ordered, steps, walk, extra), plan.silences
    )
    due = np.where(ordered.promised, promised, promised + 24)
    complaints = draw_complaints(world, ordered, walk, due, plan.parcels, plan.surges)
    teller = TruthTeller(world, ordered, steps, facility_names(world))
    truth = teller.tell(plan, walk, walker, extra, complaints, hidden)
    return Simulation(
        world, ordered, scans, complaints, truth, plan, promised, steps, walk, walker, hidden
    )

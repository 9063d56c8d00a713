"""Sections A and D: one world at a time, our detector beside the anchors."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from benchmarks.stalls.anchors import fixed_hours, lane_quantile, stage_quantile
from benchmarks.stalls.episodes import Episodes, episodes
from benchmarks.stalls.judged import Judged
from benchmarks.stalls.oracle import oracle
from benchmarks.stalls.product import EXPERTS, configured, decide, stalls_said
from benchmarks.stalls.scoring import Score, score
from simulator.kinds import WorldKind
from simulator.simulation import simulate

ANCHORS: Mapping[str, Callable[[Judged], Score]] = {
    "oracle": oracle,
    "stage": stage_quantile,
    "lane": lane_quantile,
    "fixed": fixed_hours,
}


class WorldResult(msgspec.Struct, kw_only=True):
    """What came of one world."""

    kind: WorldKind
    seed: int
    parcels: int
    days: int
    scans: int
    ours: Score
    others: list[Score]
    """Anchors, and our detector with changes, each in the same world."""
    episodes: list[Episodes]


def run_world(
    kind: WorldKind,
    seed: int,
    *,
    parcels: int,
    days: int,
    partitions: int = 1,
    anchors: bool = True,
    experts: bool = False,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> WorldResult:
    """Play a world and judge every detector in it."""
    judged = Judged(simulate(parcels, days, seed, kind=kind))
    ours, said = _ours("forewarn", judged, None, partitions)
    changed = {**(EXPERTS if experts else {}), **(variants or {})}
    others = [_ours(name, judged, change, partitions)[0] for name, change in changed.items()]
    if anchors:
        others += [_timed(anchor, judged) for anchor in ANCHORS.values()]
    return WorldResult(
        kind=kind,
        seed=seed,
        parcels=parcels,
        days=days,
        scans=len(judged.simulation.scans),
        ours=ours,
        others=others,
        episodes=said,
    )


def _ours(
    name: str, judged: Judged, changes: Mapping[str, Any] | None, partitions: int
) -> tuple[Score, list[Episodes]]:
    began = time.process_time()
    decisions = decide(judged.simulation, configured(changes), partitions)
    found = score(name, judged, stalls_said(judged, decisions))
    found.seconds = time.process_time() - began
    return found, episodes(judged, decisions)


def _timed(anchor: Callable[[Judged], Score], judged: Judged) -> Score:
    began = time.process_time()
    found = anchor(judged)
    found.seconds = time.process_time() - began
    return found

"""Flags are scored as section A says."""

from functools import cache

import numpy as np
import pytest

from benchmarks.stalls.anchors import _quantiles, flags, stage_quantile
from benchmarks.stalls.judged import Judged
from benchmarks.stalls.oracle import oracle
from benchmarks.stalls.scoring import Said, score
from simulator.kinds import WorldKind
from simulator.simulation import simulate


@cache
def _judged(kind: WorldKind = WorldKind.SIMPLE) -> Judged:
    return Judged(simulate(3000, 50, 5, kind=kind))


def _said(flagged: dict[int, float]) -> Said:
    return Said(
        np.array(list(flagged), np.int64),
        np.array(list(flagged.values()), np.float64),
        ["arrived"] * len(flagged),
    )


def test_who_knows_all_finds_all() -> None:
    """A flag one 99th percentile after each trouble began: all found, delay 1, none false."""
    judged = _judged()
    after = judged.simulation.walker.after
    steps = judged.simulation.steps
    flagged = {
        who: after(steps[each.trouble.step], who, each.began, 1.0) + 1e-6
        for who, each in judged.planted.items()
    }
    found = score("all", judged, _said(flagged))
    assert found.planted > 15
    assert found.recall == 1
    assert found.false == 0
    assert found.delay == pytest.approx(1, abs=0.01)
    assert sum(missed for _, missed in found.missed_by_stage.values()) == 0


def test_too_early_and_too_late_are_not_found() -> None:
    """A flag counts neither before the trouble began nor after its time is over."""
    judged = _judged()
    early = {who: each.began - 0.1 for who, each in judged.planted.items()}
    late = {who: each.until + 0.1 for who, each in judged.planted.items()}
    assert score("early", judged, _said(early)).found == 0
    assert score("late", judged, _said(late)).found == 0


def test_false_flags_are_those_on_healthy_parcels_once_learned() -> None:
    """Neither victims nor flags of the time of learning count; twice flagged counts once."""
    judged = _judged()
    healthy = np.flatnonzero(judged.healthy)[:10].tolist()
    victims = np.flatnonzero(next(iter(judged.victims.values())))[:5].tolist()
    flagged = dict.fromkeys([*healthy, *victims], judged.learned + 1)
    once = _said(flagged)
    twice = Said(np.tile(once.parcel, 2), np.tile(once.at, 2), ["arrived"] * 30)
    found = score("some", judged, twice)
    assert found.false == 10
    assert found.false_by_stage == {"arrived": 10}
    assert next(iter(found.victims.values()))[1] == 5
    before = score("soon", judged, _said(dict.fromkeys(healthy, judged.learned - 1)))
    assert before.false == 0


def test_the_oracle_beats_a_quantile() -> None:
    """Whoever knows the true distributions finds more at the same false flags."""
    perfect, stage = oracle(_judged()), stage_quantile(_judged())
    assert perfect.recall > max(0.9, stage.recall)
    assert perfect.false_in_1000 <= 8
    assert stage.curve == sorted(stage.curve)


def test_silences_end_when_anything_later_is_heard() -> None:
    """A late scan does not make its parcel look silent while later ones had arrived."""
    dwells = _judged(WorldKind.HARD).dwells
    assert np.all(dwells.ended >= dwells.began)
    same = dwells.parcel[1:] == dwells.parcel[:-1]
    assert np.all(dwells.silent_until[:-1][same] <= dwells.heard[1:][same])
    never = flags(_judged(WorldKind.HARD), np.full(len(dwells), 1e9))
    assert len(never.parcel) == 0


def test_quantiles_by_segment() -> None:
    """Each segment has its own quantile; those seen too seldom have none."""
    segment = np.array([0] * 100 + [1] * 3)
    took = np.concatenate([np.arange(100.0), np.arange(3.0)])
    found = _quantiles(segment, took, 0.9, 10, 3)
    assert found[0] == 90
    assert np.isnan(found[1:]).all()

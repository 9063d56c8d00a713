"""Worlds are reproducible, causal and labelled."""

import re
from collections import defaultdict
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import Complaint, Milestone, TrackingEvent
from simulator.kinds import WorldKind
from simulator.simulation import Simulation, simulate
from simulator.trouble import Kind
from simulator.truth import Truth

_event = msgspec.json.Decoder(TrackingEvent).decode
_complaint = msgspec.json.Decoder(Complaint).decode


def _bytes(simulation: Simulation) -> list[bytes]:
    tracking = [value for _, value, _ in simulation.tracking_records()]
    complaints = [value for _, value, _ in simulation.complaint_records()]
    return [*tracking, *complaints, *simulation.truth_lines()]


def _events(simulation: Simulation) -> list[TrackingEvent]:
    return [_event(value) for _, value, _ in simulation.tracking_records()]


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(parcels=3000, days=34, seed=7)


def test_same_seed_same_bytes() -> None:
    """The same arguments give the same lines, another seed gives others."""
    first = _bytes(simulate(300, 20, 5))
    assert first == _bytes(simulate(300, 20, 5))
    assert first != _bytes(simulate(300, 20, 6))


def test_worlds_differ_by_seed() -> None:
    """Each seed draws carriers and regions of its own, within the family's bounds."""
    worlds = [simulate(300, 20, seed).world for seed in range(5)]
    assert len({msgspec.json.encode(each.carriers) for each in worlds}) == 5
    assert all(3 <= len(each.carriers) <= 8 and 10 <= len(each.regions) <= 40 for each in worlds)
    assert sum(region.share for region in worlds[0].regions) == pytest.approx(1, abs=1e-3)


@settings(max_examples=24, deadline=None)
@given(
    parcels=st.integers(1, 250),
    days=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(WorldKind),
)
def test_every_world_is_causal(parcels: int, days: int, seed: int, kind: WorldKind) -> None:
    """Scans arrive after they happened, in order of arrival, and a parcel's life runs forward."""
    simulation = simulate(parcels, days, seed, kind=kind)
    events = _events(simulation)
    arrivals = [at for _, _, at in simulation.tracking_records()]
    assert arrivals == sorted(arrivals)
    lives: dict[str, dict[str, TrackingEvent]] = defaultdict(dict)
    for event, at in zip(events, arrivals, strict=True):
        assert event.received_at is not None
        assert event.received_at >= event.occurred_at
        assert event.received_at.timestamp() * 1000 == at
        lives[event.key].setdefault(event.event_id, event)
    for life in lives.values():
        _check_life(list(life.values()))
    for key, value, at in simulation.complaint_records():
        complaint = _complaint(value)
        assert complaint.key.encode() == key
        assert complaint.received_at is not None
        assert complaint.occurred_at.timestamp() * 1000 <= at


def _check_life(life: list[TrackingEvent]) -> None:
    """Check one parcel: numbered scans run forward in time, from its label to its delivery."""
    numbered = sorted(life, key=lambda event: int(event.event_id[1:], 16))
    times = [event.occurred_at for event in numbered]
    assert times == sorted(times)
    labels = [event for event in numbered if event.milestone is Milestone.LABEL_CREATED]
    assert len(labels) <= 1
    if labels:
        assert numbered[0] is labels[0]
        assert labels[0].destination_region is not None
        assert labels[0].promised_at is None or labels[0].promised_at > labels[0].occurred_at
    delivered = [event for event in numbered if event.milestone is Milestone.DELIVERED]
    assert len(delivered) <= 1
    assert not delivered or numbered[-1] is delivered[0]


def test_habits_of_scanning_show(world: Simulation) -> None:
    """About 3 % of scans are doubled, some arrive out of order, and all ids are their parcel's."""
    events = _events(world)
    doubled = len(events) - len({event.event_id for event in events})
    assert 0.02 < doubled / len(events) < 0.04
    by_parcel: dict[str, list[TrackingEvent]] = defaultdict(list)
    for event in events:
        by_parcel[event.key].append(event)
    disordered = sum(
        any(a.occurred_at > b.occurred_at for a, b in pairwise(life)) for life in by_parcel.values()
    )
    assert disordered > len(by_parcel) * 0.02
    assert len({event.carrier for event in events}) == len(world.world.carriers)


def test_every_kind_of_trouble_is_planted_and_labelled(world: Simulation) -> None:
    """The truth has every kind, with what a judge of detections needs."""
    by_kind: dict[Kind, list[Truth]] = defaultdict(list)
    for truth in world.truth:
        by_kind[truth.kind].append(truth)
    elsewhere = {
        Kind.FEED_LOSSY, Kind.CLOSURE, Kind.SLOW_DOWN, Kind.NEW_CARRIER, Kind.NEW_ORIGIN
    }  # fmt: skip
    assert set(by_kind) == set(Kind) - elsewhere
    start = world.world.moment(world.world.learning_hours)
    for kind in (Kind.STUCK, Kind.LOST, Kind.NO_PICKUP):
        for truth in by_kind[kind]:
            assert truth.began_at >= start
            assert truth.p99_at is None or truth.p99_at > truth.began_at
            assert truth.ended_at is None or truth.p99_at is None or truth.ended_at > truth.p99_at
            assert truth.subject == f"parcel/{truth.carrier}/{truth.parcel_id}"
    assert all(truth.ended_at is None for truth in by_kind[Kind.LOST])
    assert all(re.fullmatch("delivered_.*", t.reason or "") for t in by_kind[Kind.ABNORMAL_SIGNOFF])


def test_stuck_parcels_are_silent_while_they_are_stuck(world: Simulation) -> None:
    """No scan of a planted parcel happens between the start and the end of its trouble."""
    silences = {
        truth.subject.removeprefix("parcel/"): truth
        for truth in world.truth
        if truth.kind in (Kind.STUCK, Kind.LOST, Kind.NO_PICKUP)
    }
    for event in _events(world):
        truth = silences.get(event.key)
        if truth is None:
            continue
        late_end = truth.ended_at or world.world.moment(1e5)
        assert not truth.began_at < event.occurred_at < late_end


def test_a_silent_feed_is_silent(world: Simulation) -> None:
    """Nothing of the carrier arrives while its feed is silent, and a burst follows."""
    silence = next(truth for truth in world.truth if truth.kind is Kind.FEED_SILENT)
    assert silence.ended_at is not None
    arrivals = [e.received_at for e in _events(world) if e.carrier == silence.carrier]
    assert not [at for at in arrivals if at and silence.began_at < at < silence.ended_at]
    burst = [at for at in arrivals if at and 0 <= (at - silence.ended_at).total_seconds() < 2400]
    assert len(burst) > 20


def test_lateness_is_followed_by_complaints(world: Simulation) -> None:
    """Owners of stuck parcels complain far more often than others, and only after it began."""
    stuck = [t for t in world.truth if t.kind in (Kind.STUCK, Kind.LOST)]
    complained = [t for t in stuck if t.complained_at is not None]
    assert len(complained) / len(stuck) > 0.25
    assert all(t.complained_at and t.complained_at >= t.began_at for t in complained)
    assert len(world.complaints) / world.world.parcels < 0.25


def test_a_surge_stands_out(world: Simulation) -> None:
    """A planted surge brings its complaints, all of its region and category, within its time."""
    complaints = [_complaint(value) for _, value, _ in world.complaint_records()]
    for truth in (t for t in world.truth if t.kind is Kind.COMPLAINT_SURGE):
        assert truth.ended_at is not None
        inside = [
            c for c in complaints
            if c.region == truth.region and c.category == truth.category
            and truth.began_at <= c.occurred_at <= truth.ended_at
        ]  # fmt: skip
        assert len(inside) >= (truth.complaints or 0) * 0.9 > 0


def test_what_arrives_after_the_end_is_not_written(world: Simulation) -> None:
    """The stream ends with the world."""
    end = world.world.end_hours * 3600
    assert int(world.scans.received.max()) < end
    assert int(world.complaints.received.max()) < end
    assert np.all(np.diff(world.scans.received) >= 0)


@pytest.mark.parametrize(("parcels", "days", "seed"), [(0, 5, 1), (5, 0, 1), (5, 5, -1)])
def test_impossible_worlds_are_refused(parcels: int, days: int, seed: int) -> None:
    """A world needs parcels, days and a seed."""
    with pytest.raises(ValueError, match="a world needs"):
        simulate(parcels, days, seed)

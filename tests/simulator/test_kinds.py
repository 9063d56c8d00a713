"""Each kind of world has what its table promises."""

from collections import Counter, defaultdict
from functools import cache

import msgspec
import numpy as np
import pytest

from detectors.events import Milestone, TrackingEvent
from simulator.kinds import WorldKind
from simulator.simulation import Simulation, simulate
from simulator.trouble import Kind
from simulator.truth import Truth

_event = msgspec.json.Decoder(TrackingEvent).decode


@cache
def _world(kind: WorldKind) -> Simulation:
    return simulate(4000, 60, 3, kind=kind)


@cache
def _events(kind: WorldKind) -> list[TrackingEvent]:
    return [_event(value) for _, value, _ in _world(kind).tracking_records()]


def _truths(kind: WorldKind, of: Kind) -> list[Truth]:
    return [truth for truth in _world(kind).truth if truth.kind is of]


def test_worlds_of_other_kinds_are_other_worlds() -> None:
    """The same seed gives each kind carriers and regions of its own."""
    drawn = {msgspec.json.encode(_world(kind).world.carriers) for kind in WorldKind}
    assert len(drawn) == len(WorldKind)


@pytest.mark.parametrize("kind", WorldKind)
def test_trouble_ends_and_is_judged_in_working_time(kind: WorldKind) -> None:
    """A parcel that moves on does so after its 99th percentile; three times that lies beyond."""
    stuck = [t for t in _truths(kind, Kind.STUCK) if t.p99_at and t.judged_until]
    assert len(stuck) > 5
    for truth in stuck:
        assert truth.p99_at is not None
        assert truth.judged_until is not None
        assert truth.began_at < truth.p99_at < truth.judged_until
        assert truth.ended_at is None or truth.ended_at > truth.p99_at
        assert (truth.p99_working_seconds or 0) > 0


@pytest.mark.parametrize("kind", WorldKind)
def test_what_began_is_told_in_units_of_its_percentile(kind: WorldKind) -> None:
    """At `p99_at` one 99th percentile has passed, at `judged_until` about three."""
    world = _world(kind)
    for trouble in (t for t in world.plan.parcels if t.kind is Kind.STUCK):
        step, parcel = world.steps[trouble.step], trouble.parcel
        began = float(world.walk.began[trouble.step, parcel])
        due = world.walker.after(step, parcel, began, 1.0)
        late = world.walker.after(step, parcel, began, 3.0)
        if np.isfinite(late):
            assert world.walker.in_p99(step, parcel, began, due) == pytest.approx(1.0)
            assert world.walker.in_p99(step, parcel, began, late) >= 2.99


def test_a_simple_world_makes_every_scan() -> None:
    """Nothing is skipped and nothing lost: who was delivered before the end has all scans."""
    kind = WorldKind.SIMPLE
    hidden = {truth.subject for truth in _world(kind).truth}
    scans: dict[str, list[Milestone]] = defaultdict(list)
    for event in {event.event_id: event for event in _events(kind)}.values():
        scans[event.key].append(event.milestone)
    done = [seen for key, seen in scans.items() if f"parcel/{key}" not in hidden]
    done = [seen for seen in done if Milestone.DELIVERED in seen]
    assert len(done) > 1000
    assert all(seen.count(Milestone.ARRIVED) == seen.count(Milestone.DEPARTED) for seen in done)


def test_a_hard_world_has_all_its_incidents() -> None:
    """Holiday, slowed carrier, lossy feed and newcomers are planted and told."""
    kind = WorldKind.HARD
    for of in (Kind.CLOSURE, Kind.SLOW_DOWN, Kind.FEED_LOSSY, Kind.NEW_CARRIER, Kind.NEW_ORIGIN):
        assert _truths(kind, of), of
    reasons = {truth.reason for truth in _truths(kind, Kind.VICTIM)}
    assert reasons >= {Kind.CLOSURE, Kind.FEED_LOSSY, Kind.FEED_SILENT}


def test_nobody_moves_on_a_holiday() -> None:
    """On the day of the closure only the road goes on."""
    (closure,) = _truths(WorldKind.HARD, Kind.CLOSURE)
    assert closure.ended_at is not None
    inside = Counter(
        event.milestone
        for event in _events(WorldKind.HARD)
        if closure.began_at < event.occurred_at < closure.ended_at
    )
    assert inside[Milestone.ARRIVED] > 0
    busy = (Milestone.PICKED_UP, Milestone.DEPARTED, Milestone.OUT_FOR_DELIVERY)
    assert not any(inside[milestone] for milestone in busy)


def test_newcomers_carry_nothing_before_they_start() -> None:
    """No scan of the new carrier and none from the new origins before they open."""
    kind = WorldKind.HARD
    opens = {t.subject: t.began_at for t in _truths(kind, Kind.NEW_CARRIER)}
    opens |= {t.subject: t.began_at for t in _truths(kind, Kind.NEW_ORIGIN)}
    for event in _events(kind):
        subjects = [f"carrier/{event.carrier}", f"region/{event.origin_region}"]
        assert all(event.occurred_at >= opens.get(each, event.occurred_at) for each in subjects)


def test_a_scheduled_world_leaves_by_the_clock() -> None:
    """A carrier's trucks leave a station at one local hour; two carriers are terse."""
    world, kind = _world(WorldKind.SCHEDULED), WorldKind.SCHEDULED
    truck = world.walk.ended[1]
    zone = np.array([region.utc_hours for region in world.world.regions])
    gone = np.isfinite(truck)
    local = (truck[gone] + zone[world.parcels.origin[gone]]) % 24
    for number in range(len(world.world.carriers)):
        mine = local[world.parcels.carrier[gone] == number]
        assert np.ptp(mine) < 0.31
    facilities, regions = defaultdict(set), defaultdict(set)
    for event in _events(kind):
        if event.milestone is not Milestone.LABEL_CREATED:
            facilities[event.carrier].add(event.facility)
            regions[event.carrier].add(event.region)
    assert sum(named == {None} for named in facilities.values()) == 1
    assert sum(named == {None} for named in regions.values()) == 1
    assert Milestone.AT_PICKUP_POINT in {event.milestone for event in _events(kind)}


def test_a_pooled_world_sends_containers() -> None:
    """Economy parcels leave a hub together, others by themselves; services are named."""
    services = {event.service_level for event in _events(WorldKind.POOLED)} - {None}
    assert services == {"standard", "express", "economy", "appointment"}
    world = _world(WorldKind.POOLED)
    gone = next(n for n, step in enumerate(world.steps) if step.usual_hours[0] == 20.0)
    ended = world.walk.ended[gone]
    sent = np.isfinite(ended)
    assert np.median(ended[sent] - world.walk.began[gone][sent]) > 15


def test_slow_downs_slow_what_they_name() -> None:
    """During a slow-down by 4 its steps take several times as long as before."""
    world = _world(WorldKind.SLOWING)
    slow = next(s for s in world.plan.slow_downs if s.factor == 4 and s.carrier >= 0)
    assert {s.factor for s in world.plan.slow_downs} == {1.5, 2.0, 4.0}
    mine = (world.parcels.carrier == slow.carrier) & np.isfinite(world.walk.ended[-1])
    began = world.walk.began[-1][mine]
    took = world.walk.ended[-1][mine] - began
    during = (began >= slow.began) & (began < slow.ended)
    assert np.median(took[during]) > 2.5 * np.median(took[began < slow.began])

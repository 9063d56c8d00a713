"""The generator of benchmarks: determinism, validity, order, density, and what is planted."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from benchmarks.in_flight import Population
from benchmarks.pacing import condemned
from benchmarks.traffic import (
    START,
    STEPS,
    Block,
    attributes,
    complaints,
    misdelivered,
    traffic,
)
from detectors.events import Milestone, TrackingEvent
from pipeline.records import RawRecord, read_complaints, read_tracking

EVENTS = 20_000


def everything(blocks: Iterable[Block]) -> tuple[list[bytes], list[bytes], list[float]]:
    """Return keys, values and arrivals of all blocks."""
    keys, values, arrivals = [], [], list[float]()
    for block in blocks:
        keys += block.keys
        values += block.values
        arrivals += block.arrivals.tolist()
    return keys, values, arrivals


def read(keys: list[bytes], values: list[bytes]) -> list[TrackingEvent]:
    """Return the events of records, all of which must be valid."""
    records = [
        RawRecord(key, value, n, 0) for n, (key, value) in enumerate(zip(keys, values, strict=True))
    ]
    chunk = read_tracking(records)
    assert chunk.dead == []
    return chunk.events


def digest(seed: int) -> str:
    """Return a fingerprint of a stream."""
    keys, values, _ = everything(traffic(EVENTS, seed=seed))
    return hashlib.sha256(b"\n".join(keys + values)).hexdigest()


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A figure can be measured again; another seed is another world."""
    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_every_scan_is_valid_and_keyed_by_its_parcel() -> None:
    """None would become a dead letter, and keys are those of real producers."""
    keys, values, arrivals = everything(traffic(EVENTS))
    events = read(keys, values)
    assert len(events) == len(arrivals) == EVENTS
    assert [event.key.encode() for event in events] == keys
    assert 190 <= np.mean([len(value) for value in values]) <= 260


def test_scans_are_in_the_order_of_their_arrival() -> None:
    """And each arrives when it says it was received."""
    keys, values, arrivals = everything(traffic(EVENTS))
    received = [event.received_at for event in read(keys, values)]
    assert arrivals == sorted(arrivals)
    assert [at.timestamp() for at in received if at is not None] == pytest.approx(arrivals, abs=1)


def test_a_parcel_goes_through_its_life_in_order() -> None:
    """Steps follow each other; only the label carries the context; some parcels get lost."""
    keys, values, _ = everything(traffic(EVENTS, in_flight=500))
    lives: dict[str, list[TrackingEvent]] = defaultdict(list)
    for event in read(keys, values):
        lives[event.parcel_id].append(event)
    names = [Milestone(name) for name, _ in STEPS]
    for life in lives.values():
        assert [event.milestone for event in life] == names[: len(life)]
        assert [event.order_id is not None for event in life] == [True] + [False] * (len(life) - 1)
    lengths = Counter(len(life) for life in lives.values())
    assert lengths[len(STEPS)] > 0.9 * len(lives)


def test_density_is_that_which_was_asked_for() -> None:
    """So many scans an hour, but for the ends of the stream."""
    _, _, arrivals = everything(traffic(100_000, in_flight=1_000, events_per_hour=50_000))
    middle = [at for at in arrivals if 1800 <= at - START.timestamp() < 1800 + 3600]
    assert len(middle) == pytest.approx(50_000, rel=0.1)


def test_warped_time_keeps_the_order_and_squeezes_the_hours() -> None:
    """The same scans in a tenth of the time."""
    plain = everything(traffic(EVENTS, in_flight=500, events_per_hour=EVENTS))
    squeezed = everything(
        traffic(EVENTS, in_flight=500, events_per_hour=EVENTS, warp=lambda seconds: seconds / 10)
    )
    assert squeezed[2] == sorted(squeezed[2])
    assert squeezed[2][-1] - squeezed[2][0] < 0.2 * (plain[2][-1] - plain[2][0])
    read(squeezed[0], squeezed[1])


def test_some_parcels_are_delivered_where_they_were_not_addressed_to() -> None:
    """Exactly those that the generator names, so that their decisions can be foreseen."""
    keys, values, _ = everything(traffic(200_000, in_flight=2_000))
    addressed, wrong = dict[str, str | None](), set[int]()
    delivered = []
    for event in read(keys, values):
        if event.milestone is Milestone.LABEL_CREATED:
            addressed[event.parcel_id] = event.destination_region
        if event.milestone is Milestone.DELIVERED:
            delivered.append(int(event.parcel_id[1:]))
            if event.region != addressed[event.parcel_id]:
                wrong.add(delivered[-1])
    numbers = np.array(delivered)
    assert wrong == set(numbers[misdelivered(numbers)].tolist())
    assert 0.005 < len(wrong) / len(delivered) < 0.02


def test_condemned_parcels_travel_and_are_misdelivered() -> None:
    """Each causes a decision, so a latency is measured with it."""
    parcels = condemned(200)
    _, origin, destination = attributes(parcels)
    assert len(set(parcels.tolist())) == 200
    assert misdelivered(parcels).all()
    assert (origin != destination).all()


@pytest.mark.parametrize("in_flight", [50, 3_000])
def test_a_population_keeps_its_number_of_parcels(in_flight: int) -> None:
    """A parcel that was delivered is followed by a new label; every scan is valid."""
    population = Population(in_flight, block=1_000)
    alive = set[str]()
    for block in [*population.labels(), *population.scans(10_000)]:
        assert len(set(block.keys)) == len(block.keys)
        for event in read(block.keys, block.values):
            assert (event.milestone is Milestone.LABEL_CREATED) == (event.parcel_id not in alive)
            alive.add(event.parcel_id)
            if event.milestone is Milestone.DELIVERED:
                alive.remove(event.parcel_id)
    assert in_flight * 0.7 <= len(alive) <= in_flight


def test_a_population_scans_as_often_as_it_is_asked_to() -> None:
    """However few the parcels are."""
    population = Population(10)
    assert sum(len(block.keys) for block in population.scans(1_234)) == 1_234


def test_every_complaint_is_valid_and_within_its_hours() -> None:
    """Their times go from the start to the end; some customers complain twice."""
    values = complaints(2_000, hours=2)
    chunk = read_complaints([RawRecord(b"", value, n, 0) for n, value in enumerate(values)])
    assert chunk.dead == []
    times = [event.occurred_at for event in chunk.events]
    assert times == sorted(times)
    assert START <= times[0] <= times[-1] < datetime.fromtimestamp(START.timestamp() + 7200, UTC)
    assert len({event.customer_id for event in chunk.events}) < len(values)
    assert len({msgspec.json.decode(value)["complaint_id"] for value in values}) == len(values)

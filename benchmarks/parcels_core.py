"""What the parcels core costs an event: `python -m benchmarks.parcels_core [--events N]`.

Parcels of six carriers on 400 lanes, 60,000 under way, are fed until models and rows are warm;
then the same stream goes on in chunks of 200, 1,000 and 4,000, with and without decoding JSON.
CPU time, so that other work on the machine counts less.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from detectors.base import Batch
from detectors.events import Milestone, TrackingEvent
from detectors.parcels import ParcelsCore

START = datetime(2026, 3, 2, tzinfo=UTC)
STEPS = (
    (Milestone.LABEL_CREATED, 0.0),
    (Milestone.PICKED_UP, 8.0),
    (Milestone.DEPARTED, 4.0),
    (Milestone.ARRIVED, 14.0),
    (Milestone.DEPARTED, 6.0),
    (Milestone.ARRIVED, 12.0),
    (Milestone.OUT_FOR_DELIVERY, 9.0),
    (Milestone.DELIVERED, 5.0),
)
"""Milestone and the median hours until it."""

_decode = msgspec.json.Decoder(TrackingEvent).decode


def stream(events: int, in_flight: int, seed: int = 1) -> list[bytes]:
    """Return JSON scans in the order of their times, about `in_flight` parcels at once."""
    rng = np.random.default_rng(seed)
    parcels = events // len(STEPS) + 1
    days = max(sum(hours for _, hours in STEPS) / 24 * parcels / in_flight, 0.5)
    hours = np.stack([np.full(parcels, 0.0), *_dwells(rng, parcels)]).cumsum(axis=0)
    hours += np.sort(rng.uniform(0, days * 24, parcels))
    lanes = rng.integers(0, 20, (parcels, 2))
    carriers = rng.integers(0, 6, parcels)
    order = np.argsort(hours.ravel(), kind="stable").tolist()
    return [_record(place, parcels, hours, lanes, carriers) for place in order[:events]]


def _dwells(rng: np.random.Generator, parcels: int) -> Iterator[np.ndarray]:
    for _, median in STEPS[1:]:
        yield median * np.exp(rng.normal(0, 0.4, parcels))


def _record(
    place: int, parcels: int, hours: np.ndarray, lanes: np.ndarray, carriers: np.ndarray
) -> bytes:
    step, parcel = divmod(place, parcels)
    origin, destination = lanes[parcel].tolist()
    region = origin if step < 4 else destination
    fields = {
        "event_id": f"E{place}",
        "parcel_id": f"P{parcel:08d}",
        "carrier": f"carrier{carriers[parcel]}",
        "milestone": STEPS[step][0],
        "occurred_at": START + timedelta(seconds=round(hours[step, parcel] * 3600)),
        "facility": f"hub-R{region:02d}",
        "region": f"R{region:02d}",
    }
    if step == 0:
        fields |= {
            "order_id": f"O{parcel:08d}",
            "customer_id": f"C{parcel % 9973:06d}",
            "origin_region": f"R{origin:02d}",
            "destination_region": f"R{destination:02d}",
            "service_level": "standard",
        }
    return msgspec.json.encode(fields)


def batch(records: list[bytes]) -> Batch[TrackingEvent]:
    """Decode records; each arrives when it happened."""
    events = [_decode(record) for record in records]
    return Batch(events, np.array([event.occurred_at.timestamp() for event in events]))


def measure(core: ParcelsCore, records: list[bytes], chunk: int) -> tuple[float, float]:
    """Return microseconds of CPU an event, of the core and of decoding."""
    core_seconds = decode_seconds = 0.0
    for start in range(0, len(records), chunk):
        began = time.process_time()
        part = batch(records[start : start + chunk])
        decoded = time.process_time()
        core.observe(part)
        core_seconds += time.process_time() - decoded
        decode_seconds += decoded - began
    return core_seconds / len(records) * 1e6, decode_seconds / len(records) * 1e6


def main() -> None:
    """Print a row for each size of chunk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    events = parser.parse_args().events
    records = stream(events, in_flight=events * 3 // 20)
    warm, rest = np.split(np.arange(len(records)), [len(records) // 4])
    core = ParcelsCore(source="parcels/0", config_version="benchmark")
    for start in range(0, len(warm), 4000):
        core.observe(batch(records[start : min(start + 4000, len(warm))]))
    sizes = (200, 1000, 4000)
    print(f"{'chunk':>6} {'core µs':>9} {'decode µs':>10} {'together':>9}   events")
    for size, part in zip(sizes, np.array_split(rest, len(sizes)), strict=True):
        chosen = records[part[0] : part[-1] + 1]
        core_us, decode_us = measure(core, chosen, size)
        both = core_us + decode_us
        print(f"{size:>6} {core_us:>9.2f} {decode_us:>10.2f} {both:>9.2f}   {len(chosen):,}")
    print(f"{len(core):,} rows of state")


if __name__ == "__main__":
    main()

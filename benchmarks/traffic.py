"""A country's scans, made fast: JSON as producers write it, a million in a few seconds.

Six carriers and 24 regions, some far busier than others. A parcel's label carries its context
(order, customer, lane, service, promise); the scans after it carry facility, region and both
times. A few parcels are delivered where they were not addressed to and a few get lost, so that
there is something to decide. Everything follows from the seed.

`traffic` is whole lives of parcels, in the order of arrival; `benchmarks.in_flight` has another
stream, of exactly so many parcels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

START: Final = datetime(2025, 3, 3, tzinfo=UTC)
CARRIERS: Final = ("swift", "harbour", "northern", "courant", "redline", "valley")
REPORTING_SECONDS: Final = (2, 5, 9, 15, 30, 60)
"""How long each carrier takes to report a scan."""
REGIONS: Final = 24
STEPS: Final = (
    ("label_created", 0.0),
    ("picked_up", 8.0),
    ("arrived", 2.0),
    ("departed", 4.0),
    ("arrived", 10.0),
    ("departed", 5.0),
    ("arrived", 8.0),
    ("departed", 3.0),
    ("arrived", 3.0),
    ("out_for_delivery", 6.0),
    ("delivered", 5.0),
)
"""Milestone and the median hours until it."""
LIFE_HOURS: Final = sum(hours for _, hours in STEPS)
SPREAD: Final = 0.4
"""Standard deviation of the logarithm of a dwell."""
BLOCK: Final = 100_000
LAST: Final = len(STEPS) - 1
_MISDELIVERED_SHARE: Final = 0.01
_LOST_SHARE: Final = 0.005

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Block(NamedTuple):
    """Some scans in a row."""

    keys: list[bytes]
    """`carrier/parcel_id`, as producers key them."""
    values: list[bytes]
    arrivals: Floats
    """When each was received, seconds since the epoch; never less than the one before."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Scans before they are text; one element a scan, in order of arrival."""

    parcel: Ints
    step: Ints
    occurred: Ints
    """Seconds since the epoch."""


def traffic(
    events: int,
    *,
    in_flight: int = 150_000,
    events_per_hour: int = 1_000_000,
    start: datetime = START,
    seed: int = 1,
    warp: Callable[[Floats], Floats] | None = None,
) -> Iterator[Block]:
    """Yield whole lives of parcels in order of arrival, `events` scans in all.

    Lives are shortened or lengthened so that about `in_flight` parcels are under way while
    `events_per_hour` are scanned. `warp` maps seconds since the start to others, never backwards:
    it makes some hours busier than the rest.
    """
    rng = np.random.default_rng(seed)
    parcels = int(events / (len(STEPS) * (1 - _LOST_SHARE))) + 16
    life_hours = in_flight * len(STEPS) / events_per_hour
    hours = np.stack([np.zeros(parcels), *_dwells(rng, parcels, life_hours / LIFE_HOURS)])
    hours = hours.cumsum(axis=0)
    hours += np.sort(rng.uniform(0, parcels * len(STEPS) / events_per_hour, parcels))
    hours[_lost(rng, parcels)] = np.inf
    seconds = hours * 3600 if warp is None else warp(hours * 3600)
    seconds += int(start.timestamp())
    numbers = np.arange(parcels) + seed * 100_000_000
    received = (seconds + _reporting(numbers)).ravel()
    order = np.argsort(received, kind="stable")[:events]
    order = order[np.isfinite(received[order])]
    step, place = np.divmod(order, parcels)
    columns = Columns(numbers[place], step, seconds.ravel()[order].astype(np.int64))
    yield from _blocks(columns)


def _dwells(rng: np.random.Generator, parcels: int, scale: float) -> Iterator[Floats]:
    for _, median in STEPS[1:]:
        yield scale * median * np.exp(rng.normal(0, SPREAD, parcels))


def _lost(rng: np.random.Generator, parcels: int) -> NDArray[np.bool_]:
    """Return which scans never come: those of a lost parcel from some step on."""
    last = np.where(rng.random(parcels) < _LOST_SHARE, rng.integers(1, LAST, parcels), LAST)
    lost: NDArray[np.bool_] = np.arange(len(STEPS))[:, None] > last
    return lost


def _blocks(columns: Columns) -> Iterator[Block]:
    for first in range(0, len(columns.parcel), BLOCK):
        part = slice(first, first + BLOCK)
        yield render(
            Columns(columns.parcel[part], columns.step[part], columns.occurred[part]), first
        )


def render(columns: Columns, first: int) -> Block:
    """Return scans as records; `first` numbers the first event id."""
    parcel, step = columns.parcel, columns.step
    carrier, origin, destination = attributes(parcel)
    received = columns.occurred + np.array(REPORTING_SECONDS)[carrier]
    region = np.where(step < len(STEPS) // 2, origin, destination)
    wrong = (step == LAST) & misdelivered(parcel)
    region = np.where(wrong, (destination + 1) % REGIONS, region)
    names = [CARRIERS[number].encode() for number in carrier.tolist()]
    keys = [b"%b/P%010d" % pair for pair in zip(names, parcel.tolist(), strict=True)]
    values = [
        _SCAN % row
        for row in zip(
            range(first, first + len(parcel)), parcel.tolist(), names,
            [_MILESTONES[number] for number in step.tolist()],
            _rfc3339(columns.occurred), _rfc3339(received), region.tolist(), region.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    for place in np.flatnonzero(step == 0).tolist():
        number, at = int(parcel[place]), int(columns.occurred[place])
        context = (number, number % 9_999_991, origin[place], destination[place], _promise(at))
        values[place] = values[place][:-1] + _CONTEXT % context
    return Block(keys, values, np.maximum.accumulate(received.astype(np.float64)))


def attributes(parcel: Ints) -> tuple[Ints, Ints, Ints]:
    """Return carrier, origin and destination of parcels; low regions are the busy ones."""
    carrier = (_mixed(parcel, 0) * len(CARRIERS)).astype(np.int64)
    origin = (_mixed(parcel, 1) ** 2 * REGIONS).astype(np.int64)
    destination = (_mixed(parcel, 2) ** 2 * REGIONS).astype(np.int64)
    return carrier, origin, destination


def misdelivered(parcel: Ints) -> NDArray[np.bool_]:
    """Tell which parcels are delivered in another region than they are addressed to."""
    wrong: NDArray[np.bool_] = _mixed(parcel, 3) < _MISDELIVERED_SHARE
    return wrong


def _mixed(parcel: Ints, salt: int) -> Floats:
    """Return a number in [0, 1) for each parcel, as good as random (the end of splitmix64)."""
    with np.errstate(over="ignore"):
        z = (parcel.astype(np.uint64) * np.uint64(4) + np.uint64(salt)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    mixed: Floats = (z >> np.uint64(11)).astype(np.float64) / 2.0**53
    return mixed


def _reporting(parcel: Ints) -> Ints:
    return np.array(REPORTING_SECONDS)[attributes(parcel)[0]]


def _rfc3339(seconds: Ints) -> list[bytes]:
    text = np.datetime_as_string(seconds.astype("datetime64[s]")).astype("S19")
    found: list[bytes] = text.tolist()
    return found


def _promise(label_at: int) -> bytes:
    return (
        datetime.fromtimestamp(label_at + 5 * 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    )


def complaints(number: int, *, hours: float, start: datetime = START, seed: int = 1) -> list[bytes]:
    """Return JSON complaints spread evenly over some hours; one in ten customers comes twice."""
    rng = np.random.default_rng(seed)
    began = int(start.timestamp())
    at = _rfc3339(began + np.sort(rng.uniform(0, hours * 3600, number)).astype(np.int64))
    customers = rng.integers(0, max(1, number * 5), number).tolist()
    regions = rng.integers(0, REGIONS, number).tolist()
    rows = zip(range(number), customers, at, regions, strict=True)
    return [_COMPLAINT % row for row in rows]


_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MILESTONES: Final = tuple(name.encode() for name, _ in STEPS)
_SCAN: Final = (
    b'{"event_id":"E%010d","parcel_id":"P%010d","carrier":"%b","milestone":"%b",'
    b'"occurred_at":"%bZ","received_at":"%bZ","facility":"hub-R%02d-1","region":"R%02d"}'
)
_CONTEXT: Final = (
    b',"order_id":"O%010d","customer_id":"C%07d","origin_region":"R%02d",'
    b'"destination_region":"R%02d","service_level":"standard","promised_at":"%b"}'
)
_COMPLAINT: Final = (
    b'{"complaint_id":"K%08d","customer_id":"C%07d","occurred_at":"%bZ","region":"R%02d",'
    b'"category":"logistics","issue":"late"}'
)

"""Memory a parcel in flight: how much a process grows, and how much it ever held.

Every parcel has a label with its context (order, customer, lane, promise) and some scans after it.
"""

from typing import Final

from benchmarks.bench import Bench
from benchmarks.population import Found, found
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series

UNIT: Final = "bytes/parcel"
GIB: Final = "GiB"
MILLION: Final = 1_000_000


def run(bench: Bench) -> Measurement:
    """Fill processes of their own."""
    sizes = populations(bench)
    each = [found(bench, in_flight, events(bench)) for in_flight in sizes if in_flight >= MILLION]
    each = each or [found(bench, sizes[-1], events(bench))]
    for one in each:
        bench.say(f"{one.in_flight:,} parcels: {_grown(one):.0f} {UNIT}")
    series = [Series(f"{one.in_flight:,} in flight", UNIT, [_grown(one)]) for one in each]
    series += [
        Series(f"peak with {one.in_flight:,}", GIB, [one.peak_bytes / 2**30]) for one in each
    ]
    last = each[-1]
    goals = [Goal(series[0].name, Bound.AT_MOST, 250.0)]
    goals.append(Goal(f"peak with {10 * MILLION:,}", Bound.AT_MOST, 4.0))
    title = f"A parcel in flight takes {_grown(last):.0f} bytes with {last.in_flight:,} of them"
    curve = Curve("growth", [one.in_flight for one in each], [_grown(one) for one in each])
    return Measurement(
        row="memory",
        what="resident memory a parcel in flight, one process",
        goals=goals,
        series=series,
        curves=[curve],
        charts=[Chart(name="memory", title=title, y_label=UNIT, unit=UNIT, goal=250.0)],
        notes=["growth from an empty process, models included; peak is of the whole process"],
    )


def populations(bench: Bench) -> list[int]:
    """Return how many parcels are in flight in turn, here and in `flatness`."""
    return [
        bench.size(short=10_000, full=10_000),
        bench.size(short=100_000, full=100_000),
        bench.size(short=MILLION, full=MILLION),
        *([bench.size(short=0, full=10 * MILLION)] if bench.form == "full" else []),
    ]


def events(bench: Bench) -> int:
    """Return how many scans are measured with each."""
    return bench.size(short=100_000, full=400_000)


def _grown(one: Found) -> float:
    return (one.full_bytes - one.empty_bytes) / one.in_flight

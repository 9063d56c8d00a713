"""What an event costs with ten thousand to ten million parcels in flight: it should not matter.

Scans of random parcels at the same density of events in time. Cost is CPU time of decoding and
judging, in chunks of 1,000; that of the state record stands beside it.
"""

from typing import Final

from benchmarks.bench import Bench
from benchmarks.population import found
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series, spread
from benchmarks.rows.memory import events, populations

UNIT: Final = "CPU µs/event"
WORST: Final = "largest deviation from the middle"
ALLOWED: Final = 0.25


def run(bench: Bench) -> Measurement:
    """Measure every population, each in a process of its own."""
    each = [found(bench, in_flight, events(bench)) for in_flight in populations(bench)]
    core = [spread(one.core_us).median for one in each]
    record = [spread(one.record_us).median for one in each]
    for one, cost in zip(each, core, strict=True):
        bench.say(f"{one.in_flight:,} in flight: {cost:.2f} {UNIT}")
    middle = (min(core) + max(core)) / 2
    worst = max(core) / middle - 1
    x = [float(one.in_flight) for one in each]
    title = f"From {each[0].in_flight:,} to {each[-1].in_flight:,} in flight: ±{worst:.0%} an event"
    return Measurement(
        row="flatness",
        what="cost an event against parcels in flight",
        goals=[Goal(WORST, Bound.AT_MOST, ALLOWED)],
        series=[
            *(Series(f"{one.in_flight:,} in flight", UNIT, one.core_us) for one in each),
            *(Series(f"{one.in_flight:,}, state record", UNIT, one.record_us) for one in each),
            Series(WORST, "share", [worst]),
        ],
        curves=[Curve("decode and judge", x, core), Curve("state record", x, record)],
        charts=[
            Chart(
                name="flatness",
                title=title,
                y_label=UNIT,
                curves=["decode and judge", "state record"],
                x_label="parcels in flight",
                x_log=True,
            )
        ],
    )

"""Two workers on two cores beside one: how much of a second core a second worker wins.

Workers join on an empty topic and are frozen; the topic is filled; they wake up together. So
neither joining nor filling is in the rate. The broker runs on the same cores: with two of them
nobody can reach twice, and how near it comes says how little the broker takes.
"""

from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks.bench import Bench, fill
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, ratios, spread
from benchmarks.standing import joined_and_frozen
from benchmarks.traffic import traffic
from benchmarks.watching import Rate, measure, tracking_done

ONE: Final = "one worker"
TWO: Final = "two workers"
UNIT: Final = "events/s"


def run(bench: Bench) -> Measurement:
    """Measure one and two in turn."""
    events = bench.size(short=400_000, full=2_000_000)
    rates: dict[int, list[Rate]] = {1: [], 2: []}
    for _ in range(bench.rounds(short=1, full=3)):
        for workers, found in rates.items():
            found.append(_rate(bench, workers, events))
            bench.say(f"{workers} workers: {found[-1].events_per_second:,.0f} {UNIT}")
    one, two = (
        Series(name, UNIT, [rate.events_per_second for rate in found])
        for name, found in zip((ONE, TWO), rates.values(), strict=True)
    )
    times = spread(ratios(two, one)).median
    title = f"Two workers do {times:.2f} times what one does, the broker beside them"
    return Measurement(
        row="two_workers",
        what="two workers on one topic beside one worker, in turn",
        goals=[Goal(TWO, Bound.AT_LEAST, 1.8, over=ONE)],
        series=[one, two, _per_cpu(ONE, rates[1]), _per_cpu(TWO, rates[2])],
        charts=[Chart(name="two-workers", title=title, y_label=UNIT, unit=UNIT)],
        notes=["the broker shares the cores; the processor time of both workers is summed"],
    )


def _per_cpu(name: str, rates: list[Rate]) -> Series:
    unit = "events/CPU s"
    return Series(f"{name}, {unit}", unit, [rate.events_per_cpu_second for rate in rates])


def _rate(bench: Bench, number: int, events: int) -> Rate:
    kafka = bench.kafka("workers")
    with ExitStack() as stack:
        workers = [bench.worker(kafka, f"worker-{name}") for name in range(number)]
        for worker in workers:
            stack.enter_context(worker.child)
        with joined_and_frozen(workers, kafka.partitions):
            total = fill(kafka.brokers, kafka.topic("tracking"), traffic(events))
        return measure({each.child: partial(tracking_done, each.port) for each in workers}, total)

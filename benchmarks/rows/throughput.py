"""Events a second: the worker with all of its work beside peers that only count, in turn.

All read the same topic, one after the other, in every round. The worker decodes and checks, judges
in three cores and writes state and decisions in transactions; peers count scans a parcel in their
state, exactly once, and write a record at every tenth; limits read and decode. Rates are those
between a tenth of the events and the end, wall and a second of processor time of the process
itself. Broker and process share the machine.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.bench import Bench, fill
from benchmarks.peers.programs import FAUST, Program, programs
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, Whose, spread
from benchmarks.traffic import traffic
from benchmarks.watching import Rate, logged_done, measure, tracking_done
from pipeline.processes import Child
from pipeline.settings import Kafka

OURS: Final = "Forewarn, everything"
WALL: Final = "events/s"
CPU: Final = "events/CPU s"
FAUST_TIMES: Final = 15.0
"""How many times a stock agent, which writes to its table with each event."""
WHAT: Final = "worker with all of its work beside peers that count, same topic, in turn"


def run(bench: Bench) -> Measurement:
    """Measure rounds of everybody."""
    events = bench.size(short=600_000, full=2_000_000)
    rates: dict[str, list[Rate]] = defaultdict(list)
    present = programs()
    for number in range(bench.rounds(short=2, full=5)):
        kafka = bench.kafka("throughput")
        total = fill(kafka.brokers, kafka.topic("tracking"), traffic(events))
        rates[OURS].append(worker_rate(bench, kafka, total))
        bench.say(f"round {number + 1}: {OURS}: {_said(rates[OURS][-1])}")
        for program in present:
            if program.absent is None:
                rates[program.name].append(_program_rate(bench, kafka, program, total))
                bench.say(f"round {number + 1}: {program.name}: {_said(rates[program.name][-1])}")
    return _measurement(rates, present, events)


def worker_rate(bench: Bench, kafka: Kafka, total: int) -> Rate:
    """Return the rate of one worker over a topic that is filled."""
    worker = bench.worker(kafka)
    with worker.child:
        return measure({worker.child: lambda: tracking_done(worker.port)}, total)


def _program_rate(bench: Bench, kafka: Kafka, program: Program, total: int) -> Rate:
    slug = "".join(c if c.isalnum() else "-" for c in program.name.lower())
    output = f"{kafka.prefix}-{slug}-decisions"
    _make(kafka, output)
    environment = {
        "TOPIC": kafka.topic("tracking"),
        "OUTPUT": output,
        "GROUP": f"{kafka.prefix}-{slug}",
        "BROKER": kafka.brokers,
        "DATADIR": str(bench.folder / f"{kafka.prefix}-{slug}"),
        **program.environment,
    }
    log = bench.folder / f"{kafka.prefix}-{slug}.log"
    with Child(program.name, program.argv, log=log, environment=environment) as child:
        done: Callable[[], int] = lambda: logged_done(log)  # noqa: E731
        return measure({child: done}, total, most_seconds=program.most_seconds)


def _make(kafka: Kafka, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": kafka.brokers})
    client.create_topics([NewTopic(topic, kafka.partitions, 1)])[topic].result(timeout=30)


def _measurement(rates: dict[str, list[Rate]], present: list[Program], events: int) -> Measurement:
    series = _series(OURS, rates[OURS], Whose.OURS, None)
    for program in present:
        series += _series(program.name, rates[program.name], program.whose, program.absent)
    rivals = [each.name for each in present if each.whose is Whose.PEER and rates[each.name]]
    ahead = [(name, FAUST_TIMES if name == FAUST else 1.0) for name in rivals]
    goals = [
        Goal(f"{OURS}, {CPU}", Bound.AT_LEAST, 120_000),
        Goal(f"{OURS}, {WALL}", Bound.AT_LEAST, 100_000),
    ]
    goals += [
        Goal(f"{OURS}, {unit}", Bound.AT_LEAST, times, over=f"{name}, {unit}")
        for unit in (WALL, CPU)
        for name, times in ahead
    ]
    charts = [
        _chart("throughput-wall", WALL, series, rivals, 100_000),
        _chart("throughput-cpu", CPU, series, rivals, 120_000),
    ]
    return Measurement(
        row="throughput",
        what=WHAT,
        goals=goals,
        series=series,
        charts=charts,
        notes=[
            f"{events:,} scans of about 230 bytes in 4 partitions; the broker shares the cores",
            "peers count scans a parcel, exactly once (Faust: at least once)",
            "commit intervals, caches and heaps of the peers are their defaults, save `no cache`",
        ],
    )


def _series(name: str, rates: list[Rate], whose: Whose, absent: str | None) -> list[Series]:
    wall = [rate.events_per_second for rate in rates]
    cpu = [rate.events_per_cpu_second for rate in rates]
    return [
        Series(f"{name}, {WALL}", WALL, wall, whose, absent),
        Series(f"{name}, {CPU}", CPU, cpu, whose, absent),
    ]


def _chart(name: str, unit: str, series: list[Series], rivals: list[str], goal: float) -> Chart:
    found = {each.name: spread(each.values).median for each in series if each.values}
    mine = found[f"{OURS}, {unit}"]
    best = max(rivals, key=lambda rival: found[f"{rival}, {unit}"], default=None)
    title = f"Forewarn judges {mine:,.0f} {unit}"
    if best is not None:
        title += f", {mine / found[f'{best}, {unit}']:.1f} times what {best} counts"
    return Chart(name=name, title=title, y_label=unit, unit=unit, goal=goal)


def _said(rate: Rate) -> str:
    return f"{rate.events_per_second:,.0f} {WALL}, {rate.events_per_cpu_second:,.0f} {CPU}"

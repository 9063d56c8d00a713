"""Events a second: this worker beside a stock Faust agent with a table, on the same topic.

Both read the same simulated scans from a real Kafka, in turn (interleaved, so that a slow minute
of the machine hurts both). The worker does all of its work: decode and check, three cores, state
and decisions in transactions. The agent counts scans a parcel in a table. Rates are measured
between two looks at progress, from a tenth of the events on to the end, so starting up does not
count; the agent, being slow, is stopped after some seconds.

    python -m benchmarks.throughput [--parcels 200000] [--days 2] [--rounds 3] [--brokers HOST:PORT]
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import own_kafka
from pipeline import topics
from pipeline.processes import Child, free_port
from pipeline.producer import Outgoing, RecordProducer
from pipeline.settings import Kafka
from simulator.simulation import Simulation, simulate

AGENT_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 240.0
WANTED_RATIO: Final = 15.0
_console = Console(width=100)


@dataclass(frozen=True)
class Rate:
    """One measurement."""

    events_per_second: float
    events_per_cpu_second: float


def main() -> int:
    """Measure and print."""
    options = _options()
    ours: list[Rate] = []
    theirs: list[Rate] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forewarn-bench-")))
        brokers = options.brokers or stack.enter_context(own_kafka(folder))
        simulation = simulate(options.parcels, options.days, options.seed)
        for number in range(options.rounds):
            name = f"bench-{os.getpid()}-{number}"
            kafka = Kafka(brokers=brokers, prefix=name, group=name)
            total = _fill(kafka, simulation)
            ours.append(_worker(kafka, total, folder))
            theirs.append(_agent(kafka, total, folder))
            _console.print(
                f"round {number + 1}: {total:,} scans; worker {_said(ours[-1])}; "
                f"stock agent {_said(theirs[-1])}"
            )
    return _report(ours, theirs)


def _fill(kafka: Kafka, simulation: Simulation) -> int:
    topics.create(kafka)
    scans = (
        Outgoing(kafka.topic("tracking"), key, value, arrival_ms)
        for stream, (key, value, arrival_ms) in simulation.records()
        if stream == "tracking"
    )
    return sum(RecordProducer(kafka.brokers).send(scans).values())


def _worker(kafka: Kafka, total: int, folder: Path) -> Rate:
    port = free_port()
    environment = {
        "FOREWARN_KAFKA__BROKERS": kafka.brokers,
        "FOREWARN_KAFKA__PREFIX": kafka.prefix,
        "FOREWARN_KAFKA__GROUP": kafka.group,
        "FOREWARN_CLOCK": "data",
        "FOREWARN_METRICS__PORT": str(port),
    }
    argv = [sys.executable, "-m", "pipeline.cli", "worker"]
    log = folder / f"{kafka.prefix}-worker.log"
    with Child("worker", argv, log=log, environment=environment) as child:
        return _measure(child, lambda: _scraped(port), total, PATIENCE_SECONDS)


def _agent(kafka: Kafka, total: int, folder: Path) -> Rate:
    environment = {
        "TOPIC": kafka.topic("tracking"),
        "GROUP": f"{kafka.prefix}-stock",
        "BROKER": kafka.brokers,
        "DATADIR": str(folder / f"{kafka.prefix}-stock"),
    }
    argv = [sys.executable, "-m", "benchmarks.stock_agent", "worker", "--without-web", "-l", "warn"]
    log = folder / f"{kafka.prefix}-stock.log"
    with Child("stock agent", argv, log=log, environment=environment) as child:
        return _measure(child, lambda: _logged(log), total, AGENT_SECONDS)


def _measure(child: Child, done: Callable[[], int], total: int, seconds: float) -> Rate:
    """Return the rate between the first look with a tenth done (or any) and the end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    first: tuple[float, float, int] | None = None
    while True:
        count, at, cpu = done(), time.monotonic(), _cpu_seconds(child.pid)
        if first is None and count > min(total / 10, 5_000):
            first = (at, cpu, count)
            deadline = at + seconds
        if first is not None and count > first[2] and (count >= total or at > deadline):
            return Rate((count - first[2]) / (at - first[0]), (count - first[2]) / (cpu - first[1]))
        if at > deadline or not child.running:
            raise RuntimeError(f"{child.name} did not get on: {child.log_tail()}")
        time.sleep(0.05)


def _scraped(port: int) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (URLError, ConnectionError, TimeoutError):
        return 0
    found = re.search(r'forewarn_events_total\{input="tracking"\} (\S+)', text)
    return int(float(found[1])) if found else 0


def _logged(log: Path) -> int:
    found = re.findall(r"^done (\d+)$", log.read_text(), re.MULTILINE)
    return int(found[-1]) if found else 0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _said(rate: Rate) -> str:
    return f"{rate.events_per_second:,.0f}/s ({rate.events_per_cpu_second:,.0f} a CPU second)"


def _report(ours: list[Rate], theirs: list[Rate]) -> int:
    table = Table("events a second", "min", "median", "max", "median a CPU second")
    for name, rates in (("forewarn worker, everything", ours), ("stock agent, a table", theirs)):
        walls = [rate.events_per_second for rate in rates]
        cpu = statistics.median(rate.events_per_cpu_second for rate in rates)
        numbers = (min(walls), statistics.median(walls), max(walls), cpu)
        table.add_row(name, *(f"{number:,.0f}" for number in numbers))
    ratios = [a.events_per_second / b.events_per_second for a, b in zip(ours, theirs, strict=True)]
    _console.print(table)
    ratio = statistics.median(ratios)
    _console.print(f"ratio: {min(ratios):.1f} / {ratio:.1f} / {max(ratios):.1f} (min/median/max)")
    if ratio < WANTED_RATIO:
        _console.print(
            f"{WANTED_RATIO:.0f} is wanted; what is known of the rest: "
            "docs/decisions/0006-parcels-core-speed.md"
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Events a second beside a stock Faust agent.")
    parser.add_argument("--parcels", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brokers", help="a Kafka that runs already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

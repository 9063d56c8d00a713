"""Two supervised workers, killed and frozen under load, against replay and an undisturbed run.

A simulated world is written to a real Kafka while two workers (`forewarn worker`, clock `data`)
read it and suffer: SIGKILL, and SIGSTOP for longer than the session timeout, in turn. Then

- the decisions (read committed) are compared, byte by byte, with those of `forewarn replay` and of
  one undisturbed worker on the same events: none missing, none extra, none twice;
- the final state of every task, recovered from the state topic, is compared with that of the
  undisturbed run, page by page.

    python -m benchmarks.chaos [--parcels 100000] [--days 14] [--faults 8] [--brokers HOST:PORT]

Without --brokers it starts an Apache Kafka of its own. Exit code 0 says that all is equal.
"""

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.reading import values
from benchmarks.supervised import Supervised
from configs.load import load_config
from pipeline import topics
from pipeline.producer import Outgoing, RecordProducer
from pipeline.replay import replay
from pipeline.settings import Kafka
from pipeline.statelog import StateLog
from pipeline.task import Task
from simulator.files import Compression, write_simulation
from simulator.simulation import Simulation, simulate

SESSION_SECONDS: Final = 6.0
IDLE_SECONDS: Final = 5.0
WORKER: Final = [sys.executable, "-m", "pipeline.cli", "worker"]
SLICE: Final = 2_000
PATIENCE_SECONDS: Final = 900.0
QUIET_SECONDS: Final = 15.0
_console = Console(width=100)


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    decisions: Counter[bytes]
    state: list[list[list[bytes]]]
    """By partition and page."""
    exits: list[int]
    seconds: float


def main() -> int:
    """Run and compare; return the exit code."""
    options = _options()
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="forewarn-chaos-"))
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        brokers = options.brokers or stack.enter_context(own_kafka(folder))
        simulation = simulate(options.parcels, options.days, options.seed)
        _console.print(
            f"{len(simulation.scans):,} scans and {len(simulation.complaints):,} complaints of "
            f"{options.parcels:,} parcels in {options.days} days"
        )
        expected = replayed(simulation, folder)
        _console.print(f"replay: {expected.total():,} decisions")
        calm = run(Kafka(brokers=brokers, prefix="calm", group="calm"), simulation, folder, 0, 0)
        _console.print(f"undisturbed: {calm.decisions.total():,} in {calm.seconds:.0f} s")
        kafka = Kafka(brokers=brokers, prefix="chaos", group="chaos")
        wild = run(kafka, simulation, folder, options.faults, options.seed)
        _console.print(f"killed and frozen: {wild.decisions.total():,} in {wild.seconds:.0f} s")
    return _report(expected, calm, wild)


def replayed(simulation: Simulation, folder: Path) -> Counter[bytes]:
    """Return the decisions of `forewarn replay`."""
    paths = write_simulation(simulation, folder, Compression.NONE)
    named = {path.name.split(".")[0]: path for path in paths}
    kafka = Kafka()
    result = replay(load_config(), [named["tracking"]], [named["complaints"]], kafka.partitions)
    return Counter(msgspec.json.encode(decision) for decision in result.decisions)


def run(kafka: Kafka, simulation: Simulation, folder: Path, faults: int, seed: int) -> Outcome:
    """Write the world while workers read it; with faults two of them suffer."""
    topics.create(kafka)
    began = time.monotonic()
    with ExitStack() as stack:
        workers = [
            stack.enter_context(supervised(kafka, name, folder))
            for name in ("A", "B")[: 2 if faults else 1]
        ]
        feeder = threading.Thread(target=feed, args=(kafka, simulation, faults * 10.0))
        feeder.start()
        torment(workers, faults, random.Random(seed))
        feeder.join()
        settle(kafka)
        seconds = time.monotonic() - began - QUIET_SECONDS
        for worker in workers:
            worker.stop()
        exits = [code for worker in workers for code in worker.exits]
    decisions = Counter(values(kafka.brokers, kafka.topic("decisions"), kafka.partitions))
    return Outcome(decisions, [_pages(kafka, p) for p in range(kafka.partitions)], exits, seconds)


def supervised(kafka: Kafka, name: str, folder: Path) -> Supervised:
    """Return a worker that is started again whenever it ends."""
    environment = {
        "FOREWARN_KAFKA__BROKERS": kafka.brokers,
        "FOREWARN_KAFKA__PREFIX": kafka.prefix,
        "FOREWARN_KAFKA__GROUP": kafka.group,
        "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        "FOREWARN_CLOCK": "data",
        "FOREWARN_IDLE_SECONDS": str(IDLE_SECONDS),
        "FOREWARN_METRICS__PORT": "0",
        "FOREWARN_LOG__FORMAT": "json",
    }
    log = folder / f"{kafka.prefix}-{name}.log"
    return Supervised(name, WORKER, environment=environment, log=log)


def feed(kafka: Kafka, simulation: Simulation, seconds: float) -> None:
    """Write the world in order of arrival, spread over some seconds."""
    producer = RecordProducer(kafka.brokers)
    names = {name: kafka.topic(name) for name in ("tracking", "complaints")}
    records = (
        Outgoing(names[stream], key, value, arrival_ms)
        for stream, (key, value, arrival_ms) in simulation.records()
    )
    slices = max(1, (len(simulation.scans) + len(simulation.complaints)) // SLICE)
    for part in _sliced(records):
        producer.send(part)
        time.sleep(seconds / slices)


def _sliced(records: Iterator[Outgoing]) -> Iterator[list[Outgoing]]:
    while part := list(itertools.islice(records, SLICE)):
        yield part


def torment(workers: list[Supervised], faults: int, dice: random.Random) -> None:
    """Kill and freeze, in turn, whoever the dice choose."""
    if faults:
        time.sleep(6)
    for number in range(faults):
        victim = dice.choice(workers)
        if number % 2:
            frozen = SESSION_SECONDS + dice.uniform(1, 5)
            _console.print(f"  SIGSTOP {victim.name} for {frozen:.0f} s")
            victim.freeze(frozen)
        else:
            _console.print(f"  SIGKILL {victim.name}")
            victim.kill()
        time.sleep(dice.uniform(2, 6))


def settle(kafka: Kafka) -> None:
    """Wait until nothing has been written for a while; raises `TimeoutError`."""
    began = moved = time.monotonic()
    before = (-1, -1)
    while time.monotonic() - moved < QUIET_SECONDS:
        sizes = (_size(kafka, "counts"), _size(kafka, "state"))
        if sizes != before:
            before, moved = sizes, time.monotonic()
        if moved - began > PATIENCE_SECONDS:
            raise TimeoutError(f"not done in {PATIENCE_SECONDS:.0f} s")
        time.sleep(1)


def _size(kafka: Kafka, name: str) -> int:
    return sum(topics.ends(kafka, name))


def _pages(kafka: Kafka, partition: int) -> list[list[bytes]]:
    task = Task(partition, kafka.partitions, load_config())
    log = StateLog(kafka, partition)
    log.open(task)
    log.close()
    return [task.dump(page, 64) for page in range(64)]


@contextmanager
def own_kafka(folder: Path) -> Iterator[str]:
    """Start an Apache Kafka for this run; yields its address."""
    from tests.real_parts import running_kafka  # noqa: PLC0415  # tests are not needed elsewhere

    place = folder / "kafka"
    place.mkdir()
    with running_kafka(place) as broker:
        yield broker.bootstrap


def _report(expected: Counter[bytes], calm: Outcome, wild: Outcome) -> int:
    table = Table("decisions", "wanted", "found", "missing", "extra", "twice")
    rights = []
    for name, wanted, found in (
        ("undisturbed against replay", expected, calm.decisions),
        ("chaos against undisturbed", calm.decisions, wild.decisions),
        ("chaos against replay", expected, wild.decisions),
    ):
        twice = sum(count - 1 for count in found.values())
        missing, extra = (wanted - found).total(), (found - wanted).total()
        rights.append(not (missing or extra or twice))
        numbers = (wanted.total(), found.total(), missing, extra, twice)
        table.add_row(name, *(f"{number:,}" for number in numbers))
        _show(name, wanted, found)
    _console.print(table)
    same = calm.state == wild.state
    _console.print(f"final state: {'equal, page by page' if same else 'DIFFERENT'}")
    kills = wild.exits.count(-9)
    _console.print(f"exit codes of the workers: {sorted(wild.exits)} ({kills} killed)")
    return 0 if all(rights) and same else 1


def _show(name: str, wanted: Counter[bytes], found: Counter[bytes]) -> None:
    """Print the first differences in full: where they begin is what one wants to know."""
    for what, rows in (("missing", wanted - found), ("extra", found - wanted)):
        for row in sorted(rows, key=lambda each: msgspec.json.decode(each)["decided_at"])[:3]:
            print(f"{name}, {what}: {row.decode()}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill and freeze workers; compare what is left.")
    parser.add_argument("--parcels", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--faults", type=int, default=8, help="half SIGKILL, half SIGSTOP")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brokers", help="a Kafka that runs already")
    parser.add_argument("--keep", type=Path, help="folder for logs and files that is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

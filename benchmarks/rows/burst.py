"""Ten minutes of backlog at five times the usual rate: memory, pace, and no false flags.

A worker takes some hours of scans in at the usual rate of the data and stops. Then ten minutes
of scans at five times that rate pile up, and a worker catches up. Its memory is looked at all the
while; its decisions, of both parts, are compared with those of `forewarn replay` over the same
scans: what is extra was flagged for the backlog alone.
"""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.bench import Bench, Worker, fill
from benchmarks.reading import values
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series
from benchmarks.standing import wait
from benchmarks.traffic import START, Block, Floats, traffic
from benchmarks.watching import resident_bytes, scrape, tracking_done
from pipeline import topics
from pipeline.settings import Kafka

MIB: Final = 2**20
GROWTH: Final = "memory beyond the state's own growth"
ALLOWED_MIB: Final = 256.0
BYTES_A_ROW: Final = 1000
"""What a row of state may take at most; the memory row has its own goal."""
USUAL_MINUTES: Final = 150
"""Long enough for a lost parcel to be called stalled."""
BACKLOG_MINUTES: Final = 10
TIMES: Final = 5
_LOOK_SECONDS: Final = 0.25
_QUIET_SECONDS: Final = 12.0


class Watch:
    """Memory and progress of a worker, by seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.resident: list[float] = []
        self.done: list[float] = []

    def until(self, worker: Worker, total: int) -> None:
        """Look until so many scans are absorbed."""
        began = time.monotonic()

        def look() -> bool:
            done = tracking_done(worker.port)
            self.seconds.append(time.monotonic() - began)
            self.resident.append(resident_bytes(worker.child.pid) / MIB)
            self.done.append(done)
            time.sleep(_LOOK_SECONDS)
            return done >= total

        wait(worker, look, "catch up")


def run(bench: Bench) -> Measurement:
    """Pile up and catch up."""
    parts = _parts(bench.size(short=150_000, full=700_000))
    kafka = bench.kafka("burst")
    environment = {"FOREWARN_IDLE_SECONDS": "5"}
    first = bench.worker(kafka, "usual", environment)
    total = fill(kafka.brokers, kafka.topic("tracking"), parts[0])
    with first.child:
        wait(first, lambda: tracking_done(first.port) >= total, "work")
    backlog = fill(kafka.brokers, kafka.topic("tracking"), parts[1])
    second, watch = bench.worker(kafka, "burst", environment), Watch()
    with second.child:
        wait(second, lambda: tracking_done(second.port) > 0, "begin")
        before = _rows(second)
        watch.until(second, backlog)
        grown = (_rows(second) - before) * BYTES_A_ROW / MIB
        _settle(kafka)
    found = Counter(values(kafka.brokers, kafka.topic("decisions"), kafka.partitions))
    wanted = _replayed(bench, parts)
    bench.say(f"peak {max(watch.resident):.0f} MiB; decisions wanted {wanted.total():,}")
    return _measurement(watch, found, wanted, grown, backlog)


def _parts(backlog: int) -> tuple[list[Block], list[Block]]:
    """Return scans of the usual hours and of the ten minutes after them, about `backlog`."""
    usual_seconds = USUAL_MINUTES * 60.0
    an_hour = backlog * 60 // BACKLOG_MINUTES // TIMES
    hours = USUAL_MINUTES / 60 + TIMES * BACKLOG_MINUTES / 60

    def warp(seconds: Floats) -> Floats:
        """Squeeze what comes after the usual hours."""
        return np.where(
            seconds < usual_seconds, seconds, usual_seconds + (seconds - usual_seconds) / TIMES
        )

    # More than is taken, so that the end is as busy as the rest.
    stream = traffic(
        int(an_hour * (hours + 2)), in_flight=an_hour // 12, events_per_hour=an_hour, warp=warp
    )
    parts: tuple[list[Block], list[Block]] = ([], [])
    began = START.timestamp() + usual_seconds
    for block in stream:
        first, last = np.searchsorted(block.arrivals, [began, began + BACKLOG_MINUTES * 60])
        parts[0].append(_cut(block, 0, int(first)))
        parts[1].append(_cut(block, int(first), int(last)))
    return parts


def _cut(block: Block, start: int, stop: int) -> Block:
    part = slice(start, stop)
    return Block(block.keys[part], block.values[part], block.arrivals[part])


def _rows(worker: Worker) -> float:
    return scrape(worker.port).total("forewarn_state_rows")


def _settle(kafka: Kafka) -> None:
    """Wait until nothing is written any more: idle partitions' clocks have come to the end."""
    before, moved = [-1], time.monotonic()
    while time.monotonic() - moved < _QUIET_SECONDS:
        ends = [*topics.ends(kafka, "state"), *topics.ends(kafka, "counts")]
        if ends != before:
            before, moved = ends, time.monotonic()
        time.sleep(0.5)


def _replayed(bench: Bench, parts: tuple[list[Block], list[Block]]) -> Counter[bytes]:
    scans, output = bench.folder / "burst.ndjson", bench.folder / "burst-decisions.ndjson"
    with scans.open("wb") as file:
        for block in (*parts[0], *parts[1]):
            file.writelines(value + b"\n" for value in block.values)
    command = [sys.executable, "-m", "pipeline.cli", "replay", "--tracking", str(scans)]
    subprocess.run(
        [*command, "--decisions", str(output), "--json"], check=True, capture_output=True
    )
    return Counter(_lines(output))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def _measurement(
    watch: Watch, found: Counter[bytes], wanted: Counter[bytes], grown: float, backlog: int
) -> Measurement:
    rate = backlog / (watch.seconds[-1] - watch.seconds[0] or 1)
    extra, missing = (found - wanted).total(), (wanted - found).total()
    growth = max(watch.resident) - watch.resident[0] - grown
    title = f"{backlog:,} scans of backlog: at most {max(watch.resident):,.0f} MiB"
    return Measurement(
        row="burst",
        what=f"{BACKLOG_MINUTES} minutes of backlog at 5 times the usual rate",
        goals=[
            Goal(GROWTH, Bound.AT_MOST, ALLOWED_MIB),
            Goal("decisions not in the replay", Bound.AT_MOST, 0.0),
            Goal("decisions missing", Bound.AT_MOST, 0.0),
        ],
        series=[
            Series("catching up", "events/s", [rate]),
            Series("peak memory", "MiB", [max(watch.resident)]),
            Series(GROWTH, "MiB", [max(0.0, growth)]),
            Series("decisions wanted", "decisions", [float(wanted.total())]),
            Series("decisions not in the replay", "decisions", [float(extra)]),
            Series("decisions missing", "decisions", [float(missing)]),
        ],
        curves=[Curve("resident memory", watch.seconds, watch.resident)],
        charts=[
            Chart(
                name="burst",
                title=title,
                y_label="MiB resident",
                curves=["resident memory"],
                x_label="seconds since it began to catch up",
            )
        ],
        notes=[
            f"{backlog:,} scans piled up",
            f"{BYTES_A_ROW} bytes for each new row of state ({grown:.0f} MiB) are no growth",
        ],
    )

"""What it costs that partitions share their models, and what it is worth.

`python -m benchmarks.lessons --partitions 1 4 64` drives the tasks of that many partitions, as the
replay does, over a dense stream (a country's scans, many parcels an hour); with `--world FOLDER`
over a simulated world (sparse), and then says how many of the planted stalls were found. Flow is
left out: it takes no part in either. CPU time, never wall time.
"""

import argparse
import gc
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.traffic import traffic
from configs.load import load_config
from detectors.base import Batch, Counts, Output
from pipeline.recordings import read_blocks
from pipeline.replay import Replay, Replayed
from pipeline.scorecard import read_truth, score
from pipeline.task import Input, Outcome

_GC_THRESHOLD: Final = (100_000, 50, 100)
"""As in the worker."""


class _NoFlow:
    clock = latest = float("-inf")

    def observe(self, _batch: Batch[Counts]) -> list[Output]:
        return []

    def advance(self, _now: float) -> list[Output]:
        return []

    def __len__(self) -> int:
        return 0


class _Weighed(Replay):
    """A replay that weighs the lessons."""

    def __init__(self, config: Any, partitions: int) -> None:
        super().__init__(config, partitions)
        self.bytes_by_epoch: Counter[int] = Counter()

    def _keep(self, outcome: Outcome) -> None:
        for targets, lesson in outcome.lessons:
            size = len(msgspec.msgpack.encode(lesson)) * len(targets)
            self.bytes_by_epoch[lesson.epoch] += size
        super()._keep(outcome)


def _without_flow() -> Any:
    config = load_config()
    return SimpleNamespace(
        version=config.version,
        parcels=config.parcels,
        complaints=config.complaints,
        flow=SimpleNamespace(build=lambda **_: _NoFlow()),
    )


def _run(tracking: Path, partitions: int) -> tuple[Replayed, float, float]:
    """Return what came of it, CPU microseconds an event, and bytes of lessons an epoch."""
    run = _Weighed(_without_flow(), partitions)
    began = time.process_time()
    for lines in read_blocks(Input.TRACKING, [tracking], lambda _: None):
        run.feed(Input.TRACKING, lines)
    replayed = run.finish()
    spent = time.process_time() - began
    epochs = max(len(run.bytes_by_epoch), 1)
    a_event = spent / max(sum(replayed.records.values()), 1)
    return replayed, a_event * 1e6, sum(run.bytes_by_epoch.values()) / epochs


def _dense(folder: Path, events: int, an_hour: int) -> Path:
    path = folder / "tracking.ndjson"
    with path.open("wb") as file:
        for block in traffic(events, in_flight=an_hour // 2, events_per_hour=an_hour):
            file.writelines(value + b"\n" for value in block.values)
    return path


def main() -> None:
    """Print a row for each number of partitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 64])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--an-hour", type=int, default=25_000, help="events of the dense stream")
    parser.add_argument("--world", type=Path, help="folder of `forewarn simulate`")
    chosen = parser.parse_args()
    gc.set_threshold(*_GC_THRESHOLD)
    table = Table("partitions", "us an event", "lessons, KB an epoch", "recall", "false in 1,000")
    with tempfile.TemporaryDirectory() as place:
        world: Path | None = chosen.world
        tracking = (
            world / "tracking.ndjson"
            if world
            else _dense(Path(place), chosen.events, chosen.an_hour)
        )
        for partitions in chosen.partitions:
            replayed, a_event, an_epoch = _run(tracking, partitions)
            table.add_row(
                str(partitions),
                f"{a_event:.1f}",
                f"{an_epoch / 1000:.1f}",
                *_found(world, replayed),
            )
            Console().print(table)


def _found(world: Path | None, replayed: Replayed) -> tuple[str, str]:
    stalls = world and score(replayed, {}, read_truth(world / "truth.ndjson"), 1.0).stalls
    if not stalls:
        return "", ""
    return f"{stalls.hits.recall or 0:.3f}", f"{stalls.false_in_1000 or 0:.2f}"


if __name__ == "__main__":
    main()

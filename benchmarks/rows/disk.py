"""The disk under the broker: what nobody who keeps state can beat."""

import os
import time
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.results import Measurement, Series, Whose, quantile

_BLOCK: Final = os.urandom(1 << 20)
_SMALL: Final = _BLOCK[:4096]
_SYNCS: Final = 100


def run(bench: Bench) -> Measurement:
    """Write much and sync once; write little and sync every time."""
    blocks = bench.size(short=256, full=1024)
    rates, syncs = [], list[float]()
    for _ in range(bench.rounds(short=3, full=5)):
        rates.append(_sequential(bench.folder / "disk", blocks))
        syncs.append(_synced(bench.folder / "disk"))
    bench.say(f"{rates[-1]:,.0f} MiB/s, {syncs[-1]:.2f} ms a synced write")
    return Measurement(
        row="disk",
        what="disk under the broker: written in a row, and synced one by one",
        series=[
            Series("written in a row, one sync at the end", "MiB/s", rates, Whose.LIMIT),
            Series("4 KiB written and synced, median", "ms", syncs, Whose.LIMIT),
        ],
        notes=["the broker syncs when it likes, as Kafka does by default"],
    )


def _sequential(path: Path, blocks: int) -> float:
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(_BLOCK)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.monotonic() - began
    path.unlink()
    return blocks / seconds


def _synced(path: Path) -> float:
    times = []
    with path.open("wb") as file:
        for _ in range(_SYNCS):
            began = time.monotonic()
            file.write(_SMALL)
            file.flush()
            os.fsync(file.fileno())
            times.append((time.monotonic() - began) * 1000)
    path.unlink()
    return quantile(times, 0.5)

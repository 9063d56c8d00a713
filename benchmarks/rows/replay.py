"""`forewarn replay` from NDJSON: scans and complaints, all detectors, one process.

Processor time and wall of the whole command, start and end included.
"""

import sys
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, spread
from benchmarks.traffic import complaints, traffic
from benchmarks.usage import used

WALL: Final = "events/s"
CPU: Final = "events/CPU s"


def run(bench: Bench) -> Measurement:
    """Write the files once, replay them again and again."""
    events = bench.size(short=400_000, full=2_000_000)
    paths = files(bench, events)
    total = sum(_lines(path) for path in paths.values())
    wall, cpu = [], []
    for _ in range(bench.rounds(short=2, full=5)):
        cost = used(_command(paths, bench.folder / "replay-decisions.ndjson"))
        wall.append(total / cost.wall_seconds)
        cpu.append(total / cost.cpu_seconds)
        bench.say(f"replay: {wall[-1]:,.0f} {WALL}, {cpu[-1]:,.0f} {CPU}")
    title = f"A file is replayed at {spread(wall).median:,.0f} events/s, all detectors on"
    return Measurement(
        row="replay",
        what="forewarn replay of NDJSON, all detectors, one core",
        goals=[Goal(f"replay, {WALL}", Bound.AT_LEAST, 200_000)],
        series=[Series(f"replay, {WALL}", WALL, wall), Series(f"replay, {CPU}", CPU, cpu)],
        charts=[Chart(name="replay", title=title, y_label=WALL, unit=WALL, goal=200_000)],
        notes=[f"{total:,} lines, one in fifty a complaint; the whole command"],
    )


def files(bench: Bench, events: int) -> dict[str, Path]:
    """Write scans and complaints of the same hours; return where."""
    scans, grumbles = bench.folder / "scans.ndjson", bench.folder / "complaints.ndjson"
    first = last = 0.0
    with scans.open("wb") as file:
        for block in traffic(events):
            file.write(b"\n".join(block.values) + b"\n")
            first, last = first or float(block.arrivals[0]), float(block.arrivals[-1])
    lines = complaints(max(1, events // 50), hours=(last - first) / 3600)
    grumbles.write_bytes(b"\n".join(lines) + b"\n")
    return {"tracking": scans, "complaints": grumbles}


def _command(paths: dict[str, Path], output: Path) -> list[str]:
    command = [sys.executable, "-m", "pipeline.cli", "replay", "--decisions", str(output)]
    for name, path in paths.items():
        command += [f"--{name}", str(path)]
    return [*command, "--json"]


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)

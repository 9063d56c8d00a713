"""Where a worker's time goes, from the broker's bytes to the commit: a flame graph of its threads.

    python -m benchmarks.flame [--out docs/performance/flame.svg] [--events 3000000] [--seconds 15]

The worker reads a topic that is full already; py-spy samples it from outside. Wide is costly; the
graph can be opened in a browser and searched.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.bench import Bench, Form, fill
from benchmarks.traffic import traffic
from benchmarks.watching import tracking_done

_PATIENCE_SECONDS: Final = 120.0
_OWN: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Record; 1 without py-spy."""
    options = _options()
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if spy is None:
        Console(stderr=True).print("py-spy is missing: make bench installs it")
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="forewarn-flame-") as folder,
        Bench(Path(folder), Form.SHORT, console=Console()) as bench,
    ):
        record(bench, spy, options.events, options.seconds, options.out)
    return 0


def record(bench: Bench, spy: str, events: int, seconds: int, out: Path) -> None:
    """Fill a topic, start a worker on it and sample it while it works."""
    kafka = bench.kafka("flame")
    fill(kafka.brokers, kafka.topic("tracking"), traffic(events))
    worker = bench.worker(kafka)
    with worker.child:
        until = time.monotonic() + _PATIENCE_SECONDS
        while tracking_done(worker.port) < events / 10:
            if time.monotonic() > until:
                raise RuntimeError(f"the worker did not get on: {worker.child.log_tail()}")
            time.sleep(0.1)
        command = [spy, "record", "--pid", str(worker.child.pid), "--duration", str(seconds)]
        command += ["--rate", "200", "--format", "flamegraph", "--output", str(out)]
        subprocess.run(command, check=True, capture_output=True)
    out.write_text(anonymous(out.read_text()))


def anonymous(svg: str) -> str:
    """Shorten paths to what a reader elsewhere has; drop the remarks of the script inside."""
    svg = re.sub(r"^\s*//.*\n", "", svg.replace(f"{_OWN}/", ""), flags=re.MULTILINE)
    return re.sub(r"[\w./-]*/(?:site-packages|python3\.\d+)/", "", svg)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A flame graph of a worker at full speed.")
    parser.add_argument("--out", type=Path, default=Path("docs/performance/flame.svg"))
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--seconds", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

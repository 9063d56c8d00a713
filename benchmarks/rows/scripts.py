"""Benchmarks that print a table of their own: run as they are, their text kept."""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from benchmarks.bench import Bench
from benchmarks.results import Measurement
from benchmarks.usage import used


def script(name: str, what: str, arguments: Sequence[str] = ()) -> Callable[[Bench], Measurement]:
    """Return a row that runs `python -m benchmarks.NAME`."""

    def run(bench: Bench) -> Measurement:
        bench.say(f"python -m benchmarks.{name} {' '.join(arguments)}")
        done = used([sys.executable, "-m", f"benchmarks.{name}", *arguments])
        return Measurement(row=name, what=what, text=done.output.rstrip())

    return run


def exists(name: str) -> bool:
    """Tell whether there is such a benchmark."""
    return find_spec(f"benchmarks.{name}") is not None

"""A process from outside: how far it is, what it has used, how much memory it holds."""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from pipeline.processes import Child

LOOK_SECONDS: Final = 0.1
WARM_SHARE: Final = 0.1
"""Rates are measured from the first look with so much done, ..."""
WARM_SECONDS: Final = 10.0
"""... or so long after the first event was done, for the slow."""
_LINE: Final = re.compile(r"^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_DONE: Final = re.compile(r"^done (\d+)$", re.MULTILINE)
_TAIL_BYTES: Final = 4096


class NotDone(RuntimeError):
    """A process ended or stood still before it had done its work."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a process worked, between two looks."""

    events_per_second: float
    events_per_cpu_second: float
    done: int


@dataclass(frozen=True, slots=True)
class Look:
    """A process at one moment."""

    at: float
    """Seconds of the monotonic clock."""
    done: int
    cpu_seconds: float


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int | str = "self") -> int:
    """Return the memory a process holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int | str = "self") -> int:
    """Return the most memory a process ever held."""
    return _status(pid, "VmHWM")


def _status(pid: int | str, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise NotDone(f"process {pid} has ended")


class Metrics:
    """What a process's `/metrics` say, once."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (name, labels or "", float(value)) for name, labels, value in _LINE.findall(text)
        ]

    def __bool__(self) -> bool:
        """Tell whether the process answered."""
        return bool(self._samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name that have these labels; 0 for none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for found, text, value in self._samples
            if found == name and all(each in text for each in wanted)
        )


def scrape(port: int) -> Metrics:
    """Ask for the metrics of a process; empty while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return Metrics(answer.read().decode())
    except (URLError, ConnectionError, TimeoutError):
        return Metrics("")


def tracking_done(port: int) -> int:
    """Return how many scans the worker with this metrics port has absorbed."""
    return int(scrape(port).total("forewarn_events_total", input="tracking"))


def logged_done(log: Path) -> int:
    """Return the last `done N` that a peer wrote to its log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        found = _DONE.findall(file.read().decode(errors="replace"))
    return int(found[-1]) if found else 0


class Course:
    """The looks at some work: says its rate once it is done.

    Parameters
    ----------
    total
        How much there is to do.
    most_seconds
        A slow one is cut off so long after the first look that counts.
    """

    def __init__(self, total: int, most_seconds: float) -> None:
        self.done = 0
        self.moved_at: float | None = None
        """When there was last something new."""
        self._total, self._most_seconds = total, most_seconds
        self._started: float | None = None
        self._first: Look | None = None

    def take(self, look: Look) -> Rate | None:
        """Take note of a look; return the rate when that was the last."""
        if look.done > self.done or self.moved_at is None:
            self.done, self.moved_at = look.done, look.at
        if self._first is None:
            self._first = self._warm(look)
            return None
        late = look.at - self._first.at > self._most_seconds
        if look.done > self._first.done and (look.done >= self._total or late):
            return _rate(self._first, look)
        return None

    def _warm(self, look: Look) -> Look | None:
        """Return the look if rates may count from it on."""
        if look.done == 0:
            return None
        if self._started is None:
            self._started = look.at
        warm = look.done >= self._total * WARM_SHARE
        return look if warm or look.at - self._started > WARM_SECONDS else None


def measure(
    children: Mapping[Child, Callable[[], int]],
    total: int,
    *,
    patience_seconds: float = 240.0,
    most_seconds: float = 600.0,
) -> Rate:
    """Return the rate of some processes together, from a tenth of the work on to its end.

    Raises `NotDone` when one ends or nothing moves for `patience_seconds`.
    """
    course = Course(total, most_seconds)
    while True:
        look = _look(children)
        rate = course.take(look)
        if rate is not None:
            return rate
        ended = [child for child in children if not child.running]
        if ended or look.at - (course.moved_at or look.at) > patience_seconds:
            child = (ended or list(children))[0]
            raise NotDone(f"{child.name} did {look.done:,} of {total:,}: {child.log_tail()}")
        time.sleep(LOOK_SECONDS)


def _look(children: Mapping[Child, Callable[[], int]]) -> Look:
    done = sum(count() for count in children.values())
    used = sum(cpu_seconds(child.pid) for child in children if child.running)
    return Look(time.monotonic(), done, used)


def _rate(first: Look, last: Look) -> Rate:
    done = last.done - first.done
    return Rate(
        done / (last.at - first.at),
        done / max(last.cpu_seconds - first.cpu_seconds, 1e-9),
        last.done,
    )

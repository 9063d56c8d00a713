"""Where a run took place: processor, memory, system and every version that matters."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.peers.programs import PEERS_PYTHON
from benchmarks.results import Machine

_OURS: Final = ("numpy", "confluent-kafka", "aiokafka", "faust-streaming", "msgspec", "river")
KAFKA: Final = "4.1.0"
"""Of the broker and of Kafka Streams: `.ci/kafka.xml` and `benchmarks/kafka_streams/pom.xml`."""


def machine() -> Machine:
    """Look around."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages * page / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        versions=_versions(),
        commit=_said("git", "describe", "--always", "--dirty"),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "Apache Kafka": KAFKA, "Kafka Streams": KAFKA}
    for name in _OURS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["Java"] = (_said("java", "--version").splitlines() or ["none"])[0]
    if PEERS_PYTHON.exists():
        ask = "from importlib.metadata import version; print(version('quixstreams'))"
        found["Quix Streams"] = _said(str(PEERS_PYTHON), "-c", ask)
    return found


def _said(*command: str) -> str:
    """Return what a command says, nothing where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()

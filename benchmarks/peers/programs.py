"""How each peer and each limit is started."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.results import Whose

PEERS_PYTHON: Final = Path(sys.prefix) / "peers" / "bin" / "python"
"""The environment of `requirements-peers.lock`; `make bench` makes it."""
FAUST: Final = "Faust, a table"
_HERE: Final = Path(__file__).parent
_STREAMS: Final = _HERE.parent / "kafka_streams"
_LIBRARIES: Final = _STREAMS / "target" / "lib"
_BUILD_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Program:
    """A program that reads the same topic."""

    name: str
    argv: tuple[str, ...]
    whose: Whose = Whose.PEER
    environment: Mapping[str, str] = field(default_factory=dict)
    most_seconds: float = 300.0
    """It is cut off after so long: its rate is known by then."""
    absent: str | None = None
    """Why it cannot run here."""


def programs() -> list[Program]:
    """Return every program, those first that would be picked instead."""
    streams = _streams_absent()
    java = ("java", "-cp", f"{_LIBRARIES}/*", "forewarn.CountScans")
    quix = None if PEERS_PYTHON.exists() else "its environment is missing: make bench makes it"
    module = (sys.executable, "-m")
    return [
        Program(
            "Quix Streams, RocksDB",
            (str(PEERS_PYTHON), str(_HERE / "quix_streams.py")),
            absent=quix,
        ),
        Program("Kafka Streams, RocksDB", java, environment={"STORE": "rocksdb"}, absent=streams),
        Program(
            "Kafka Streams, RocksDB, no cache",
            java,
            environment={"STORE": "rocksdb", "CACHE": "0"},
            absent=streams,
        ),
        Program("Kafka Streams, in memory", java, environment={"STORE": "memory"}, absent=streams),
        Program(
            FAUST,
            (*module, "benchmarks.stock_agent", "worker", "--without-web", "-l", "warn"),
            most_seconds=15.0,
        ),
        Program(
            "confluent-kafka, decode only",
            (*module, "benchmarks.peers.bare_confluent"),
            Whose.LIMIT,
        ),
        Program("aiokafka, decode only", (*module, "benchmarks.peers.bare_aiokafka"), Whose.LIMIT),
    ]


def _streams_absent() -> str | None:
    """Build the Java peer where that is possible; say why not."""
    if shutil.which("java") is None:
        return "Java is not installed"
    if _built():
        return None
    if shutil.which("mvn") is None:
        return "Maven is not installed"
    build = ["mvn", "-q", "-B", "-f", str(_STREAMS / "pom.xml"), "package"]
    done = subprocess.run(
        build, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS
    )
    return None if done.returncode == 0 else f"Maven failed: {done.stdout[-300:]}"


def _built() -> bool:
    jar = _LIBRARIES / "peer.jar"
    sources = [_STREAMS / "pom.xml", *_STREAMS.glob("src/**/*.java")]
    return jar.exists() and all(each.stat().st_mtime < jar.stat().st_mtime for each in sources)

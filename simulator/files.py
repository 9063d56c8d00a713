"""A simulation as files: NDJSON in order of arrival, plain or compressed."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec
import zstandard

from simulator.simulation import Simulation

_LINES = 20_000


class Compression(StrEnum):
    """How the streams are written; the truth and the world stay plain."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


class _Out(Protocol):
    def write(self, data: bytes, /) -> int:
        """Take bytes."""
        ...


@contextmanager
def _writing(path: Path, compression: Compression) -> Iterator[_Out]:
    """Open a file whose bytes depend on nothing but what is written."""
    with path.open("wb") as raw:
        if compression is Compression.GZIP:
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                yield packed
        elif compression is Compression.ZSTD:
            with zstandard.ZstdCompressor(level=6).stream_writer(raw, closefd=False) as packed:
                yield packed
        else:
            yield raw


def write_lines(path: Path, lines: Iterable[bytes], compression: Compression) -> None:
    """Write NDJSON."""
    lines = iter(lines)
    with _writing(path, compression) as out:
        while block := list(islice(lines, _LINES)):
            out.write(b"\n".join(block))
            out.write(b"\n")


def write_simulation(
    simulation: Simulation, folder: Path, compression: Compression = Compression.NONE
) -> list[Path]:
    """Write tracking, complaints, truth and world.json; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    tracking = folder / f"tracking.ndjson{compression}"
    complaints = folder / f"complaints.ndjson{compression}"
    truth, world = folder / "truth.ndjson", folder / "world.json"
    write_lines(tracking, (value for _, value, _ in simulation.tracking_records()), compression)
    write_lines(complaints, (value for _, value, _ in simulation.complaint_records()), compression)
    write_lines(truth, simulation.truth_lines(), Compression.NONE)
    world.write_bytes(msgspec.json.format(msgspec.json.encode(simulation.describe())) + b"\n")
    return [tracking, complaints, truth, world]

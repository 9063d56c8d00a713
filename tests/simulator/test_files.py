"""Simulations as files."""

import gzip
from pathlib import Path

import msgspec
import pytest
import zstandard

from simulator.files import Compression, write_simulation
from simulator.simulation import simulate


@pytest.mark.parametrize("compression", Compression)
def test_files_hold_the_simulation_and_never_differ(
    tmp_path: Path, compression: Compression
) -> None:
    """Each packing gives the same bytes twice, and the records of the simulation inside."""
    simulation = simulate(60, 15, 3)
    first = write_simulation(simulation, tmp_path / "a", compression)
    second = write_simulation(simulation, tmp_path / "b", compression)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    raw = first[0].read_bytes()
    if compression is Compression.GZIP:
        raw = gzip.decompress(raw)
    elif compression is Compression.ZSTD:
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    assert raw.splitlines() == [value for _, value, _ in simulation.tracking_records()]


def test_world_json_describes_the_world(tmp_path: Path) -> None:
    """world.json holds the seed, the carriers and how much of what there is."""
    simulation = simulate(60, 15, 3)
    *_, world = write_simulation(simulation, tmp_path)
    described = msgspec.json.decode(world.read_bytes())
    assert described["world"]["seed"] == 3
    assert described["tracking_events"] == len(simulation.scans)
    assert sum(described["scans_by_carrier"].values()) == len(simulation.scans)
    assert sum(described["truth"].values()) == len(simulation.truth)

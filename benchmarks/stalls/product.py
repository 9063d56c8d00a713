"""The shipped configuration over one world, in process, as `forewarn replay` does it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.stalls.judged import Judged
from benchmarks.stalls.scoring import Said
from configs.load import Config, load_config
from detectors.decisions import Decision, StallOpened
from pipeline.replay import replay
from simulator.files import Compression, write_lines
from simulator.simulation import Simulation

EXPERTS: Final[Mapping[str, Mapping[str, Any]]] = {}
"""Experts of the dwell committee that can be shown alone: name, and fields of `parcels` for it."""


def configured(changes: Mapping[str, Any] | None = None) -> Config:
    """Return the shipped configuration, with some fields of `parcels` changed.

    Raises `pydantic.ValidationError` for a field or value that does not exist.
    """
    config = load_config()
    if not changes:
        return config
    model = type(config.parcels)
    parcels = model.model_validate({**config.parcels.model_dump(), **changes})
    return replace(config, detectors=config.detectors.model_copy(update={"parcels": parcels}))


def decide(simulation: Simulation, config: Config, partitions: int) -> list[Decision]:
    """Return every decision about a world's scans."""
    with tempfile.TemporaryDirectory(prefix="forewarn-stalls-") as made:
        path = Path(made) / "tracking.ndjson"
        records = (value for _, value, _ in simulation.tracking_records())
        write_lines(path, records, Compression.NONE)
        return replay(config, [path], [], partitions).decisions


def stalls_said(judged: Judged, decisions: Sequence[Decision]) -> Said:
    """Return the flags among decisions."""
    opened = [each for each in decisions if isinstance(each, StallOpened)]
    return Said(
        np.array([int(each.parcel_id[2:]) for each in opened], np.int64),
        hours(judged, opened),
        [each.milestone.value for each in opened],
    )


def hours(judged: Judged, decisions: Sequence[Decision]) -> np.ndarray:
    """Return when decisions were made, in hours of the world."""
    start = judged.simulation.world.start
    return np.array([(each.decided_at - start).total_seconds() / 3600 for each in decisions])

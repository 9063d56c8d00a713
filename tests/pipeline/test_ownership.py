"""A partition in a worker's hands, on a broker: what is committed together."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detectors.base import Cell, Counts, Metric
from pipeline.health import Progress
from pipeline.ownership import Owned
from pipeline.record_columns import RecordColumns
from pipeline.records import RawRecord
from pipeline.statelog import StateLog
from pipeline.task import Input, Task
from tests.pipeline.counting import POISON, counting_config
from tests.pipeline.stage import Event, Stage
from tests.real_parts import Broker


@pytest.fixture
def stage(broker: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(broker.bootstrap, name, tmp_path)
    stage.create()
    return stage


def _owned(stage: Stage) -> Owned:
    config: Any = counting_config()
    owned = Owned(stage.settings, config, 0, Progress())
    owned.open()
    return owned


def _scans(numbers: Sequence[int], carrier: str = "swift") -> RecordColumns:
    scans = [Event(number, "P1", carrier) for number in numbers]
    return RecordColumns.of([RawRecord(s.key, s.value, s.number, 0) for s in scans])


def _counts(offset: int) -> RecordColumns:
    counts = Counts(
        source="parcels/1",
        through=60 * offset,
        cells=(Cell(Metric.SCANS, "swift", 0, 7, 0),),
    )
    value = msgspec.json.encode(counts)
    return RecordColumns.of([RawRecord(b"parcels/1", value, offset, 0)])


def _committed(stage: Stage) -> tuple[Task, int]:
    """Return the state that is on the broker, and of how many transactions."""
    config: Any = counting_config()
    task, log = Task(0, 4, config), StateLog(stage.kafka, 0)
    log.open(task)
    log.close()
    return task, log.ring.n


def test_inputs_that_come_together_are_committed_together(stage: Stage) -> None:
    """Counts that were absorbed before scans are in the scans' transaction."""
    owned = _owned(stage)

    async def both() -> list[bool]:
        chunks = await asyncio.gather(
            owned.chunk(Input.COUNTS, _counts(0)),
            owned.chunk(Input.TRACKING, _scans(range(20))),
        )
        return [*chunks]

    assert all(asyncio.run(both()))
    task, transactions = _committed(stage)
    assert transactions == 1
    assert (task.offsets[Input.COUNTS], task.offsets[Input.TRACKING]) == (0, 19)
    assert stage.decided() == ["swift/P1:10", "swift/P1:20"]


def test_counts_alone_are_committed_all_the_same(stage: Stage) -> None:
    """Whoever waits for others to come does not wait for ever."""
    owned = _owned(stage)
    assert asyncio.run(owned.chunk(Input.COUNTS, _counts(0)))
    task, transactions = _committed(stage)
    assert (task.offsets[Input.COUNTS], transactions) == (0, 1)


def test_what_another_input_brought_survives_a_record_that_breaks_the_core(stage: Stage) -> None:
    """State is loaded anew, and what waited to be committed is done again, once."""
    owned = _owned(stage)
    poisoned = RecordColumns.of([*_scans(range(5)), *_scans([5], POISON), *_scans(range(6, 21))])

    async def both() -> list[bool]:
        chunks = await asyncio.gather(
            owned.chunk(Input.COUNTS, _counts(0)), owned.chunk(Input.TRACKING, poisoned)
        )
        return [*chunks]

    assert all(asyncio.run(both()))
    task, _ = _committed(stage)
    assert task.offsets[Input.COUNTS] == 0
    assert task.offsets[Input.TRACKING] == 20
    flow: Any = task._cores[Input.COUNTS]
    assert flow.counted() == {"swift": 7}
    assert stage.decided() == ["swift/P1:10", "swift/P1:20"]


def test_a_partition_that_is_revoked_leaves_nothing_open(stage: Stage) -> None:
    """What was absorbed is on the broker before somebody else may own the partition."""
    owned = _owned(stage)

    async def revoked() -> Task:
        chunk = asyncio.create_task(owned.chunk(Input.COUNTS, _counts(0)))
        await asyncio.sleep(0)
        assert owned.task.offsets[Input.COUNTS] == 0, "absorbed at once, and not committed"
        await owned.settle()
        task, _ = await asyncio.to_thread(_committed, stage)
        assert await chunk
        return task

    assert asyncio.run(revoked()).offsets[Input.COUNTS] == 0


def test_time_and_what_waits_are_committed_together(stage: Stage) -> None:
    """Letting the clock advance commits what was absorbed, with what follows from it."""
    owned = _owned(stage)

    async def advanced() -> None:
        chunk = asyncio.create_task(owned.chunk(Input.COUNTS, _counts(0)))
        await asyncio.sleep(0)
        assert owned.task.offsets[Input.COUNTS] == 0, "absorbed at once, and not committed"
        await owned.advance(Input.TRACKING, 120.0)
        assert await chunk

    asyncio.run(advanced())
    task, transactions = _committed(stage)
    assert (task.offsets[Input.COUNTS], transactions) == (0, 1)
    assert task.clock(Input.TRACKING) == 120.0

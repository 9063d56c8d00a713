"""Whatever becomes of chunks on their way to the task, each record is judged once, in order.

The real worker and ownership, a log and a consumer in memory: chunks are lost, come late or come
twice while partitions are dealt anew and processes die.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from faust.types import TP
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.decisions import Decision
from pipeline import ownership
from pipeline.clock import Tick
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.ring import Ring
from pipeline.settings import Clock, Kafka, Settings
from pipeline.task import Input, Outcome, Task
from pipeline.worker import Worker
from tests.pipeline.counting import counting_config
from tests.pipeline.stage import Event

SCANS = TP("forewarn.tracking", 0)
_OPERATIONS = st.sampled_from(
    ["deliver", "lose", "put off", "late", "tick", "dealt anew", "fetched while dealt anew", "die"]
)
State = dict[bytes, bytes]


class Memory:
    """A state log in memory, one transaction a chunk."""

    state: State
    decided: list[Decision]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.ring = Ring()

    def open(self, task: Task) -> None:
        self.ring = Ring()
        self.ring.recover(self.state, task)

    def reload(self, task: Task) -> None:
        self.open(task)

    def commit(self, task: Task, outcome: Outcome, *_: Any) -> None:
        write = self.ring.write(task)
        self.state.update(write.values)
        for key in write.tombstones:
            self.state.pop(key, None)
        self.decided.extend(outcome.decisions)

    def close(self) -> None:
        """Forget nothing: another one goes on with what is committed."""


class Log:
    """A partition's scans, with holes where markers of transactions stand, and its reader."""

    def __init__(self, holes: Iterable[int]) -> None:
        self.records: list[RawRecord] = []
        offset, left = 0, set(holes)
        for number in range(60):
            offset += 1 + (number in left)
            scan = Event(number, "P1")
            self.records.append(RawRecord(scan.key, scan.value, offset, 0))
        self.begin = 0

    def fetch(self, count: int) -> RecordColumns:
        """Return the next records, and stand behind them."""
        left = [record for record in self.records if record.offset >= self.begin]
        chunk = RecordColumns.of(left[:count])
        chunk.begin = self.begin
        if len(chunk):
            self.begin = chunk.offsets[-1] + 1
        return chunk

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1


class Reader:
    """What the worker needs of a consumer."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def place(self, offsets: dict[TP, int]) -> None:
        self._log.begin = offsets.get(SCANS, self._log.begin)

    async def bounds(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        return {tp: (0, self._log.end if tp == SCANS else 0) for tp in tps}

    async def committed(self, tps: Iterable[TP]) -> dict[TP, None]:
        return dict.fromkeys(tps)

    def reached(self, *_: Any) -> None:
        """Commit nothing."""

    def lag_records(self, *_: Any) -> int:
        return 0


class Scene:
    """A worker that has one partition, and what is done to it."""

    def __init__(self, log: Log) -> None:
        self.log, self.put_off = log, list[RecordColumns]()
        self._generation = 0
        self._tps = {TP(f"forewarn.{source}", 0) for source in Input}
        self._worker = self._born()

    def _born(self) -> Worker:
        kafka = Kafka(brokers="nowhere:1", partitions=1)
        return Worker(Settings(kafka=kafka, clock=Clock.DATA), counting_config())

    async def deal(self) -> None:
        """Give the worker its partition."""
        self._generation += 1
        self._worker._app.consumer_generation_id = self._generation
        await self._worker._assigned(None, self._tps)
        await asyncio.gather(*self._worker._jobs)

    async def do(self, operation: str, count: int) -> None:
        match operation:
            case "deliver":
                await self.take(self.log.fetch(count))
            case "lose":
                self.log.fetch(count)
            case "put off":
                self.put_off.append(self.log.fetch(count))
            case "late":
                for chunk in self.put_off:
                    await self.take(chunk)
                self.put_off.clear()
            case "tick":
                await self.tick()
            case "die":
                self._worker = self._born()
                await self.deal()
            case _:
                await self._worker._revoked(None, self._tps)
                await self.deal()
                if operation != "dealt anew":
                    self.log.fetch(count)

    async def take(self, chunk: RecordColumns) -> None:
        if len(chunk):
            await self._worker._process(Input.TRACKING, SCANS, chunk)

    async def tick(self) -> None:
        quiet = Tick(max(0, self.log.end - self.log.begin), 9.0, self.log.begin)
        await self._worker._process(Input.TRACKING, SCANS, quiet)

    def reached(self) -> int:
        return self._worker._owned[0].task.offsets[Input.TRACKING]


async def _play(log: Log, operations: list[tuple[str, int]]) -> int:
    scene = Scene(log)
    await scene.deal()
    for operation, count in operations:
        await scene.do(operation, count)
    for _ in range(2):  # the first tick finds what is missing
        while len(chunk := log.fetch(7)):
            await scene.take(chunk)
        await scene.tick()
    return scene.reached()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(_OPERATIONS, st.integers(1, 12)), max_size=12), st.sets(st.integers(0, 59))
)
@example([("deliver", 5), ("fetched while dealt anew", 7)], set())
@example([("deliver", 5), ("lose", 60)], set())
@example([("put off", 5), ("deliver", 5), ("late", 1)], {3, 5})
def test_every_record_once_and_in_order(operations: list[tuple[str, int]], holes: set[int]) -> None:
    """Decisions, and the last record absorbed, are those of an undisturbed reader."""
    Memory.state, Memory.decided = {}, []
    log = Log(holes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ownership, "StateLog", Memory)
        patch.setattr(Worker, "_consumer", Reader(log))
        assert asyncio.run(_play(log, operations)) == log.end - 1
    ids = [decision.decision_id for decision in Memory.decided]
    assert ids == [f"swift/P1:{count}" for count in range(10, 61, 10)]

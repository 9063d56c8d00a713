"""One transaction a chunk on a real broker: whole or nothing, and by one owner at a time."""

import json
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from pipeline.broker_errors import cause_of
from pipeline.clock import Notice
from pipeline.records import RawRecord
from pipeline.statelog import StateLog
from pipeline.stops import Fenced, WorkerFailure
from pipeline.task import Input, Outcome, Task
from tests.pipeline.counting import counting_config
from tests.pipeline.stage import Event, Stage
from tests.real_parts import Broker

TOPICS = {source: f"x.{source}" for source in Input}


@pytest.fixture
def stage(broker: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(broker.bootstrap, name, tmp_path)
    stage.create()
    return stage


def _task() -> Task:
    return Task(0, 4, counting_config())


def _records(first: int, count: int) -> list[RawRecord]:
    scans = [Event(n, "P1") for n in range(first, first + count)]
    return [RawRecord(scan.key, scan.value, scan.number, 0) for scan in scans]


def _pages(task: Task) -> list[list[bytes]]:
    return [task.dump(page, 4) for page in range(4)]


def test_state_and_what_follows_come_together(stage: Stage) -> None:
    """What a chunk caused and the state that knows of it are committed at once."""
    task, log = _task(), StateLog(stage.kafka, 0)
    log.open(task)
    for first in range(0, 100, 20):
        outcome = task.absorb(Input.TRACKING, _records(first, 20))
        log.commit(task, outcome, TOPICS, Notice(60.0))
    copy, heir = _task(), StateLog(stage.kafka, 0)
    heir.open(copy)
    assert _pages(copy) == _pages(task)
    assert copy.offsets == task.offsets
    assert heir.ring.n == 5
    assert len(stage.decided()) == 10
    assert [json.loads(value) for value in stage.values("notices")] == [{"clock": 60.0}] * 20
    heir.close()


def test_a_former_owner_is_fenced(stage: Stage) -> None:
    """Once another has opened the log, the former owner commits nothing any more."""
    task, log = _task(), StateLog(stage.kafka, 0)
    log.open(task)
    log.commit(task, task.absorb(Input.TRACKING, _records(0, 10)), TOPICS)
    copy, heir = _task(), StateLog(stage.kafka, 0)
    heir.open(copy)
    with pytest.raises(Fenced):
        log.commit(task, task.absorb(Input.TRACKING, _records(10, 10)), TOPICS)
    heir.commit(copy, copy.absorb(Input.TRACKING, _records(10, 10)), TOPICS)
    assert stage.decided() == ["swift/P1:10", "swift/P1:20"]


def test_a_fence_learned_of_in_the_background_is_a_fence(stage: Stage) -> None:
    """A producer that is done for says only that; the transaction's own error says why."""
    log, heir = StateLog(stage.kafka, 0), StateLog(stage.kafka, 0)
    log.open(_task())
    producer = log._owned()
    producer.begin_transaction()
    heir.open(_task())
    with pytest.raises(KafkaException) as raised:  # noqa: PT012 - any of these may be the first
        for _ in range(100):
            producer.produce(stage.kafka.topic("state"), b"x", b"x", partition=0)
            producer.flush(0.2)
    cause = cause_of(producer, raised.value)
    assert isinstance(log._failure("a chunk could not be written", cause), Fenced)
    heir.close()


def test_a_log_that_is_not_open_writes_nothing(stage: Stage) -> None:
    """After `close` a late chunk cannot slip in."""
    log = StateLog(stage.kafka, 0)
    log.open(_task())
    log.close()
    with pytest.raises(WorkerFailure, match="not open"):
        log.commit(_task(), Outcome(), TOPICS)

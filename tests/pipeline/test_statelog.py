"""One transaction a chunk on a real broker: whole or nothing, and by one owner at a time."""

import hashlib
import json
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from pipeline import metrics, statelog
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


def test_more_than_the_queue_takes_waits_for_the_broker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction larger than the client's queue is slower, not a failure."""
    monkeypatch.setattr(statelog, "QUEUE_MESSAGES", 10)
    records = [RawRecord(b"k", b"junk", offset, 0) for offset in range(1000)]
    task, log = _task(), StateLog(stage.kafka, 0)
    log.open(task)
    log.commit(task, task.absorb(Input.TRACKING, records), TOPICS)
    assert len(stage.letters()) == 1000


def test_a_chunk_larger_than_a_message_is_one_chunk(stage: Stage) -> None:
    """State that changed by megabytes at once is written in parts and comes back whole."""
    scans = [Event(n, f"{hashlib.sha512(b'%d' % n).hexdigest()}") for n in range(20_000)]
    records = [RawRecord(scan.key, scan.value, scan.number, 0) for scan in scans]
    task, log = _task(), StateLog(stage.kafka, 0)
    log.open(task)
    log.commit(task, task.absorb(Input.TRACKING, records), TOPICS)
    assert len(stage.values("state")) > 1
    copy, heir = _task(), StateLog(stage.kafka, 0)
    heir.open(copy)
    assert copy.rows() == task.rows() == 20_000
    assert _pages(copy) == _pages(task)


def test_recovery_shows_how_far_it_is(stage: Stage) -> None:
    """What was read and loaded stands in the metrics."""
    task, log = _task(), StateLog(stage.kafka, 3)
    log.open(task)
    for first in range(0, 100, 20):
        log.commit(task, task.absorb(Input.TRACKING, _records(first, 20)), TOPICS)
    StateLog(stage.kafka, 3).open(_task())
    said = {"partition": "3"}
    read = metrics.REGISTRY.get_sample_value("forewarn_recovery_read_bytes", said)
    assert read == sum(map(len, stage.values("state")))
    for stage_name in ("read", "load"):
        labels = {**said, "stage": stage_name}
        assert metrics.REGISTRY.get_sample_value("forewarn_recovery_share_ratio", labels) == 1.0

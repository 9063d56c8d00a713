"""The worker as its own process on a real broker, with cores that count."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.processes import Child
from pipeline.stops import BrokenRing, SourceGap, WrongTopics
from pipeline.task import sources_of
from tests.pipeline.counting import POISON
from tests.pipeline.stage import BEGIN, Event, Stage, decide, events
from tests.real_parts import Broker


@pytest.fixture
def stage(broker: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(broker.bootstrap, name, tmp_path)
    stage.create()
    return stage


@pytest.fixture
def real_stage(kafka: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(kafka.bootstrap, name, tmp_path)
    stage.create()
    return stage


@pytest.mark.parametrize(("block", "code"), [("threading.Event().wait()", 3), ("None", 0)])
def test_a_stop_that_blocks_the_loop_ends_the_process(block: str, code: int) -> None:
    """Faust joins its consumer's thread on the loop: a frozen one once kept a zombie for ever."""
    script = f"""
import asyncio, threading, time
from pipeline.worker import ended_within
async def stop():
    with ended_within(0.2, 3):
        async with asyncio.timeout(0.1):
            {block}
    time.sleep(0.4)
asyncio.run(stop())
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == code


def test_decides_what_the_task_decides(stage: Stage) -> None:
    """The worker's decisions are those of the same task without Kafka, whatever the chunks."""
    scans = events(5000)
    stage.feed(scans)
    with stage.worker() as child:
        stage.until_decided(decide(scans), child)
        assert child.stop() == 0, child.log_tail()
    assert stage.decided() == decide(scans)


def test_idle_inputs_follow_the_data(stage: Stage) -> None:
    """Complaints that never come and partitions that end early do not hold time back."""
    scans = [Event(n, "P1") for n in range(0, 5000, 100)]
    stage.feed(scans)
    last = (BEGIN + scans[-1].number * 0.05) // 60 * 60

    def through() -> dict[str, int]:
        reports = [json.loads(value) for value in stage.values("counts")]
        return {
            source: max((r["through"] for r in reports if r["source"] == source), default=0)
            for source in sources_of(4)
        }

    with stage.worker() as child:
        stage.until(lambda: min(through().values()) >= last, child)
        assert set(through().values()) == {last}


def _ended(child: Child) -> int:
    with child:
        return child.wait(60)


def test_goes_on_where_it_stopped(stage: Stage) -> None:
    """SIGTERM ends it with 0, its offsets are committed, and the next one goes on from there."""
    scans = events(3000)
    stage.feed(scans[:1500])
    with stage.worker() as child:
        stage.until_decided(decide(scans[:1500]), child)
        assert child.stop() == 0
    reader = Consumer({"bootstrap.servers": stage.kafka.brokers, "group.id": stage.kafka.group})
    tps = [TopicPartition(stage.kafka.topic("tracking"), number) for number in range(4)]
    assert sum(tp.offset for tp in reader.committed(tps, timeout=10)) == 1500
    reader.close()
    stage.feed(scans[1500:])
    with stage.worker() as child:
        stage.until_decided(decide(scans), child)
    assert stage.decided() == decide(scans)


def _recovered(log: Path) -> bool:
    return log.exists() and "partition recovered" in log.read_text()


@pytest.mark.slow
def test_scans_that_come_while_partitions_are_dealt_anew(real_stage: Stage) -> None:
    """A worker that comes and goes three times beside another one costs no scan.

    Scans come one by one, so that fetches wait for them, also while the group is dealt anew.
    """
    scans = events(9000)
    feeding = Thread(
        target=real_stage.feed, args=(scans,), kwargs={"pause_seconds": 0.02, "every": 5}
    )
    with real_stage.supervised("A") as first:
        feeding.start()
        for number in range(3):
            with real_stage.supervised(f"B{number}") as second:
                log = real_stage.folder / f"B{number}.log"
                real_stage.until(partial(_recovered, log))
                assert second.stop() == 0
        feeding.join()
        real_stage.until_decided(decide(scans))
        assert first.stop() == 0
    assert real_stage.decided() == decide(scans)


def test_refuses_wrong_topics(broker: Broker, name: str, tmp_path: Path) -> None:
    """Without its topics it does not start, and says which command makes them."""
    stage = Stage(broker.bootstrap, name, tmp_path)
    child = stage.worker()
    assert _ended(child) == WrongTopics.exit_code
    assert "forewarn topics create" in child.log_tail()


def test_sets_aside_the_record_that_breaks_a_core(stage: Stage) -> None:
    """Poison becomes a dead letter and leaves nothing behind; its neighbours are decided."""
    scans = events(2000)
    poison = [Event(n, "P1", POISON) for n in (2000, 2001)]
    mixed = [*scans[:700], poison[0], *scans[700:1200], poison[1], *scans[1200:]]
    stage.feed(mixed)
    with stage.worker() as child:
        stage.until_decided(decide(scans), child)
        stage.until(lambda: len(stage.letters()) == 2, child)
        assert child.stop() == 0
    assert stage.decided() == decide(scans)
    letters = stage.letters()
    assert [letter["forewarn-reason"] for letter in letters] == ["core_failed"] * 2
    assert {letter["forewarn-topic"] for letter in letters} == {stage.kafka.topic("tracking")}


def test_stops_when_every_record_breaks_the_core(stage: Stage) -> None:
    """A core that fails on everything is a bug of ours, not a topic full of poison."""
    stage.feed([Event(n, "P1", POISON) for n in range(40)])
    child = stage.worker()
    assert _ended(child) == 8
    assert "break the core" in child.log_tail(4000)


def _run_once(stage: Stage) -> list[Event]:
    scans = events(2000)
    stage.feed(scans)
    with stage.worker() as child:
        stage.until_decided(decide(scans), child)
        assert child.stop() == 0
    return scans


def test_stops_at_a_gap(real_stage: Stage) -> None:
    """Records deleted before they were read stop it; told to skip, it goes on without them."""
    stage = real_stage
    _run_once(stage)
    more = [Event(n, "P9") for n in range(2000, 2030)]
    stage.feed(more)
    admin = AdminClient({"bootstrap.servers": stage.kafka.brokers})
    topic = stage.kafka.topic("tracking")
    ends = [TopicPartition(topic, number, -1) for number in range(4)]
    for future in admin.delete_records(ends).values():
        future.result()
    child = stage.worker()
    assert _ended(child) == SourceGap.exit_code
    assert "on_gap: skip" in child.log_tail()
    before = len(stage.decided())
    stage.feed([Event(n, "P9") for n in range(2030, 2040)])
    with stage.worker(FOREWARN_ON_GAP="skip") as child:
        stage.until(lambda: len(stage.decided()) > before, child)


def test_refuses_a_broken_ring(stage: Stage) -> None:
    """With one record of its state gone it does not start from what is left."""
    _run_once(stage)
    topic = stage.kafka.topic("state")
    records = stage.values("state")
    assert records
    reader = Consumer({"bootstrap.servers": stage.kafka.brokers, "group.id": "look"})
    reader.assign([TopicPartition(topic, 0, 0)])
    first = reader.consume(1, 20)[0]
    reader.close()
    producer = Producer({"bootstrap.servers": stage.kafka.brokers, "enable.idempotence": True})
    producer.produce(topic, None, first.key(), partition=0)
    assert producer.flush(20) == 0
    child = stage.worker()
    assert _ended(child) == BrokenRing.exit_code
    assert "missing" in child.log_tail()


def test_a_lost_state_is_no_empty_start(real_stage: Stage) -> None:
    """A state topic that was emptied stops it while the group's offsets say it has read."""
    stage = real_stage
    _run_once(stage)
    admin = AdminClient({"bootstrap.servers": stage.kafka.brokers})
    topic = stage.kafka.topic("state")
    admin.delete_topics([topic])[topic].result()
    stage.until(lambda: topic not in admin.list_topics(timeout=10).topics)
    stage.create()
    child = stage.worker()
    assert _ended(child) == BrokenRing.exit_code
    assert "no state" in child.log_tail()

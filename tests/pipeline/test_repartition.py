"""`forewarn repartition` on a real broker: workers before and after, a kill, money."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from confluent_kafka import Producer

from benchmarks.reading import committed, values
from configs.load import load_config
from detectors.decisions import Decision, StallCleared, StallOpened
from pipeline import topics
from pipeline.copying import home_of_subject
from pipeline.ledger import State
from pipeline.ownership import CLOCKED
from pipeline.processes import Child
from pipeline.producer import Outgoing, RecordProducer
from pipeline.settings import Kafka
from pipeline.stops import Sealed
from tests.pipeline.delivering import delivering, stall
from tests.pipeline.moving import Partitions, Sent
from tests.pipeline.test_moving import certain, stream
from tests.real_parts import Broker, RedisServer

PATIENCE_SECONDS: Final = 120.0
_decode = msgspec.json.Decoder(Decision).decode


def settings_of(kafka: Kafka) -> dict[str, str]:
    return {
        "FOREWARN_KAFKA__BROKERS": kafka.brokers,
        "FOREWARN_KAFKA__PREFIX": kafka.prefix,
        "FOREWARN_KAFKA__GROUP": kafka.group,
        "FOREWARN_KAFKA__PARTITIONS": str(kafka.partitions),
        "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
        "FOREWARN_CLOCK": "data",
        "FOREWARN_IDLE_SECONDS": "2",
        "FOREWARN_METRICS__PORT": "0",
        "FOREWARN_LOG__FORMAT": "json",
    }


def command(kafka: Kafka, *words: str) -> subprocess.Popen[str]:
    """Start `forewarn repartition` with the settings of a prefix."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("FOREWARN_")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "repartition", *words, "--json"],
        env=environment | settings_of(kafka),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(kafka: Kafka, *words: str) -> dict[str, Any]:
    """Run it to its end and return what it says."""
    child = command(kafka, *words)
    out, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 0, err
    said: dict[str, Any] = json.loads(out)
    return said


def refused(kafka: Kafka, *words: str) -> str:
    """Run it and return why it will not."""
    child = command(kafka, *words)
    _, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 1, err
    return err


def grown(kafka: Kafka, partitions: int) -> Kafka:
    name = f"{kafka.prefix}-{partitions}"
    return kafka.model_copy(update={"prefix": name, "group": name, "partitions": partitions})


def write(kafka: Kafka, sent: list[Sent]) -> None:
    RecordProducer(kafka.brokers).send(
        Outgoing(kafka.topic(source), key, value, 0) for source, key, value in sent
    )


@contextmanager
def worker(kafka: Kafka, folder: Path) -> Iterator[Child]:
    log = folder / f"{kafka.prefix}.log"
    argv = [sys.executable, "-m", "pipeline.cli", "worker"]
    with Child("worker", argv, log=log, environment=settings_of(kafka), stop_seconds=40) as child:
        yield child


def until_read(kafka: Kafka, child: Child) -> None:
    """Wait until nothing has been written for some seconds: all is judged."""
    began = moved = time.monotonic()
    before: Any = None
    while time.monotonic() - moved < 10 or before == ([0] * kafka.partitions,) * 2:
        assert child.running, child.log_tail(4000)
        assert time.monotonic() - began < PATIENCE_SECONDS, child.log_tail(4000)
        ends = topics.ends(kafka, "state"), topics.ends(kafka, "counts")
        if ends != before:
            before, moved = ends, time.monotonic()
        time.sleep(0.5)


def undisturbed() -> Partitions:
    """The run that always had 6 partitions, idle ones brought to the largest clock of all."""
    run = Partitions(6, load_config())
    run.feed(stream())
    run.settle()
    latest = max(run.tasks[0].clock(source) for source in CLOCKED)
    for source in CLOCKED:
        run.advance(source, latest)
    return run


def decided(kafka: Kafka) -> list[Decision]:
    found = values(kafka.brokers, kafka.topic("decisions"), kafka.partitions)
    return [_decode(value) for value in found]


def killed_while_writing(old: Kafka, new: Kafka) -> None:
    """Kill the command once it has written some of the new state."""
    child = command(old, "--to", str(new.partitions))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(topics.ends(new, "state")) < 2 * new.partitions:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_to_six(kafka: Broker, name: str, tmp_path: Path) -> None:
    """Workers on 4 partitions, then on 6: nothing is missed, doubled or left open."""
    old = Kafka(brokers=kafka.bootstrap, prefix=name, group=name)
    new = grown(old, 6)
    topics.create(old)
    sent = stream()
    cut, left = len(sent) // 2, len(sent) * 6 // 10
    write(old, sent[:cut])
    with worker(old, tmp_path) as child:
        until_read(old, child)
        assert done(old, "--to", "6", "--prepare")["result"] == "prepared"
        assert "stop them" in refused(old, "--to", "6")
        assert child.stop() == 0
    assert sum(done(old, "--to", "6", "--dry-run")["parcels"]) > 100
    write(old, sent[cut:left])
    write(new, sent[left:])
    with worker(new, tmp_path) as early:
        assert early.wait(60) == Sealed.exit_code
        assert "forewarn repartition" in early.log_tail()
    killed_while_writing(old, new)
    with worker(new, tmp_path) as early:
        assert early.wait(60) == Sealed.exit_code
    said = done(old, "--to", "6")
    assert said["result"] == "moved"
    assert done(old, "--to", "6")["result"] == "moved before"
    with worker(old, tmp_path) as late:
        assert late.wait(60) == Sealed.exit_code
        assert new.prefix in late.log_tail()
    with worker(new, tmp_path) as child:
        until_read(new, child)
        assert child.stop() == 0
    before, after = decided(old), decided(new)
    carried = {each.decision_id for each in before}
    # What deliver had not judged was carried over; it is no second decision.
    made = [*before, *(each for each in after if each.decision_id not in carried)]
    assert set(Counter(each.decision_id for each in after).values()) == {1}
    assert certain(made) == certain(undisturbed().decisions)
    opened = Counter(each.episode_id for each in made if isinstance(each, StallOpened))
    ended = Counter(each.episode_id for each in made if isinstance(each, StallCleared))
    assert set(opened.values()) == {1}
    assert set(ended.values()) == {1}
    assert set(ended) <= set(opened)


@pytest.mark.timeout(300)
def test_late_records_stop_the_move_and_it_can_be_cancelled(kafka: Broker, name: str) -> None:
    """With a producer that goes on the old topics stay; cancelled, they work again."""
    old = Kafka(brokers=kafka.bootstrap, prefix=name, group=name, partitions=2)
    topics.create(old)
    write(old, stream()[:300])
    done(old, "--to", "3", "--prepare")
    producer = Producer({"bootstrap.servers": old.brokers, "partitioner": "murmur2_random"})
    source, key, value = stream()[300]
    child = command(old, "--to", "3")
    while child.poll() is None:
        producer.produce(old.topic(source), value, key)
        producer.flush(10)
    _, err = child.communicate()
    assert child.returncode == 1, err
    assert "switch every producer" in err
    assert done(old, "--to", "3", "--cancel")["result"] == "cancelled"
    assert "nothing to cancel" in refused(old, "--to", "3", "--cancel")
    assert done(old, "--to", "3")["result"] == "moved"


def test_keys_of_another_partitioner_are_refused(kafka: Broker, name: str) -> None:
    """Parcels that lie elsewhere than their keys say would lose their state."""
    old = Kafka(brokers=kafka.bootstrap, prefix=name, group=name, partitions=2)
    topics.create(old)
    producer = Producer({"bootstrap.servers": old.brokers})
    for source, key, value in stream()[:200]:
        producer.produce(old.topic(source), value, key, partition=0)
    assert producer.flush(30) == 0
    assert "partitioner" in refused(old, "--to", "3")


def test_a_prefix_in_use_is_refused(kafka: Broker, name: str) -> None:
    """Topics that hold something are not written over."""
    old = Kafka(brokers=kafka.bootstrap, prefix=name, group=name, partitions=2)
    new = grown(old, 3)
    topics.create(old)
    topics.create(new)
    producer = Producer({"bootstrap.servers": old.brokers})
    producer.produce(new.topic("ledger"), b"{}", b"x", partition=0)
    assert producer.flush(30) == 0
    assert "in use" in refused(old, "--to", "3", "--prepare")


@pytest.mark.timeout(300)
def test_no_second_coupon(
    kafka: Broker, redis_server: RedisServer, name: str, tmp_path: Path
) -> None:
    """What was given stays given: decisions delivered again after a move give nothing more."""
    flaky = ("--before", "0.1", "--after", "0.1", "--seed", "3")
    with delivering(tmp_path, kafka.bootstrap, redis_server.url, name, *flaky) as parts:
        stalls = [stall(number) for number in range(40)]
        parts.decide(*stalls[:25])
        with parts.process():
            parts.wait_for(25)
        spent = sum(sum(book.spent_minor.values()) for book in parts.books())
        parts.decide(*stalls[20:30])  # five of them again; nobody has judged them
        old, new = parts.kafka, grown(parts.kafka, 5)
        said = done(old, "--to", "5")
        assert (said["decisions"], said["requests"]) == (10, 0)
        with parts.process() as late:
            assert late.wait(60) != 0
            assert "work goes on" in late.log_tail(4000)
        parts.kafka = new
        assert sum(sum(book.spent_minor.values()) for book in parts.books()) == spent
        parts.environment |= settings_of(new) | {"FOREWARN_REDIS__PREFIX": new.prefix}
        with parts.process():
            parts.wait_for(30)
            redeliver(new, stalls[:35])
            parts.decide(*stalls)  # and to any lane
            states = parts.wait_for(40)
            assert set(states.values()) == {State.ISSUED}
            assert asyncio.run(parts.differences()) == []
        given = Counter(row["key"] for row in parts.given())
        assert len(given) == 40
        assert set(given.values()) == {1}
        told = Counter(row["key"] for row in parts.given("notifications"))
        assert set(told.values()) == {1}


def redeliver(kafka: Kafka, stalls: list[StallOpened]) -> None:
    """Write decisions where the tasks of these partitions write them."""
    producer = Producer({"bootstrap.servers": kafka.brokers})
    for each in stalls:
        home = home_of_subject(each.subject, kafka.partitions)
        value = msgspec.json.encode(each)
        producer.produce(kafka.topic("decisions"), value, each.subject.encode(), partition=home)
    assert producer.flush(30) == 0


def test_a_ledger_whose_first_transaction_was_aborted_is_whole(kafka: Broker, name: str) -> None:
    """A crash before anything was promised leaves a hole at the beginning, and no loss."""
    from pipeline.ledger_log import read_book

    broker = Kafka(brokers=kafka.bootstrap, prefix=name, group=name, partitions=1)
    topics.create(broker)
    producer = Producer({"bootstrap.servers": broker.brokers, "transactional.id": name})
    producer.init_transactions(30)
    for value in (None, b'{"type":"seal","seal":null}'):
        producer.begin_transaction()
        producer.produce(broker.topic("ledger"), value or b"{}", b"seal", partition=0)
        producer.flush(10)
        if value is None:
            producer.abort_transaction(10)
        else:
            producer.commit_transaction(10)
    assert read_book(broker, 0).seal is None
    assert [message.offset() for message in committed(broker.brokers, broker.topic("ledger"), 1)]

"""A topic is read from its beginning to its end, and `explain --kafka` tells a parcel's story."""

from collections.abc import Iterator

import msgspec
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from pipeline import cli, topics
from pipeline.embedded import embedded_broker
from pipeline.failures import Failure
from pipeline.ledger import State
from pipeline.reading import read_to_end
from pipeline.settings import Kafka
from tests.pipeline.test_explain import entries, opened, scan


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with embedded_broker() as brokers:
        settings = Kafka(brokers=brokers, partitions=2)
        topics.create(settings)
        producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
        written = [("tracking", scan(number)) for number in range(3)]
        written += [("decisions", msgspec.json.encode(opened()))]
        written += [("ledger", line) for line in entries("P1", (State.RESERVED, None))]
        for number, (name, value) in enumerate(written):
            producer.produce(settings.topic(name), key=str(number).encode(), value=value)
        assert producer.flush(20) == 0
        yield settings


def test_every_record_of_every_partition_is_read_once(kafka: Kafka) -> None:
    """Reading ends by itself at the end of the last partition, empty ones included."""
    values = [message.value() for message in read_to_end(kafka, kafka.topic("tracking"))]
    assert sorted(value or b"" for value in values) == sorted(map(scan, range(3)))
    assert list(read_to_end(kafka, kafka.topic("complaints"))) == []


def test_a_missing_topic_is_said_with_the_command_that_makes_it(kafka: Kafka) -> None:
    """Nobody waits for a topic that is not there."""
    with pytest.raises(Failure, match=r"no topic forewarn\.nothing: forewarn topics create"):
        list(read_to_end(kafka, kafka.topic("nothing")))


def test_explain_from_kafka(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans, decision and remedy of a parcel are found in the topics of the settings."""
    monkeypatch.setenv("FOREWARN_KAFKA__BROKERS", kafka.brokers)
    done = CliRunner().invoke(cli.application("explain"), ["explain", "swift/P1", "--kafka"])
    assert done.exit_code == 0, done.output
    assert done.output.count("hub-1") == 3
    assert "stall.opened: no movement" in done.output
    assert "+ reserved: stall apology, coupon of ¥5.00, express" in done.output

"""Topics are made right, checked, and never mended silently."""

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks.reading import committed
from pipeline import topics
from pipeline.processes import free_port
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable
from pipeline.topics import Action
from tests.real_parts import Broker


def _make(broker: Broker, name: str, partitions: int, config: dict[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result()


def test_creates_what_is_missing_and_says_so(broker: Broker, name: str) -> None:
    """The first time everything is made, the second time nothing, and both times all is well."""
    kafka = Kafka(brokers=broker.bootstrap, prefix=name)
    assert len(topics.check(kafka)) == len(topics.specs(kafka))
    assert {action for _, action in topics.create(kafka)} == {Action.CREATED}
    assert topics.check(kafka) == []
    assert {action for _, action in topics.create(kafka)} == {Action.KEPT}


def test_names_a_topic_with_other_partitions(broker: Broker, name: str) -> None:
    """Another number of partitions tears tasks apart: it is refused, not changed."""
    _make(broker, f"{name}.tracking", 2, {"message.timestamp.type": "LogAppendTime"})
    kafka = Kafka(brokers=broker.bootstrap, prefix=name)
    topics.create(kafka)
    (problem,) = topics.check(kafka)
    assert "has 2 partitions, not 4" in str(problem)


def test_names_a_state_topic_that_loses_state(kafka: Broker, name: str) -> None:
    """A state topic with retention would forget: the message has the command that mends it."""
    _make(kafka, f"{name}.state", 4, {"cleanup.policy": "delete", "max.message.bytes": "1000000"})
    settings = Kafka(brokers=kafka.bootstrap, prefix=name)
    topics.create(settings)
    problems = {problem.text: problem.command for problem in topics.check(settings)}
    assert len(problems) == 2
    assert (
        "--add-config cleanup.policy=compact" in problems["cleanup.policy is delete, not compact"]
    )


def test_the_past_is_not_deleted_while_it_is_read(kafka: Broker, name: str) -> None:
    """Retention counts from when the broker got a record, whatever the producer says."""
    settings = Kafka(brokers=kafka.bootstrap, prefix=name)
    topics.create(settings)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    topic = settings.topic("tracking")
    producer.produce(topic, b"{}", b"key", partition=0, timestamp=1_000_000_000_000)
    assert producer.flush(20) == 0
    (record,) = committed(kafka.bootstrap, topic, 4)
    assert record.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
    assert record.timestamp()[1] > 1_700_000_000_000


def test_a_topic_with_the_producers_time_is_the_operators_choice(kafka: Broker, name: str) -> None:
    """Live, the producer's time is as good; only a replayed past needs the broker's."""
    _make(kafka, f"{name}.complaints", 4, {"message.timestamp.type": "CreateTime"})
    settings = Kafka(brokers=kafka.bootstrap, prefix=name)
    topics.create(settings)
    assert topics.check(settings) == []


def test_says_when_nobody_answers() -> None:
    """A broker that is not there is an error with its address, not a wait without end."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=address):
        topics.check(Kafka(brokers=address, request_timeout_seconds=1))


@pytest.mark.parametrize(("replication", "safe"), [(1, None), (3, "2")])
def test_three_copies_must_agree(replication: int, safe: str | None) -> None:
    """Where there are three copies, two must have a record before it counts."""
    spec = topics.specs(Kafka(replication=replication))[0]
    assert topics.all_settings(spec).get("min.insync.replicas") == safe

"""The real parts of the tests serve, stop and start again."""

import json
import signal
from urllib.request import urlopen

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.real_parts import Alertmanager, Broker, RedisServer


def test_kafka_hides_aborted_records(kafka: Broker, name: str) -> None:
    """Readers of committed records never see those of an aborted transaction."""
    kafka.create_topic(name)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": name})
    producer.init_transactions(10)
    for value, commit in ((b"aborted", False), (b"committed", True)):
        producer.begin_transaction()
        producer.produce(name, value)
        producer.flush(10)
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
    assert read_to_end(kafka, name) == [b"committed"]


def test_own_kafka_keeps_records_over_a_crash(own_kafka: Broker, name: str) -> None:
    """A killed and restarted node still has what it acknowledged."""
    own_kafka.create_topic(name)
    producer = Producer({"bootstrap.servers": own_kafka.bootstrap, "log_level": 0})
    producer.produce(name, b"before")
    assert producer.flush(10) == 0
    own_kafka.child.kill()
    own_kafka.child.start()
    assert read_to_end(own_kafka, name) == [b"before"]


def test_own_redis_forgets_when_killed(own_redis: RedisServer) -> None:
    """A killed server comes back on its port, empty."""
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("key", "value")
        own_redis.child.send(signal.SIGKILL)
        own_redis.child.stop()
        own_redis.child.start()
        assert client.get("key") is None


def test_alertmanager_speaks_its_second_version(alertmanager: Alertmanager) -> None:
    """The v2 API answers with its cluster's status."""
    with urlopen(f"{alertmanager.url}/api/v2/status", timeout=5) as response:  # noqa: S310
        assert "versionInfo" in json.load(response)


def read_to_end(broker: Broker, topic: str) -> list[bytes | None]:
    """All committed values of the only partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "read-to-end",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    try:
        while (message := consumer.poll(10)) is not None and message.error() is None:
            values.append(message.value())
    finally:
        consumer.close()
    return values

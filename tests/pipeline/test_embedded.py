"""What the embedded broker and Valkey do and do not, as pipeline/embedded.py says."""

import asyncio

import redis
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from pipeline.embedded import embedded_broker as embedded_broker_of_its_own
from pipeline.embedded import embedded_redis
from pipeline.processes import answers
from tests.real_parts import Broker


def producer(broker: Broker, name: str) -> Producer:
    """A transactional producer that is ready."""
    made = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": name, "log_level": 0}
    )
    made.init_transactions(10)
    return made


def read_to_end(broker: Broker, topic: str) -> list[Message]:
    """All records that a read-committed reader sees up to the end of the partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 20,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    try:
        while (message := consumer.poll(10)) is not None and message.error() is None:
            found.append(message)
    finally:
        consumer.close()
    return found


def test_keeps_everything_of_a_record(embedded_broker: Broker, name: str) -> None:
    """Key, null value, time stamp and headers come back; the topic may be compacted."""
    embedded_broker.create_topic(name, cleanup_policy="compact")
    sender = Producer({"bootstrap.servers": embedded_broker.bootstrap})
    sender.produce(name, key=b"k", value=None, timestamp=1_700_000_000_123, headers=[("h", b"v")])
    sender.flush(10)
    (record,) = read_to_end(embedded_broker, name)
    assert (record.key(), record.value()) == (b"k", None)
    assert record.timestamp()[1] == 1_700_000_000_123
    assert record.headers() == [("h", b"v")]


def test_hides_open_transactions_and_shows_committed_ones(
    embedded_broker: Broker, name: str
) -> None:
    """A read-committed reader sees a transaction after its commit only."""
    embedded_broker.create_topic(name)
    sender = producer(embedded_broker, name)
    sender.begin_transaction()
    sender.produce(name, b"one")
    sender.flush(10)
    assert read_to_end(embedded_broker, name) == []
    sender.commit_transaction(10)
    assert [record.value() for record in read_to_end(embedded_broker, name)] == [b"one"]


def test_fences_the_former_owner(embedded_broker: Broker, name: str) -> None:
    """A second producer of the same transactional id shuts the first one out."""
    embedded_broker.create_topic(name)
    former = producer(embedded_broker, name)
    former.begin_transaction()
    producer(embedded_broker, name)
    fenced = False
    try:
        former.produce(name, b"zombie")
        former.commit_transaction(10)
    except KafkaException:
        fenced = True
    assert fenced


def test_end_of_a_partition_is_known_from_fetches_only(embedded_broker: Broker, name: str) -> None:
    """The high watermark of a fetch is right; what ListOffsets says is not to be leant on."""
    embedded_broker.create_topic(name)
    sender = Producer({"bootstrap.servers": embedded_broker.bootstrap, "linger.ms": 100})
    for number in range(50):
        sender.produce(name, str(number))
    sender.flush(10)
    assert len(read_to_end(embedded_broker, name)) == 50
    consumer = Consumer({"bootstrap.servers": embedded_broker.bootstrap, "group.id": name})
    listed = consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10)
    consumer.close()
    # When this fails the broker has been mended: say so in pipeline/embedded.py.
    assert listed == (0, 1)


def test_group_of_aiokafka_reads_and_commits(embedded_broker: Broker, name: str) -> None:
    """The consumer below Faust joins a group, reads, commits and finds its commit again."""
    embedded_broker.create_topic(name)
    sender = Producer({"bootstrap.servers": embedded_broker.bootstrap})
    for number in range(20):
        sender.produce(name, str(number))
    sender.flush(10)
    assert asyncio.run(_read_in_group(embedded_broker, name)) == (20, 20)


async def _read_in_group(broker: Broker, name: str) -> tuple[int, int | None]:
    """How many records were read, and the offset that was committed."""
    consumer = AIOKafkaConsumer(
        name,
        bootstrap_servers=broker.bootstrap,
        group_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        count = 0
        while count < 20:
            fetched = await consumer.getmany(timeout_ms=1000)
            count += sum(map(len, fetched.values()))
        await consumer.commit()
        (partition,) = consumer.assignment()
        return count, await consumer.committed(partition)
    finally:
        await consumer.stop()


def test_broker_is_gone_afterwards() -> None:
    """Nobody listens on its port once the block has ended."""
    with embedded_broker_of_its_own() as bootstrap:
        port = int(bootstrap.rpartition(":")[2])
        assert answers(port)
    assert not answers(port)


def test_valkey_serves_and_is_gone_afterwards() -> None:
    """A script runs inside the block; after it nobody listens on its port."""
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        port = client.connection_pool.connection_kwargs["port"]
        assert client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "k", 3) == 3
    assert not answers(port)

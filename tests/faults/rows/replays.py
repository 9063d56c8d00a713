"""Everything is read again, or the ledger's past is gone: not one coupon more."""

import asyncio
from collections.abc import Iterable
from typing import Final

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from pipeline.ledger_log import deliver_group
from pipeline.log_reader import log_bounds, read_messages
from tests.faults.parts import Run
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import cleared, stall

GROUP: Final = "read again"


def _no_more(run: Run, _truth: Truth) -> Iterable[str]:
    return [f"{run.more_requests} requests to the provider"] if run.more_requests else []


async def _settled(run: Run) -> dict[str, int]:
    """Give some, stop, and say what the provider has."""
    await run.supervise()
    await run.decide(*(stall(number) for number in range(run.dice.randint(10, 24))))
    await run.until_ended()
    await run.decide(*(cleared(stall(number)) for number in range(3)), wanted=0)
    await run.stop()
    return await run.given()


async def _nothing_new(run: Run, before: dict[str, int]) -> None:
    """Read everything, then one more that must be given: then all before it has been judged."""
    run.fault_over()
    await run.supervise()
    await run.decide(stall(1000), stall(1001))
    await run.until_ended()
    after = await run.given()
    run.more_requests = after["requests"] - before["requests"] - 4  # two coupons, two messages


@row("offsets-reset", GROUP + ": offsets reset to 0", checks=_no_more)
async def offsets_reset(run: Run) -> None:
    """The group's offsets are set back to the beginning of both topics."""
    before = await _settled(run)
    await asyncio.to_thread(_reset, run)
    await _nothing_new(run, before)


def _reset(run: Run) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions

    admin = AdminClient({"bootstrap.servers": run.kafka.brokers})
    places = [
        TopicPartition(run.kafka.topic(topic), partition, 0)
        for topic in ("decisions", "remedies")
        for partition in range(run.kafka.partitions)
    ]
    wanted = ConsumerGroupTopicPartitions(deliver_group(run.kafka), places)
    for future in admin.alter_consumer_group_offsets([wanted]).values():
        future.result(timeout=30)


@row("topics-replayed", GROUP + ": all topics replayed", checks=_no_more)
async def replayed(run: Run) -> None:
    """Every decision and every request is written once more, in another order."""
    before = await _settled(run)
    await asyncio.to_thread(_write_again, run)
    await _nothing_new(run, before)


def _write_again(run: Run) -> None:
    producer = Producer({"bootstrap.servers": run.kafka.brokers})
    for topic in ("decisions", "remedies"):
        for partition in range(run.kafka.partitions):
            messages = [m for m in read_messages(run.kafka, topic, partition) if not m.error()]
            run.dice.shuffle(messages)
            for message in messages:
                name = run.kafka.topic(topic)
                producer.produce(name, message.value(), message.key(), partition=partition)
    assert producer.flush(30) == 0


@row("ledger-compacted", GROUP + ": ledger compacted", checks=_no_more)
async def compacted(run: Run) -> None:
    """Someone has the ledger compacted: its first entries are gone, nobody issues from the rest."""
    before = await _settled(run)
    run.last_truth = await run.truth()
    await asyncio.to_thread(_compact, run)
    await asyncio.to_thread(_reset, run)
    await _refused(run, before)


@row("ledger-aged", GROUP + ": ledger aged", checks=_no_more)
async def aged(run: Run) -> None:
    """Retention has taken a part of the ledger, or all of it."""
    before = await _settled(run)
    run.last_truth = await run.truth()
    await asyncio.to_thread(_age, run)
    await asyncio.to_thread(_reset, run)
    await _refused(run, before)


async def _refused(run: Run, before: dict[str, int]) -> None:
    """The process ends and says why; a person must look."""
    process = await run.start()
    code = await process.wait(40)
    assert code not in {0, 3, 9}, f"ended with {code}: {process.said()}"
    run.more_requests = (await run.given())["requests"] - before["requests"]


def _age(run: Run) -> None:
    admin = AdminClient({"bootstrap.servers": run.kafka.brokers})
    name, share = run.kafka.topic("ledger"), run.dice.choice([0.1, 0.5, 1.0])
    ends = [log_bounds(run.kafka, "ledger", p)[1] for p in range(run.kafka.partitions)]
    places = [TopicPartition(name, p, max(1, int(end * share))) for p, end in enumerate(ends)]
    for future in admin.delete_records(places).values():
        future.result(timeout=30)


def _compact(run: Run) -> None:
    """Have the broker really do it, and set the policy back as if nothing had been."""
    admin = AdminClient({"bootstrap.servers": run.kafka.brokers})
    name = run.kafka.topic("ledger")
    _alter(admin, name, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001",
                         "segment.ms": "50", "max.compaction.lag.ms": "1"})  # fmt: skip
    counts = [_count(run, partition) for partition in range(run.kafka.partitions)]
    producer = Producer({"bootstrap.servers": run.kafka.brokers})
    for _ in range(60):
        for partition in range(run.kafka.partitions):  # the active segment is never compacted
            producer.produce(name, _NEUTRAL, b"neutral", partition=partition)
        assert producer.flush(30) == 0
        if all(_count(run, p) < count for p, count in enumerate(counts)):
            break
    else:
        raise AssertionError("the broker does not compact")
    _alter(admin, name, {"cleanup.policy": "delete"})


_NEUTRAL: Final = b'{"type":"seal"}'


def _count(run: Run, partition: int) -> int:
    messages = [m for m in read_messages(run.kafka, "ledger", partition) if not m.error()]
    return sum(message.key() != b"neutral" for message in messages)


def _alter(admin: AdminClient, topic: str, settings: dict[str, str]) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)

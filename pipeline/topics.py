"""Every topic Forewarn has: what it must be, creating it, checking it.

Partition p of the inputs, of `counts`, `lessons`, `notices`, `state` and `decisions` is one task,
so they all have the same number of partitions; it is never changed here, because a parcel's state
lies where its key falls. `create` makes what is missing and changes nothing that exists; `check`
says what is wrong and with which command it is mended. A broker that does not report its settings
(the embedded one) is checked for partitions only.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from pipeline.settings import Kafka
from pipeline.statelog import MAX_MESSAGE_BYTES
from pipeline.stops import BrokerUnavailable

_DAY_MS: Final = 86_400_000
_FOREVER: Final = "-1"
_POLL_SECONDS: Final = 0.1


class Action(StrEnum):
    """What `create` did with a topic."""

    CREATED = "created"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be; `config` holds the settings that matter to correctness or size."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    purpose: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a topic, and the command that mends it."""

    topic: str
    text: str
    command: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.topic}: {self.text}. Mend it with: {self.command}"


def specs(kafka: Kafka) -> list[TopicSpec]:
    """Return what every topic must be."""
    days = _retained(kafka.retention_days)
    kept = _retained(kafka.decisions_retention_days)
    rules = [
        ("tracking", {**days, **_STAMPED}, "scans of parcels, key carrier/parcel_id"),
        ("complaints", {**days, **_STAMPED}, "complaints, key customer_id"),
        ("decisions", kept, "what was concluded, key subject"),
        ("remedies", kept, "what deliver was asked to give"),
        ("ledger", _LEDGER, "what was promised"),
        ("dead-letters", kept, "records nothing could be made of, and why"),
        ("counts", days, "internal: partial counts on their way to flow"),
        ("lessons", days, "internal: what partitions count for models they share"),
        ("notices", _retained(1), "internal: flow's clock for idle partitions"),
        ("state", _STATE, "internal: state of every task, compacted"),
    ]
    return [
        TopicSpec(kafka.topic(name), kafka.partitions, kafka.replication, config, purpose)
        for name, config, purpose in rules
    ]


def create(kafka: Kafka) -> list[tuple[TopicSpec, Action]]:
    """Create the topics that are missing; raise `BrokerUnavailable` when nobody answers."""
    admin = _admin(kafka)
    wanted = specs(kafka)
    futures = admin.create_topics(
        [
            NewTopic(spec.name, spec.partitions, spec.replication, config=all_settings(spec))
            for spec in wanted
        ],
        request_timeout=kafka.request_timeout_seconds,
    )
    done = []
    for spec in wanted:
        try:
            futures[spec.name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _unavailable(kafka, error) from error
            done.append((spec, Action.KEPT))
        else:
            done.append((spec, Action.CREATED))
    _wait_until_known(admin, kafka, [spec.name for spec, _ in done])
    return done


def check(kafka: Kafka) -> list[Problem]:
    """Return what is wrong, nothing when all is well."""
    admin = _admin(kafka)
    wanted = specs(kafka)
    try:
        known = admin.list_topics(timeout=kafka.request_timeout_seconds).topics
    except KafkaException as error:
        raise _unavailable(kafka, error) from error
    present = [spec for spec in wanted if spec.name in known and not known[spec.name].error]
    problems = [
        Problem(spec.name, "does not exist", "forewarn topics create")
        for spec in wanted
        if spec not in present
    ]
    for spec in present:
        problems += _wrong_partitions(kafka, spec, len(known[spec.name].partitions))
    reported = _settings(admin, [spec.name for spec in present], kafka.request_timeout_seconds)
    for spec in present:
        problems += _wrong_settings(kafka, spec, reported.get(spec.name, {}))
    return problems


def ends(kafka: Kafka, name: str) -> list[int]:
    """Return the offset after the last record of each partition of a topic, by its short name."""
    admin = _admin(kafka)
    tps = [TopicPartition(kafka.topic(name), number) for number in range(kafka.partitions)]
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    futures = admin.list_offsets(dict.fromkeys(tps, latest))
    return [future.result().offset for future in futures.values()]


def _wait_until_known(admin: AdminClient, kafka: Kafka, names: list[str]) -> None:
    """Wait until the broker's metadata show what it has made."""
    deadline = time.monotonic() + kafka.request_timeout_seconds
    while True:
        try:
            known = admin.list_topics(timeout=kafka.request_timeout_seconds).topics
        except KafkaException as error:
            raise _unavailable(kafka, error) from error
        if all(name in known and not known[name].error for name in names):
            return
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"broker {kafka.brokers}: topics were made but do not appear")
        time.sleep(_POLL_SECONDS)


def _wrong_partitions(kafka: Kafka, spec: TopicSpec, found: int) -> list[Problem]:
    if found == spec.partitions:
        return []
    text = f"has {found} partitions, not {spec.partitions} (kafka.partitions)"
    # More partitions would tear keys from their state, so neither way is done in place.
    command = (
        f"set kafka.partitions to {found} if all topics have as many, or choose a new "
        f"kafka.prefix and run: forewarn topics create (broker {kafka.brokers})"
    )
    return [Problem(spec.name, text, command)]


def _wrong_settings(kafka: Kafka, spec: TopicSpec, found: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name, wanted in spec.config.items():
        value = found.get(name)
        if value is None or _fits(name, value, wanted):
            continue
        command = (
            f"kafka-configs.sh --bootstrap-server {kafka.brokers} --alter --entity-type topics "
            f"--entity-name {spec.name} --add-config {name}={wanted}"
        )
        problems.append(Problem(spec.name, f"{name} is {value}, not {wanted}", command))
    return problems


def _fits(name: str, found: str, wanted: str) -> bool:
    """More is fine for sizes; times and ratios are the operator's once a topic exists."""
    if name == "max.message.bytes":
        return int(found) >= int(wanted)
    if name == "cleanup.policy" or wanted == _FOREVER:
        return found == wanted
    return True


def _settings(
    admin: AdminClient, topics: list[str], timeout_seconds: float
) -> dict[str, dict[str, str]]:
    """Return the settings the broker reports; a broker that reports none is no error."""
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    reported: dict[str, dict[str, str]] = {}
    futures = admin.describe_configs(resources, request_timeout=timeout_seconds)
    for resource, future in futures.items():
        try:
            entries = future.result()
        except KafkaException:
            continue
        reported[resource.name] = {
            name: entry.value for name, entry in entries.items() if entry.value is not None
        }
    return reported


def all_settings(spec: TopicSpec) -> dict[str, str]:
    """Return what a topic is created with."""
    safe = {"min.insync.replicas": "2"} if spec.replication >= 3 else {}
    return {**spec.config, **safe}


def _retained(days: float) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(int(days * _DAY_MS))}


_STAMPED: Final = {"message.timestamp.type": "LogAppendTime"}
"""Retention counts from a record's timestamp. With the producer's own, a replayed past would be
deleted while it is being read; the past's own time is `received_at` in the event."""
_LEDGER: Final = {
    "cleanup.policy": "delete",
    "retention.ms": _FOREVER,
    "retention.bytes": _FOREVER,
}
_STATE: Final = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.2",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}


def _admin(kafka: Kafka) -> AdminClient:
    # An unreachable broker is one message of ours, not hundreds of the library.
    return AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})


def _unavailable(kafka: Kafka, error: KafkaException) -> BrokerUnavailable:
    return BrokerUnavailable(f"broker {kafka.brokers}: {error.args[0].str()}")

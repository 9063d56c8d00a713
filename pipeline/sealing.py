"""Reads the seals of a prefix, and makes the records that set them or take them away."""

import msgspec
from confluent_kafka import KafkaException

from pipeline.ledger import SealEntry, encode_entry
from pipeline.recovery import Recovery
from pipeline.seals import SEAL_KEY, Seal, take_seal
from pipeline.settings import Kafka
from pipeline.state_reader import read_latest
from pipeline.stops import BrokerUnavailable
from pipeline.transactions import Outgoing


def seal_of(kafka: Kafka) -> Seal | None:
    """Return the seal; those of all partitions are set and taken away together."""
    try:
        return take_seal(read_latest(kafka, 0, Recovery(0)))
    except KafkaException as error:
        raise BrokerUnavailable(f"{kafka.topic('state')}: {error.args[0].str()}") from error


def seal_records(kafka: Kafka, seal: Seal | None) -> list[Outgoing]:
    """Return the records that seal all of a prefix, or open it: for one transaction."""
    value = None if seal is None else msgspec.json.encode(seal)
    entry = encode_entry(SealEntry(seal=seal))
    every = range(kafka.partitions)
    state, ledger = kafka.topic("state"), kafka.topic("ledger")
    records = [Outgoing(state, partition, SEAL_KEY, value) for partition in every]
    return records + [Outgoing(ledger, partition, SEAL_KEY, entry) for partition in every]

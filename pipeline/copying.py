"""Copies logs into other partitions, each record once, however often it is begun.

What is copied does not change any more, and each new partition gets it in one order. So what is
there already must be a beginning of it: it is counted, compared by a hash, and left alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgspec

from detectors.decisions import Decision
from pipeline.failures import Failure
from pipeline.ledger import AlertEntry, BrokenLedger, Entry, RemedyEntry, SealEntry, decode_entry
from pipeline.log_reader import read_messages
from pipeline.partition import partition_of
from pipeline.remedies import OperationsAlert, Wish, decode_wish
from pipeline.settings import Kafka
from pipeline.transactions import Outgoing, Transactions

_BYTES: Final = 4 * 1024 * 1024
_RECORDS: Final = 5000
_decode_decision: Final = msgspec.json.Decoder(Decision).decode

Place = Callable[[int, bytes], int | None]
"""The new partition of a record, by its old one and its value; None: it is not copied."""


def home_of_subject(subject: str, partitions: int) -> int:
    """Return the partition whose task decides about a subject (`parcel/swift/P1`).

    Examples
    --------
    >>> home_of_subject("parcel/swift/P1", 6) == partition_of(b"swift/P1", 6)
    True
    """
    return partition_of(subject.partition("/")[2].encode(), partitions)


def place_decisions(partitions: int) -> Place:
    """Return where decisions go; what cannot be read goes anywhere, to become a dead letter."""

    def place(old: int, value: bytes) -> int:
        try:
            decision: Any = _decode_decision(value)
        except (msgspec.MsgspecError, ValueError):
            return old % partitions
        return home_of_subject(decision.subject, partitions)

    return place


def place_wishes(partitions: int) -> Place:
    """Return where requests go: with the decisions of their subjects."""

    def place(old: int, value: bytes) -> int:
        try:
            wish = decode_wish(value)
        except (msgspec.MsgspecError, ValueError):
            return old % partitions
        return _home_of_wish(wish, partitions)

    return place


def place_entries(partitions: int) -> Place:
    """Return where entries of the ledger go: all of a remedy with its subject; seals nowhere."""
    homes: dict[str, int] = {}

    def place(_old: int, value: bytes) -> int | None:
        entry: Entry = decode_entry(value)
        if isinstance(entry, SealEntry):
            return None
        if isinstance(entry, AlertEntry):
            return _home_of_wish(entry.alert, partitions)
        if isinstance(entry, RemedyEntry) and entry.request is not None:
            homes[entry.remedy_id] = _home_of_wish(entry.request, partitions)
        if entry.remedy_id not in homes:
            raise BrokenLedger(f"{entry.remedy_id} has no first entry")
        return homes[entry.remedy_id]

    return place


def _home_of_wish(wish: Wish, partitions: int) -> int:
    if not isinstance(wish, OperationsAlert):
        return home_of_subject(wish.subject, partitions)
    named = wish.labels.get("region") or wish.labels.get("carrier")
    subject = wish.labels.get("subject", "") if named is None else f"/{named}"
    return home_of_subject(subject, partitions)


@dataclass(slots=True)
class _There:
    """What a new partition holds already, and how far it has been seen again."""

    records: int = 0
    digest: Any = field(default_factory=lambda: blake2b(digest_size=16))
    seen: int = 0
    again: Any = field(default_factory=lambda: blake2b(digest_size=16))


class Copying:
    """Copies one topic.

    Parameters
    ----------
    old, new
        Where from and where to.
    topic
        Short name of the topic, the same in both.
    place
        Which partition a record goes to.
    writer
        An open transactional producer.
    """

    def __init__(
        self, old: Kafka, new: Kafka, topic: str, place: Place, writer: Transactions
    ) -> None:
        self._old, self._new, self._topic = old, new, topic
        self._place, self._writer = place, writer
        self._name = new.topic(topic)
        self._waiting: list[Outgoing] = []
        self._waiting_bytes = 0

    def copy(self, starts: Iterable[int], told: Callable[[int, int], None]) -> int:
        """Copy every old partition from its offset in `starts` on; return how many records.

        Raises `Failure` when the new partitions hold something else.
        """
        there = [self._there(partition) for partition in range(self._new.partitions)]
        copied = 0
        for number, first in enumerate(starts):
            for record in self._records(number, first):
                copied += 1
                if not self._known(there[record.partition], record):
                    self._write(record)
            told(number + 1, self._old.partitions)
        self._flush()
        if any(each.seen < each.records for each in there):
            raise self._strange()
        return copied

    def _records(self, partition: int, first: int) -> Iterator[Outgoing]:
        for message in read_messages(self._old, self._topic, partition, first):
            value = message.value() or b""
            home = None if message.error() else self._place(partition, value)
            if home is not None:
                yield Outgoing(self._name, home, message.key(), message.value())

    def _there(self, partition: int) -> _There:
        found = _There()
        for message in read_messages(self._new, self._topic, partition):
            value = message.value() or b""
            if message.error() or (self._topic == "ledger" and _is_seal(value)):
                continue
            found.records += 1
            _note(found.digest, message.key(), value)
        return found

    def _known(self, there: _There, record: Outgoing) -> bool:
        """Tell whether a record is there already."""
        if there.seen == there.records:
            return False
        there.seen += 1
        _note(there.again, record.key, record.value or b"")
        if there.seen == there.records and there.again.digest() != there.digest.digest():
            raise self._strange()
        return True

    def _strange(self) -> Failure:
        return Failure(
            f"{self._name} holds records that are not from {self._old.topic(self._topic)}: "
            "choose a prefix that nobody uses"
        )

    def _write(self, record: Outgoing) -> None:
        self._waiting.append(record)
        self._waiting_bytes += len(record.value or b"")
        if self._waiting_bytes > _BYTES or len(self._waiting) >= _RECORDS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write(self._waiting)
        self._waiting, self._waiting_bytes = [], 0


def _is_seal(value: bytes) -> bool:
    return isinstance(decode_entry(value), SealEntry)


def _note(digest: Any, key: bytes | None, value: bytes) -> None:
    digest.update(b"%d/%d:" % (len(key or b""), len(value)) + (key or b"") + value)

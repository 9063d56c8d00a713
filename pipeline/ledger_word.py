"""A person's word on its way: written to the requests' topic, and awaited in the ledger.

It takes the way of every request, through the owner of its partition, so a command never writes to
a ledger that a process is writing to.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from confluent_kafka import Producer

from pipeline.failures import Failure
from pipeline.ledger import State
from pipeline.ledger_view import Row, history, named, read_books, rows
from pipeline.remedies import Ruling, Verdict, encode_wish
from pipeline.settings import Kafka

_POLL_SECONDS: Final = 0.3
_FLUSH_SECONDS: Final = 20.0
_MOST_CHARACTERS: Final = 500
WAITING: Final = frozenset({str(State.HELD), str(State.PARKED)})


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says."""

    verdict: Verdict
    who: str
    why: str
    expires_hours: float = 24.0
    reference: str | None = None


def waiting(kafka: Kafka, name: str) -> list[Row]:
    """Return the remedies of that name that wait for a person; raises `Failure` for none."""
    found = named(rows(read_books(kafka)), name)
    if not found:
        raise Failure(f"the ledger has no remedy for {name}")
    held = [row for row in found if row.state in WAITING]
    if not held:
        states = ", ".join(f"{row.remedy_id} is {row.state}" for row in found)
        raise Failure(f"nothing waits for a person: {states}")
    return held


def say(kafka: Kafka, row: Row, word: Word, now: datetime | None = None) -> Ruling:
    """Write a word down for the owner of the remedy; raises `Failure`."""
    at = now or datetime.now(UTC)
    for name in ("who", "why"):
        text = getattr(word, name).strip()
        if not text or len(text) > _MOST_CHARACTERS or not text.isprintable():
            raise Failure(f"--{name} must be a line of 1 to {_MOST_CHARACTERS} characters")
    ruling = Ruling(
        remedy_id=row.remedy_id,
        subject=row.subject,
        verdict=word.verdict,
        who=word.who.strip(),
        why=word.why.strip(),
        decided_at=at,
        expires_at=at + timedelta(hours=word.expires_hours),
        reference=word.reference,
    )
    producer = Producer({"bootstrap.servers": kafka.brokers, "enable.idempotence": True})
    producer.produce(
        kafka.topic("remedies"),
        encode_wish(ruling),
        row.subject.encode(),
        partition=row.partition,
    )
    if producer.flush(_FLUSH_SECONDS):
        raise Failure(f"broker {kafka.brokers}: the word was not acknowledged")
    return ruling


def await_effect(kafka: Kafka, row: Row, seconds: float) -> Row | None:
    """Wait until the remedy has come to another state; None when nothing happened in time."""
    before, deadline = len(history(kafka, row)), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if len(history(kafka, row)) > before or _now(kafka, row).state != row.state:
            return _now(kafka, row)
        time.sleep(_POLL_SECONDS)
    return None


def _now(kafka: Kafka, row: Row) -> Row:
    [found] = named(rows(read_books(kafka)), row.remedy_id)
    return found

"""What the demo sees: it follows decisions and ledger like any other consumer."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
from confluent_kafka import Consumer
from prometheus_client.parser import text_string_to_metric_families

from detectors.decisions import (
    Decision,
    FeedResumed,
    FeedSilent,
    StallCleared,
    StallOpened,
    SurgeClosed,
    SurgeOpened,
)
from pipeline.ledger import Book, State, decode_entry
from pipeline.reading import reader
from pipeline.settings import Kafka

_decision: Final = msgspec.json.Decoder(Decision).decode
_BATCH: Final = 5000


@dataclass(slots=True)
class Seen:
    """Everything decided and promised so far."""

    decisions: list[Decision] = field(default_factory=list)
    book: Book = field(default_factory=Book)
    entries: list[bytes] = field(default_factory=list)
    """The ledger as it is written."""
    kinds: Counter[str] = field(default_factory=Counter)
    _open: dict[str, Decision] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def see_decision(self, value: bytes) -> None:
        """Take a decision; one that was seen before is the same one again."""
        decision = _decision(value)
        if decision.decision_id in self._ids:
            return
        self._ids.add(decision.decision_id)
        self.decisions.append(decision)
        self.kinds[str(type(decision).__struct_config__.tag)] += 1
        if isinstance(decision, StallOpened | SurgeOpened | FeedSilent):
            self._open[decision.episode_id] = decision
        elif isinstance(decision, StallCleared | SurgeClosed | FeedResumed):
            self._open.pop(decision.episode_id, None)

    def see_entry(self, value: bytes) -> None:
        """Take a ledger entry."""
        self.entries.append(value)
        self.book.apply(decode_entry(value))

    def open(self, kind: type[StallOpened | SurgeOpened | FeedSilent]) -> list[Decision]:
        """Return the episodes of a kind that have not ended."""
        return [decision for decision in self._open.values() if isinstance(decision, kind)]

    def remedies(self) -> Counter[State]:
        """Return how many remedies stand where."""
        return Counter(account.state for account in self.book.accounts.values())

    def spent_minor(self) -> int:
        """Return the money given."""
        return sum(account.spent_minor for account in self.book.accounts.values())

    def coupons(self) -> int:
        """Return how many coupons were given."""
        return sum(account.spent_minor > 0 for account in self.book.accounts.values())

    def unsettled(self) -> int:
        """Return how many remedies still wait for the provider or for the customer to be told."""
        return sum(account.open or account.untold for account in self.book.accounts.values())


class Watch:
    """A consumer of decisions and ledger."""

    def __init__(self, kafka: Kafka) -> None:
        self.seen = Seen()
        self._ledger = kafka.topic("ledger")
        self._consumer: Consumer = reader(
            kafka, [kafka.topic("decisions"), self._ledger], ends=False
        )

    def look(self, seconds: float) -> int:
        """Take what there is, waiting for at most so long; return how many records it was."""
        count = 0
        for message in self._consumer.consume(_BATCH, seconds):
            if message.error() is not None:
                continue  # the broker will be asked again
            value = message.value() or b""
            if message.topic() == self._ledger:
                self.seen.see_entry(value)
            else:
                self.seen.see_decision(value)
            count += 1
        return count

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How far the worker is, from its metrics."""

    events: int
    """Scans and complaints absorbed."""
    lag_records: int
    """Records of any input not yet absorbed."""
    clock: datetime | None
    """The slowest clock of any partition; None before every one has a clock."""
    dead_letters: int


def read_metrics(page: str) -> WorkerState:
    """Read the worker's metrics page."""
    totals: Counter[str] = Counter()
    clocks: list[float] = []
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            source = sample.labels.get("input")
            if sample.name == "forewarn_clock_timestamp_seconds":
                clocks.append(sample.value)
            elif sample.name == "forewarn_events_total" and source in {"tracking", "complaints"}:
                totals["events"] += int(sample.value)
            elif sample.name in {"forewarn_input_lag_records", "forewarn_dead_letters_total"}:
                totals[sample.name] += int(sample.value)
    slowest = min(clocks, default=0.0)
    return WorkerState(
        events=totals["events"],
        lag_records=totals["forewarn_input_lag_records"],
        clock=datetime.fromtimestamp(slowest, UTC) if slowest > 0 else None,
        dead_letters=totals["forewarn_dead_letters_total"],
    )

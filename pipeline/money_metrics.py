"""What deliver counts and measures, for Prometheus. Units stand in the names; labels are bounded.

Amounts of budgets are what the partitions of this process hold: sum them over the processes.
"""

from collections import Counter as PyCounter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.ledger import Book, Entry, NotificationEntry, RemedyEntry, State
from pipeline.remedies import HOLDING, Nothing
from sinks.base import Delivered, Outcome, Refused

REGISTRY: Final = CollectorRegistry()

DECISIONS: Final = Counter(
    "forewarn_deliver_decisions",
    "Decisions judged by the policies, by what they asked for.",
    ["asked_for"],
    registry=REGISTRY,
)
REMEDIES: Final = Counter(
    "forewarn_remedies",
    "Remedies that came to a state.",
    ["outcome", "reason"],
    registry=REGISTRY,
)
AMOUNT: Final = Counter(
    "forewarn_remedy_amount_minor",
    "Money of remedies that came to a state, minor units.",
    ["outcome"],
    registry=REGISTRY,
)
NOTIFICATIONS: Final = Counter(
    "forewarn_notifications", "Messages to customers.", ["outcome"], registry=REGISTRY
)
SINK_REQUESTS: Final = Counter(
    "forewarn_sink_requests",
    "Messages sent outside.",
    ["sink", "outcome"],
    registry=REGISTRY,
)
SWITCHED_OFF: Final = Gauge(
    "forewarn_sink_switched_off",
    "1: the receiver answered 410 (Gone); nothing is sent there until deliver is started again.",
    ["sink"],
    registry=REGISTRY,
)
RULINGS: Final = Counter(
    "forewarn_rulings",
    "What people said of remedies that were held or parked, and what became of it.",
    ["verdict", "effect"],
    registry=REGISTRY,
)
REBUILT: Final = Counter(
    "forewarn_redis_rebuilt_parts",
    "Parts of a ledger (500 remedies) that were entered into Redis anew.",
    registry=REGISTRY,
)
RESERVED: Final = Gauge(
    "forewarn_budget_reserved_minor",
    "Reserved and not yet spent: the global budget of the latest day, campaigns.",
    ["scope"],
    registry=REGISTRY,
)
SPENT: Final = Gauge(
    "forewarn_budget_spent_minor",
    "Spent: the global budget of the latest day, campaigns.",
    ["scope"],
    registry=REGISTRY,
)
LIMIT: Final = Gauge(
    "forewarn_budget_limit_minor", "What a budget may come to.", ["scope"], registry=REGISTRY
)
OPEN: Final = Gauge(
    "forewarn_remedies_open", "Remedies the provider still has to answer.", registry=REGISTRY
)
HELD: Final = Gauge(
    "forewarn_remedies_held",
    "Remedies that wait, for a person or for the end of quiet hours.",
    ["reason"],
    registry=REGISTRY,
)
HELD_AMOUNT: Final = Gauge(
    "forewarn_remedies_held_amount_minor",
    "What they would cost, minor units.",
    ["reason"],
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "forewarn_redis_waiting_partitions",
    "Partitions in which no money moves until Redis is rebuilt.",
    registry=REGISTRY,
)
ALERTS: Final = Gauge("forewarn_alerts_firing", "Alerts operations are told.", registry=REGISTRY)
QUEUE: Final = Gauge(
    "forewarn_deliver_queue_records", "Requests read and not yet taken.", registry=REGISTRY
)
ROUND_SECONDS: Final = Histogram(
    "forewarn_issue_round_seconds",
    "One round of issuing: Redis, ledger, provider, ledger, customer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=REGISTRY,
)


PART_SECONDS: Final = Counter(
    "forewarn_issue_part_seconds",
    "Time of rounds by what it was spent on: redis, kafka (the ledger), http (provider, customer).",
    ["part"],
    registry=REGISTRY,
)


@contextmanager
def spent_on(part: str) -> Iterator[None]:
    """Add what a block takes to the time of a part."""
    began = perf_counter()
    try:
        yield
    finally:
        PART_SECONDS.labels(part).inc(perf_counter() - began)


def count_outcome(entry: Entry, book: Book) -> None:
    """Count what an entry says."""
    if isinstance(entry, NotificationEntry):
        NOTIFICATIONS.labels(entry.told).inc()
    elif isinstance(entry, RemedyEntry):
        REMEDIES.labels(entry.state, entry.reason or "none").inc()
        if entry.state is not State.UNKNOWN:
            AMOUNT.labels(entry.state).inc(book.accounts[entry.remedy_id].request.amount_minor)


def count_sink(sink: str, outcome: Outcome) -> None:
    """Count what became of a message."""
    if isinstance(outcome, Delivered):
        SINK_REQUESTS.labels(sink, "delivered").inc()
    elif isinstance(outcome, Refused):
        SINK_REQUESTS.labels(sink, "refused").inc()
    else:
        SINK_REQUESTS.labels(sink, outcome.reason).inc()


def count_verdict(verdict: object) -> None:
    """Count what a decision asked for."""
    name = verdict.value if isinstance(verdict, Nothing) else type(verdict).__name__
    DECISIONS.labels(name).inc()


def show_books(books: list[Book]) -> None:
    """Set the gauges from the ledgers of this process's partitions."""
    days = [key for book in books for key in book.reserved_minor if _is_day(key)]
    latest = max(days, default=None)
    scopes = {"global": latest} if latest else {}
    for book in books:
        scopes |= {key: key for key in book.reserved_minor if _is_campaign(key)}
    for label, key in scopes.items():
        RESERVED.labels(label).set(sum(book.reserved_minor[key] for book in books))
        SPENT.labels(label).set(sum(book.spent_minor[key] for book in books))
    OPEN.set(sum(account.open for book in books for account in book.open()))
    _show_held(books)
    ALERTS.set(sum(len(book.alerts) for book in books))


def _is_day(key: str) -> bool:
    return key.startswith("global/") and key.count("-") == 2


def _is_campaign(key: str) -> bool:
    """Whether it is a campaign's whole budget, not that of a day or a month."""
    return key.startswith("campaign/") and key.count("/") == 1


def _show_held(books: list[Book]) -> None:
    """Set how many are held and what they would cost, by reason; 0 where none is any more."""
    counts: PyCounter[str] = PyCounter()
    amounts: PyCounter[str] = PyCounter()
    for book in books:
        for account in book.held():
            reason = str(account.reason)
            counts[reason] += 1
            amounts[reason] += account.request.amount_minor
    for reason in HOLDING:
        HELD.labels(reason).set(counts[reason])
        HELD_AMOUNT.labels(reason).set(amounts[reason])

"""Complaints: who complains of the same thing twice, and how many complain where.

One row a customer holds the complaints of the last days and the episodes they led to. Everything
about one customer is judged by `occurred_at`, so a complaint that arrives late is found beside
those of its time; rows leave by timers on the clock, that is by arrivals.

Counts for `flow` are bucketed by the hour in which a complaint occurred and wait, in state, for
the end of the clock's minute in which they were seen.
"""

import heapq
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

import msgspec
import numpy as np

from detectors.base import (
    GRID_SECONDS,
    Batch,
    Cell,
    Counts,
    Metric,
    Output,
    Rejected,
    RejectReason,
)
from detectors.decisions import CareReason, CustomerHighCare, Evidence, decision_id, instant
from detectors.events import Category, Complaint
from detectors.issues import ISSUE_WORDS, category_by_subject, category_of_issue
from detectors.table import Table, pack, unpack

VERSION: Final = 1
MODEL: Final = "same-issue/1"
HOUR: Final = 3600
DAY: Final = 86_400
SEPARATOR: Final = "\x1f"
_ISSUES: Final = 4096
"""Different issues whose category is kept at hand."""


class _Seen(msgspec.Struct, array_like=True, order=True):
    """A complaint remembered; ordered by when it occurred."""

    occurred: float
    complaint_id: str
    issue: str


class _Episode(msgspec.Struct, array_like=True):
    """A customer's trouble with one issue, from its first complaint to a window after the last."""

    issue: str
    began: float
    until: float


class _Memory(msgspec.Struct, array_like=True):
    seen: list[_Seen]
    episodes: list[_Episode]


class ComplaintsCore:
    """Core of the complaints stream: repeat complainers, and counts for `flow`.

    Parameters
    ----------
    source
        Name of the partial counts' source, e.g. `complaints/0`.
    config_version
        Stands in the evidence of every decision.
    window_days
        Two complaints of the same issue no further apart than this make a repeat complainer.
    repeats
        How many complaints within the window make one.
    allowed_lateness_seconds
        A count is marked late when its hour ended so long before the clock; the same value as
        `flow`'s. A whole number of minutes.
    max_customers
        Customers remembered at once; complaints of further ones are rejected.
    max_complaints
        Complaints remembered per customer; the oldest are forgotten first.
    issue_words
        Words in an issue that tell the category of a complaint without one, see `classify`.
    """

    def __init__(
        self,
        *,
        source: str,
        config_version: str,
        window_days: float = 14.0,
        repeats: int = 2,
        allowed_lateness_seconds: int = HOUR,
        max_customers: int = 1_000_000,
        max_complaints: int = 50,
        issue_words: Mapping[str, str] = ISSUE_WORDS,
    ) -> None:
        if repeats < 2 or max_complaints < repeats:
            raise ValueError("repeats is at least 2 and at most max_complaints")
        self.source = source
        self.config_version = config_version
        self.window_days = window_days
        self.repeats = repeats
        self.allowed_lateness_seconds = allowed_lateness_seconds
        self.max_customers = max_customers
        self.max_complaints = max_complaints
        self.issue_words = dict(issue_words)
        self.clock = float("-inf")
        self._minute: int | None = None
        self._window = window_days * DAY
        self._customers = Table("customers", {"due": "f8"}, ["memory"])
        self._pending = Table("pending", {"count": "i8"}, [])
        """What `_counts` holds, brought up to date when state is asked for."""
        self._counts: dict[tuple[str, int, int], int] = {}
        """Complaints of the clock's minute by series, bucket and `late_at`."""
        self._timers: list[tuple[float, str]] = []
        """One a customer; due or, if they have complained since, to be looked at again."""
        self._category_of_issue = lru_cache(_ISSUES)(
            partial(category_of_issue, words=self.issue_words)
        )

    def __len__(self) -> int:
        """Return the number of customers remembered."""
        return len(self._customers)

    def observe(self, batch: Batch[Complaint]) -> list[Output]:
        """Judge complaints in order."""
        outputs: list[Output] = []
        for index, (complaint, arrival) in enumerate(
            zip(batch.events, batch.arrivals.tolist(), strict=True)
        ):
            if arrival > self.clock:
                outputs += self.advance(arrival)
            outputs += self._absorb(index, complaint)
        return outputs

    def advance(self, now: float) -> list[Output]:
        """Move the clock: forget customers who fell due, flush the counts of past minutes."""
        if now <= self.clock:
            return []
        self.clock = now
        self._forget(now)
        minute = int(now // GRID_SECONDS) * GRID_SECONDS
        if self._minute is not None and minute <= self._minute:
            return []
        self._minute = minute
        return [Counts(source=self.source, through=minute, cells=self._flush())]

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page of customers and pending counts."""
        self._settle()
        return pack(VERSION, self._scalars(), [t.dump(page, pages) for t in self._tables()])

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = unpack(VERSION, blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.load(page, pages, part)
        self._restore(scalars)

    def changes(self) -> bytes:
        """Return customers and pending counts changed since the last call."""
        self._settle()
        return pack(VERSION, self._scalars(), [t.changes() for t in self._tables()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = unpack(VERSION, blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.apply(part)
        self._restore(scalars)

    def _tables(self) -> tuple[Table, ...]:
        return self._customers, self._pending

    def _scalars(self) -> dict[str, Any]:
        return {"clock": self.clock, "minute": self._minute}

    def _restore(self, scalars: Mapping[str, Any]) -> None:
        self.clock, self._minute = scalars["clock"], scalars["minute"]
        rows = self._customers.rows()
        due = self._customers["due"][rows].tolist()
        self._timers = list(zip(due, self._customers.keys(rows), strict=True))
        heapq.heapify(self._timers)
        rows = self._pending.rows()
        counts = self._pending["count"][rows].tolist()
        keys = map(_read, self._pending.keys(rows))
        self._counts = dict(zip(keys, counts, strict=True))

    def _settle(self) -> None:
        cells = {_key(*cell): count for cell, count in self._counts.items()}
        rows = self._pending.rows()
        gone = [key not in cells for key in self._pending.keys(rows)]
        self._pending.remove(rows[np.array(gone, np.bool_)])
        if cells:
            added = self._pending.add(list(cells))
            self._pending["count"][added] = list(cells.values())

    def _forget(self, now: float) -> None:
        """Remove customers whose last complaint is older than the window."""
        timers, gone = self._timers, []
        while timers and timers[0][0] <= now:
            _, customer = heapq.heappop(timers)
            row = self._customers.row(customer)
            due = float(self._customers["due"][row])
            if due <= now:
                gone.append(row)
            else:
                heapq.heappush(timers, (due, customer))
        if gone:
            self._customers.remove(gone)

    def _flush(self) -> tuple[Cell, ...]:
        cells, self._counts = sorted(self._counts.items()), {}
        return tuple(
            Cell(Metric.COMPLAINTS, series, bucket, count, late_at)
            for (series, bucket, late_at), count in cells
        )

    def _absorb(self, index: int, complaint: Complaint) -> Iterable[Output]:
        row = self._customers.row(complaint.customer_id)
        if row < 0 and len(self._customers) >= self.max_customers:
            return (Rejected(index, RejectReason.TOO_MANY_CUSTOMERS),)
        memory = self._recall(row)
        identity = complaint.complaint_id
        if any(seen.complaint_id == identity for seen in memory.seen):
            return ()
        category = self._category(complaint)
        occurred = complaint.occurred_at.timestamp()
        self._count(complaint.region, category, occurred)
        issue = complaint.issue or category.value
        memory.seen.append(_Seen(occurred, identity, issue))
        outputs: Iterable[Output] = ()
        if len(memory.seen) > 1:
            memory.seen.sort()
            alike = self._alike(memory, issue, occurred)
            if self._opens(memory, issue, occurred, alike):
                outputs = (self._high_care(complaint, issue, alike),)
        self._remember(complaint.customer_id, memory)
        return outputs

    def _category(self, complaint: Complaint) -> Category:
        """Classify as `classify` does; issues are few and come again."""
        if complaint.category is not None:
            return complaint.category
        named = self._category_of_issue(complaint.issue or "")
        return named or category_by_subject(complaint)

    def _recall(self, row: int) -> _Memory:
        text = self._customers.text("memory")[row] if row >= 0 else None
        return _Memory([], []) if text is None else _decode_memory(text)

    def _remember(self, customer: str, memory: _Memory) -> None:
        memory.seen = memory.seen[-self.max_complaints :]
        memory.episodes = memory.episodes[-self.max_complaints :]
        customers, known = self._customers, len(self._customers)
        row = customers.put(customer)
        customers.text("memory")[row] = _encode_memory(memory).decode()
        last = max(memory.seen[-1].occurred, self.clock)
        due = -(-(last + self._window) // GRID_SECONDS) * GRID_SECONDS
        customers["due"][row] = due
        if len(customers) > known:
            heapq.heappush(self._timers, (due, customer))

    def _alike(self, memory: _Memory, issue: str, occurred: float) -> list[_Seen]:
        """Return the complaints of an issue within a window of `occurred`, oldest first."""
        return [
            seen
            for seen in memory.seen
            if seen.issue == issue and abs(seen.occurred - occurred) <= self._window
        ]

    def _opens(self, memory: _Memory, issue: str, occurred: float, alike: Iterable[_Seen]) -> bool:
        """Extend the episode the complaint belongs to; else tell whether it starts one."""
        for episode in memory.episodes:
            if episode.issue == issue and episode.began - self._window <= occurred <= episode.until:
                episode.until = max(episode.until, occurred + self._window)
                return False
        times = [seen.occurred for seen in alike]
        if not _within(times, self.repeats, self._window):
            return False
        memory.episodes.append(_Episode(issue, min(times), max(times) + self._window))
        return True

    def _count(self, region: str, category: Category, occurred: float) -> None:
        bucket = int(occurred // HOUR) * HOUR
        late = bucket + HOUR + self.allowed_lateness_seconds <= self.clock
        late_at = int(self.clock // HOUR) * HOUR if late else 0
        cell = (region + SEPARATOR + category, bucket, late_at)
        self._counts[cell] = self._counts.get(cell, 0) + 1

    def _high_care(self, complaint: Complaint, issue: str, alike: list[_Seen]) -> CustomerHighCare:
        subject = f"customer/{complaint.customer_id}"
        reason = CareReason.SAME_ISSUE_TWICE
        identity = decision_id(
            "customer.high_care", subject, reason, SEPARATOR.join((issue, alike[0].complaint_id))
        )
        days = (alike[-1].occurred - alike[0].occurred) / DAY
        return CustomerHighCare(
            decision_id=identity,
            episode_id=identity,
            subject=subject,
            decided_at=instant(self.clock),
            customer_id=complaint.customer_id,
            reason=reason,
            issue=issue,
            complaint_ids=tuple(seen.complaint_id for seen in alike),
            region=complaint.region,
            order_id=complaint.order_id,
            evidence=Evidence(
                text=f"{len(alike)} complaints about {issue!r} within {days:.1f} days.",
                unit="complaints",
                observed=len(alike),
                threshold=self.repeats,
                segment=f"same issue within {self.window_days:g} days",
                observations=0,
                model=MODEL,
                config=self.config_version,
            ),
        )


def _within(times: list[float], repeats: int, window: float) -> bool:
    """Tell whether `repeats` of the ascending times lie within one window."""
    return any(
        last - first <= window for first, last in zip(times, times[repeats - 1 :], strict=False)
    )


def _key(series: str, bucket: int, late_at: int) -> str:
    return SEPARATOR.join((series, str(bucket), str(late_at)))


def _read(key: str) -> tuple[str, int, int]:
    series, bucket, late_at = key.rsplit(SEPARATOR, 2)
    return series, int(bucket), int(late_at)


_encode_memory = msgspec.json.Encoder().encode
_decode_memory = msgspec.json.Decoder(_Memory).decode

"""Lanes without Kafka: a ledger in memory that fences, the real scripts in a real Redis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from configs.policy_schema import Policies
from pipeline.budget import Limits, RedisReservations
from pipeline.issuer import Issuer, Patience, Step
from pipeline.ledger import Book, Entry, decode_entry, encode_entry
from pipeline.policy import judge
from pipeline.remedies import RemedyRequest
from pipeline.stops import Fenced
from sinks.base import Sink
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON, stall


@dataclass
class Log:
    """A ledger partition that survives its writers."""

    entries: list[bytes] = field(default_factory=list)
    offset: int = 0
    """Requests up to here are answered."""
    epoch: int = 0

    def book(self) -> Book:
        book = Book()
        for value in self.entries:
            book.apply(decode_entry(value))
        book.offset = len(self.entries)
        return book


class MemoryLedger:
    """One writer of a log; a newer one fences it."""

    def __init__(self, log: Log) -> None:
        log.epoch += 1
        self._log, self._epoch = log, log.epoch

    async def append(self, entries: Sequence[Entry], through: int | None = None) -> int:
        await self.confirm_owner()
        self._log.entries += [encode_entry(entry) for entry in entries]
        if through is not None:
            self._log.offset = through
        return len(self._log.entries)

    async def confirm_owner(self) -> None:
        if self._epoch != self._log.epoch:
            raise Fenced("a newer writer has this ledger")


@dataclass
class World:
    """Lanes that share a Redis and a provider."""

    client: Redis
    prefix: str
    policies: Policies
    lanes: int = 2
    coupons: Sink = field(default_factory=MemorySink)
    notices: Sink = field(default_factory=MemorySink)
    now: datetime = NOON
    monotonic: float = 0.0
    attempts: int = 3
    logs: list[Log] = field(default_factory=list)
    issuers: list[Issuer] = field(default_factory=list)
    _tokens: int = 0

    def __post_init__(self) -> None:
        self.logs = [Log() for _ in range(self.lanes)]
        self.issuers = [self.owner(lane) for lane in range(self.lanes)]

    def owner(self, lane: int, step: Callable[[Step], None] = lambda _: None) -> Issuer:
        """A new owner of a lane, which fences the former one."""
        self._tokens += 1
        limits = Limits(self.policies)
        ledger = MemoryLedger(self.logs[lane])
        return Issuer(
            book=self.logs[lane].book(),
            ledger=ledger,
            reservations=RedisReservations(
                self.client,
                self.prefix,
                partition=lane,
                partitions=self.lanes,
                token=f"token{self._tokens}",
                limits=limits,
            ),
            limits=limits,
            coupons=self.coupons,
            notifications=self.notices,
            now=lambda: self.now,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
            sleep=self.sleep,
            patience=Patience(attempts=self.attempts, first_seconds=1, most_seconds=4),
            step=step,
        )

    async def sleep(self, seconds: float) -> None:
        """Time passes, and the other lanes see to their part of Redis."""
        self.pass_time(seconds)
        for issuer in self.issuers:
            await issuer.keep_ready()

    def pass_time(self, seconds: float) -> None:
        self.monotonic += seconds
        self.now += timedelta(seconds=seconds)

    async def keep_ready(self) -> None:
        for issuer in self.issuers:
            await issuer.keep_ready()

    def books(self) -> list[Book]:
        return [log.book() for log in self.logs]


def request(policies: Policies, number: int, **changes: Any) -> RemedyRequest:
    """What the policies ask for parcel `number`."""
    wish = judge(stall(number, **changes), policies)
    assert isinstance(wish, RemedyRequest)
    return wish

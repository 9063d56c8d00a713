"""Lanes without Kafka: a ledger in memory that fences, the real scripts in a real Redis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from configs.load import load_config
from configs.policy_schema import Policies
from pipeline.budget import RedisReservations
from pipeline.claims import Limits
from pipeline.issuer import Issuer, Ledger
from pipeline.ledger import Book, Entry, decode_entry, encode_entry
from pipeline.outlet import Outlet
from pipeline.patience import Patience
from pipeline.policy import judge
from pipeline.promises import Promises
from pipeline.remedies import RemedyRequest
from pipeline.stops import Fenced
from pipeline.wording import Wording
from sinks.base import Sink
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON, stall

WORDING = Wording(load_config().texts)


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


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Burns at the n-th call to anything outside, before or (odd n) after it had its effect."""

    def __init__(self, at: int | None) -> None:
        self._at, self._calls = at, 0
        self.after = bool(at and at % 2)

    def around(self, part: Any) -> Any:
        return part if self._at is None else _Fused(part, self)

    def call(self) -> bool:
        """Count one; True when this one is to burn."""
        self._calls += 1
        return self._at is not None and self._calls > self._at // 2


class _Fused:
    """A part whose coroutines count on a fuse."""

    def __init__(self, part: Any, fuse: Fuse) -> None:
        self._part, self._fuse = part, fuse

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._part, name)

        async def counted(*args: Any, **options: Any) -> Any:
            burns = self._fuse.call()
            if burns and not self._fuse.after:
                raise Crash
            done = await inner(*args, **options)
            if burns:
                raise Crash
            return done

        return counted


@dataclass
class World:
    """Lanes that share a Redis and a provider."""

    client: Redis
    prefix: str
    policies: Policies
    lanes: int = 2
    coupons: Sink = field(default_factory=MemorySink)
    notices: Sink = field(default_factory=MemorySink)
    actions: Sink = field(default_factory=MemorySink)
    now: datetime = NOON
    monotonic: float = 0.0
    repeats: bool = True
    logs: list[Log] = field(default_factory=list)
    issuers: list[Issuer] = field(default_factory=list)
    _tokens: int = 0

    def __post_init__(self) -> None:
        self.logs = [Log() for _ in range(self.lanes)]
        self.issuers = [self.owner(lane) for lane in range(self.lanes)]

    def owner(self, lane: int, crash_at: int | None = None) -> Issuer:
        """A new owner of a lane, which fences the former one; it dies at its n-th call outside."""
        self._tokens += 1
        limits = Limits(self.policies)
        fuse = Fuse(crash_at)
        ledger: Ledger = fuse.around(MemoryLedger(self.logs[lane]))
        reservations = RedisReservations(
            self.client,
            self.prefix,
            partition=lane,
            partitions=self.lanes,
            token=f"token{self._tokens}",
            limits=limits,
        )
        return Issuer(
            book=self.logs[lane].book(),
            ledger=ledger,
            reservations=fuse.around(reservations),
            limits=limits,
            coupons=Outlet("coupons", fuse.around(self.coupons), repeats=self.repeats),
            notifications=Outlet("notifications", fuse.around(self.notices)),
            promises=Promises(Outlet("actions", fuse.around(self.actions)), WORDING),
            now=lambda: self.now,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
            sleep=self.sleep,
            patience=Patience(schedule_seconds=(1.0, 2.0)),
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

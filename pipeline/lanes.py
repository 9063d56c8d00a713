"""A lane: one partition of decisions, of requests and of the ledger, in one process at a time.

Judging turns decisions into wishes, in one transaction with their offsets. Issuing takes the wishes
of the same partition. It reads ahead, so the end of an episode is known before money is spent on
it; and after taking over it issues nothing until both topics have been read to their ends once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import msgspec
import structlog
from confluent_kafka import Consumer, TopicPartition
from redis.asyncio import Redis

from configs.policy_schema import Policies
from detectors.decisions import Decision
from pipeline.alert_board import AlertBoard
from pipeline.budget import RedisReservations
from pipeline.claims import Limits
from pipeline.issuer import Issuer
from pipeline.ledger import Book
from pipeline.ledger_log import KafkaLedger, committed_offset, deliver_group, read_book
from pipeline.letters import headers_of
from pipeline.money_metrics import ROUND_SECONDS, count_verdict
from pipeline.outlet import Outlet
from pipeline.patience import Patience
from pipeline.policy import judge
from pipeline.promises import Promises
from pipeline.records import DeadLetter, RawRecord
from pipeline.remedies import (
    EpisodeEnded,
    Nothing,
    RemedyRequest,
    Ruling,
    Wish,
    decode_wish,
    encode_wish,
)
from pipeline.settings import Clock, Settings
from pipeline.stops import Sealed
from pipeline.times import Times
from pipeline.transactions import Outgoing, Transactions
from sinks.base import Sink

_LOG: Final = structlog.get_logger(__name__)
_DECISIONS: Final = msgspec.json.Decoder(Decision)
_IDLE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outside:
    """What a lane talks to."""

    consumer: Consumer
    redis: Redis
    coupons: Outlet
    notifications: Outlet
    promises: Promises
    alerts: Sink
    times: Times

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """Where messages leave, each with its switch."""
        return self.coupons, self.notifications, self.promises.outlet


class Lane:
    """One partition.

    Parameters
    ----------
    partition
        Which.
    settings, policies
        How.
    outside
        Broker, Redis and sinks, shared by the lanes of the process.
    """

    def __init__(
        self, partition: int, settings: Settings, policies: Policies, outside: Outside
    ) -> None:
        self.partition = partition
        self.ready = False
        self._settings, self._policies, self._outside = settings, policies, outside
        self._kafka = settings.kafka
        name = deliver_group(self._kafka)
        self._judging = Transactions(self._kafka, f"{name}-judging-{partition}", outside.consumer)
        self._writing = Transactions(self._kafka, f"{name}-ledger-{partition}", outside.consumer)
        self._waiting: deque[tuple[int, Wish]] = deque()
        self._news = asyncio.Event()
        self._latest = datetime.fromtimestamp(0, UTC)
        self._wished_to = 0
        self._read_to = 0
        self._decisions_read = self._requests_read = False
        self.issuer: Issuer | None = None

    @property
    def book(self) -> Book | None:
        """What this lane has promised and paid; None until its ledger is read."""
        return self.issuer.book if self.issuer else None

    @property
    def waiting(self) -> int:
        """How many records were read and not yet taken."""
        return len(self._waiting)

    # ------------------------------------------------------------------ judging

    async def decide(self, records: Sequence[RawRecord]) -> None:
        """Judge decisions: wishes, dead letters and offsets in one transaction."""
        wishes: list[Outgoing] = []
        for record in records:
            wishes += self._judged(record)
        through = records[-1].offset + 1
        topic = self._kafka.topic("decisions")
        offsets = [TopicPartition(topic, self.partition, through)]
        reached = await asyncio.to_thread(self._judging.write, wishes, offsets)
        self._wished_to = max(self._wished_to, reached.get(self._kafka.topic("remedies"), 0))

    def _judged(self, record: RawRecord) -> list[Outgoing]:
        try:
            decision = _DECISIONS.decode(record.value or b"")
        except (msgspec.MsgspecError, ValueError) as error:
            return [self._dead(record, "decisions", "unreadable_decision", str(error))]
        verdict = judge(decision, self._policies)
        count_verdict(verdict)
        if isinstance(verdict, Nothing):
            return []
        topic, key = self._kafka.topic("remedies"), decision.subject.encode()
        return [Outgoing(topic, self.partition, key, encode_wish(verdict))]

    def _dead(self, record: RawRecord, source: str, reason: str, detail: str) -> Outgoing:
        letter = DeadLetter(record, reason, detail)
        headers = headers_of(letter, self._kafka.topic(source), self.partition)
        topic = self._kafka.topic("dead-letters")
        return Outgoing(topic, self.partition, record.key, record.value, headers)

    # ------------------------------------------------------------------ what was read

    async def hear(self, records: Sequence[RawRecord]) -> None:
        """Take requests in; ends of episodes count from now on."""
        assert self.issuer is not None
        for record in records:
            try:
                wish = decode_wish(record.value or b"")
            except (msgspec.MsgspecError, ValueError) as error:
                dead = self._dead(record, "remedies", "unreadable_request", str(error))
                await asyncio.to_thread(self._judging.write, [dead])
                continue
            if isinstance(wish, EpisodeEnded):
                self.issuer.endings.see(wish)
            if not isinstance(wish, Ruling):  # a person's wall time is not the data's
                self._latest = max(self._latest, wish.decided_at)
            self._waiting.append((record.offset, wish))
        self._read_to = records[-1].offset + 1
        self._news.set()

    def reached_end(self, topic: str) -> None:
        """Note that a topic has been read to its end."""
        if topic == self._kafka.topic("decisions"):
            self._decisions_read = True
        else:
            self._requests_read = True
        self._news.set()

    @property
    def caught_up(self) -> bool:
        """Whether everything that was known at the take-over has been read."""
        return self._decisions_read and self._requests_read and self._read_to >= self._wished_to

    # ------------------------------------------------------------------ issuing

    async def open(self) -> None:
        """Fence the former owner, then read the ledger."""
        await asyncio.gather(
            asyncio.to_thread(self._judging.open), asyncio.to_thread(self._writing.open)
        )
        book = await asyncio.to_thread(read_book, self._kafka, self.partition)
        if book.seal is not None:
            name = self._kafka.topic("ledger")
            raise Sealed(f"partition {self.partition} of {name}: {book.seal.text}")
        offset = await asyncio.to_thread(
            committed_offset, self._kafka, deliver_group(self._kafka), "remedies", self.partition
        )
        self.issuer = self._new_issuer(book, offset)
        self._board = AlertBoard(
            book, self._outside.alerts, resend_seconds=self._settings.deliver.alert_resend_seconds
        )
        _LOG.info("took a partition over", partition=self.partition, accounts=len(book.accounts))

    async def run(self) -> None:
        """Issue until cancelled; raises `Fenced` and other reasons to stop the process."""
        assert self.issuer is not None
        times = self._outside.times
        await self._board.tick(times.now(), times.monotonic())
        while True:
            wishes, through = self._take()
            if wishes or (self.caught_up and self.issuer.due()):
                with ROUND_SECONDS.time():
                    self._board.changed(await self.issuer.work(wishes, through))
            else:
                await self.issuer.keep_ready()
                await self._rest()
            self.ready = not self.issuer.waiting_for_redis
            expired = self._board.expired(times.now())
            if expired:
                self._board.changed(await self.issuer.resolve(expired))
            await self._board.tick(times.now(), times.monotonic())

    async def _rest(self) -> None:
        self._news.clear()
        if self._waiting and self.caught_up:
            return
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return  # time to look at what is due

    def _take(self) -> tuple[list[Wish], int | None]:
        """Take the next round: at most `batch` requests with all that lies between them."""
        if not self.caught_up:
            return [], None
        wishes: list[Wish] = []
        requests, through = 0, None
        while self._waiting and requests < self._settings.deliver.batch:
            offset, wish = self._waiting.popleft()
            requests += isinstance(wish, RemedyRequest)
            wishes.append(wish)
            through = offset + 1
        return wishes, through

    def close(self) -> None:
        """Let go; what is under way is found in the ledger by the next owner."""
        self._judging.close()
        self._writing.close()

    def _new_issuer(self, book: Book, offset: int) -> Issuer:
        deliver, limits = self._settings.deliver, Limits(self._policies)
        times = self._outside.times
        reservations = RedisReservations(
            self._outside.redis,
            self._settings.redis.prefix,
            partition=self.partition,
            partitions=self._kafka.partitions,
            token=uuid4().hex,
            limits=limits,
        )
        return Issuer(
            book=book,
            ledger=KafkaLedger(self._writing, self._kafka, self.partition, offset),
            reservations=reservations,
            limits=limits,
            coupons=self._outside.coupons,
            notifications=self._outside.notifications,
            promises=self._outside.promises,
            now=times.now,
            clock=times.shared if self._settings.clock is Clock.BROKER else lambda: self._latest,
            monotonic=times.monotonic,
            learn=times.learn,
            patience=Patience(deliver.retry_seconds, lease_seconds=deliver.lease_seconds),
        )

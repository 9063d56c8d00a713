"""`forewarn deliver`: decisions in; coupons, messages and alerts out.

One consumer reads decisions and remedies, both with the same number of partitions, so partition p
of both comes to the same process: a lane (pipeline/lanes.py). Any process may die at any moment;
whoever gets the partition next fences it, folds the ledger and goes on. When in doubt (fenced,
broken ledger) the process ends with a message, and its supervisor starts it again.
"""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from configs.load import load_config
from configs.policy_schema import Policies
from configs.problems import ConfigError, Problem
from configs.texts import Texts
from pipeline import money_metrics, topics
from pipeline.garbage import collect_seldom
from pipeline.health import HealthServer
from pipeline.lanes import Lane, Outside
from pipeline.ledger_log import deliver_group
from pipeline.lints import find
from pipeline.outlet import Outlet
from pipeline.promises import Promises
from pipeline.records import RawRecord
from pipeline.settings import Alertmanager, Settings, Sharing, Webhook, variable
from pipeline.settings import Outbound as OutboundRules
from pipeline.stops import BrokerUnavailable, WrongTopics
from pipeline.times import Times
from pipeline.wording import Wording
from sinks.alertmanager import AlertmanagerSink
from sinks.base import Sink
from sinks.console import ConsoleSink
from sinks.destination import Forbidden
from sinks.http import Outbound
from sinks.mail import MailSink
from sinks.smtp import Account
from sinks.webhook import WebhookSink

_LOG: Final = structlog.get_logger(__name__)
_CHUNK: Final = 1000
_POLL_SECONDS: Final = 0.05
_STUCK_SECONDS: Final = 120.0
_CLOSE_SECONDS: Final = 10.0
_CANCEL_SECONDS: Final = 1.0


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; raises what stopped it otherwise."""
    config = load_config(settings.config)
    mistakes = find(config).errors
    if mistakes:  # money does not move by rules that cannot be meant
        raise ConfigError(mistakes)
    collect_seldom()
    asyncio.run(run(settings, config.policies, texts=config.texts))


async def run(
    settings: Settings,
    policies: Policies,
    times: Times | None = None,
    *,
    texts: Texts | None = None,
) -> None:
    """Deliver until a signal comes; without `texts` customers read those that ship."""
    problems = await asyncio.to_thread(topics.check, settings.kafka)
    if problems:
        raise WrongTopics("\n".join(str(problem) for problem in problems))
    delivery = Delivery(settings, policies, times or Times(), texts or load_config().texts)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, delivery.stop)
    await delivery.run()


@dataclass(slots=True)
class _Running:
    """A lane and the task that issues in it."""

    lane: Lane
    task: asyncio.Task[None]


class Delivery:
    """The process: one consumer, a lane for each partition it has.

    Parameters
    ----------
    settings, policies
        How.
    times
        Where time comes from.
    texts
        What customers read.
    """

    def __init__(self, settings: Settings, policies: Policies, times: Times, texts: Texts) -> None:
        self._settings, self._policies, self._times = settings, policies, times
        self._wording = Wording(texts)
        self._kafka = settings.kafka
        self._topics = [self._kafka.topic("decisions"), self._kafka.topic("remedies")]
        self._lanes: dict[int, _Running] = {}
        self._paused: set[int] = set()
        self._assigned = False
        self._stopping = asyncio.Event()
        self._polled = monotonic()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()

    async def run(self) -> None:
        """Deliver until `stop`; raises what makes it impossible to go on."""
        metrics = self._settings.metrics
        health = HealthServer(
            metrics.host,
            metrics.deliver_port,
            money_metrics.REGISTRY,
            stuck=self._stuck,
            unready=self._unready,
        )
        async with contextlib.AsyncExitStack() as stack:
            self._consumer = Consumer(self._consumer_settings())
            # In a thread: closing calls `revoked`, which waits for this loop.
            stack.push_async_callback(asyncio.to_thread, self._consumer.close)
            self._outside = _connect(self._settings, self._consumer, self._times, self._wording)
            stack.push_async_callback(_disconnect, self._outside)
            await health.start()
            stack.push_async_callback(health.stop)
            stack.push_async_callback(self._drop_all)
            self._show_limits()
            _LOG.info("delivering", port=health.port, sharing=self._settings.deliver.sharing)
            await self._subscribe()
            await self._serve()

    # ------------------------------------------------------------------ reading

    async def _serve(self) -> None:
        while not self._stopping.is_set():
            # Callbacks of a rebalance run inside `consume`, in its thread.
            messages = await asyncio.to_thread(self._consumer.consume, _CHUNK, _POLL_SECONDS)
            self._polled = monotonic()
            await self._sort(messages)
            self._raise_failed()
            self._hold_back()
            money_metrics.show_books([book for lane in self._all() if (book := lane.book)])
            money_metrics.QUEUE.set(sum(lane.waiting for lane in self._all()))

    async def _sort(self, messages: Sequence[Message]) -> None:
        """Hand records to their lanes, then the ends of partitions."""
        records: dict[tuple[str, int], list[RawRecord]] = {}
        ends: list[tuple[str, int]] = []
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                records.setdefault(place, []).append(_raw(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # has no public name
                ends.append(place)
            elif error.fatal() or not error.retriable():
                raise BrokerUnavailable(f"{place[0]} cannot be read: {error.str()}")
        await asyncio.gather(*(self._hand_over(*item) for item in records.items()))
        for topic, partition in ends:
            if partition in self._lanes:
                self._lanes[partition].lane.reached_end(topic)

    async def _hand_over(self, place: tuple[str, int], records: list[RawRecord]) -> None:
        topic, partition = place
        running = self._lanes.get(partition)
        if running is None:  # revoked since
            return
        if topic == self._topics[0]:
            await running.lane.decide(records)
        else:
            await running.lane.hear(records)

    def _hold_back(self) -> None:
        """Stop reading requests of a partition that is far behind, and read on when it is not."""
        limit = self._settings.deliver.queue_records
        for partition, running in self._lanes.items():
            place = [TopicPartition(self._topics[1], partition)]
            if running.lane.waiting > limit and partition not in self._paused:
                self._consumer.pause(place)
                self._paused.add(partition)
                # What lies beyond is not known, so what was read must be enough to go on.
                running.lane.reached_end(self._topics[1])
            elif running.lane.waiting < limit // 2 and partition in self._paused:
                self._consumer.resume(place)
                self._paused.discard(partition)

    def _raise_failed(self) -> None:
        for running in self._lanes.values():
            if running.task.done() and not running.task.cancelled():
                running.task.result()
                raise RuntimeError("a lane has ended by itself")

    # ------------------------------------------------------------------ partitions

    async def _subscribe(self) -> None:
        if self._settings.deliver.sharing is Sharing.ALL:
            everything = range(self._kafka.partitions)
            await self._take(everything)
            self._consumer.assign([TopicPartition(t, p) for t in self._topics for p in everything])
            return
        loop = asyncio.get_running_loop()

        def assigned(consumer: Consumer, places: list[TopicPartition]) -> None:
            _wait_for(loop, self._take(_whole(places, self._topics)))
            consumer.assign(places)

        def revoked(consumer: Consumer, places: list[TopicPartition]) -> None:
            _wait_for(loop, self._drop({place.partition for place in places}))
            consumer.unassign()

        self._consumer.subscribe(
            self._topics, on_assign=assigned, on_revoke=revoked, on_lost=revoked
        )

    async def _take(self, partitions: Iterable[int]) -> None:
        self._paused.clear()
        lanes = [Lane(p, self._settings, self._policies, self._outside) for p in partitions]
        await asyncio.gather(*(lane.open() for lane in lanes))
        for lane in lanes:
            self._lanes[lane.partition] = _Running(lane, asyncio.create_task(lane.run()))
        self._assigned = True

    async def _drop(self, partitions: Iterable[int]) -> None:
        gone = [self._lanes.pop(p) for p in sorted(partitions) if p in self._lanes]
        await end([running.task for running in gone])
        for running in gone:
            running.lane.close()

    async def _drop_all(self) -> None:
        await self._drop(set(self._lanes))

    def _all(self) -> list[Lane]:
        return [running.lane for running in self._lanes.values()]

    # ------------------------------------------------------------------ how it is

    def _stuck(self) -> list[str]:
        silent = monotonic() - self._polled
        return [f"nothing was read for {silent:.0f} s"] if silent > _STUCK_SECONDS else []

    def _unready(self) -> list[str]:
        if not self._assigned:
            return ["no partitions assigned yet"]
        waiting = [lane.partition for lane in self._all() if not lane.ready]
        money_metrics.WAITING.set(len(waiting))
        outlets = self._outside.outlets
        return [f"partition {partition} waits for Redis" for partition in waiting] + [
            f"{outlet.name}: the receiver answered 410 (Gone); mend its url and start again"
            for outlet in outlets
            if outlet.off
        ]

    def _show_limits(self) -> None:
        budgets = self._policies.budgets
        money_metrics.LIMIT.labels("global").set(budgets.global_per_day_minor)
        for name, campaign in budgets.campaigns.items():
            money_metrics.LIMIT.labels(f"campaign/{name}").set(campaign.total_minor)

    def _consumer_settings(self) -> dict[str, Any]:
        session_ms = int(self._kafka.session_timeout_seconds * 1000)
        return {
            "bootstrap.servers": self._kafka.brokers,
            "client.id": "forewarn-deliver",
            "group.id": deliver_group(self._kafka),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # Both topics have as many partitions: this one gives partition p of both to one member.
            "partition.assignment.strategy": "range",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": max(session_ms // 5, 200),
            "max.poll.interval.ms": max(300_000, session_ms),
            "fetch.wait.max.ms": 50,
        }


def _connect(settings: Settings, consumer: Consumer, times: Times, wording: Wording) -> Outside:
    """Make clients; none of them connects before it is used. Raises `ConfigError`."""
    redis: Redis = Redis.from_url(
        settings.redis.url.get_secret_value(),
        socket_timeout=settings.redis.timeout_seconds,
        socket_connect_timeout=settings.redis.timeout_seconds,
        retry=Retry(NoBackoff(), 0),  # a lost answer must be known here, not tried again silently
    )
    webhooks = {name: getattr(settings, name) for name in ("coupons", "notifications", "actions")}
    sinks = {
        name: _sink(name, section, settings.outbound, times) for name, section in webhooks.items()
    }
    return Outside(
        consumer=consumer,
        redis=redis,
        coupons=Outlet("coupons", sinks["coupons"], repeats=settings.coupons.idempotent),
        notifications=Outlet("notifications", _mail(settings) or sinks["notifications"]),
        promises=Promises(Outlet("actions", sinks["actions"]), wording),
        alerts=_sink("alertmanager", settings.alertmanager, settings.outbound, times),
        times=times,
    )


def _sink(name: str, section: Webhook | Alertmanager, rules: OutboundRules, times: Times) -> Sink:
    """Return the sink of a section; the console where it has no address."""
    if section.url is None:
        return ConsoleSink()
    outbound = Outbound(
        timeout_seconds=section.timeout_seconds,
        connect_seconds=rules.connect_seconds,
        read_seconds=rules.read_seconds,
        allow=rules.allowed,
    )
    try:
        if isinstance(section, Alertmanager):
            return AlertmanagerSink(section.url, outbound=outbound)
        return WebhookSink(section.url, section.key, outbound=outbound, now=times.shared)
    except Forbidden as error:
        problem = Problem(variable((name, "url")), None, f"{name}.url", str(error))
        raise ConfigError([problem]) from error


def _mail(settings: Settings) -> Sink | None:
    """Return the sink for e-mail; None where customers are told by the webhook."""
    email = settings.email
    if email.url is None or email.sender is None or email.recipient_domain is None:
        return None
    account = None
    if email.user is not None and email.password is not None:
        account = Account(email.user, email.password.get_secret_value())
    try:
        return MailSink(
            email.url,
            sender=email.sender,
            domain=email.recipient_domain,
            account=account,
            language=email.language,
            region_languages=email.region_languages,
            timeout_seconds=email.timeout_seconds,
            allow=settings.outbound.allowed,
        )
    except Forbidden as error:
        problem = Problem(variable(("email", "url")), None, "email.url", str(error))
        raise ConfigError([problem]) from error


async def _disconnect(outside: Outside) -> None:
    for sink in (*outside.outlets, outside.alerts):
        await sink.close()
    await outside.redis.aclose()


def _whole(places: Sequence[TopicPartition], names: Sequence[str]) -> set[int]:
    """Return the partitions assigned; raise `WrongTopics` when one came without its other topic."""
    found: dict[int, set[str]] = {}
    for place in places:
        found.setdefault(place.partition, set()).add(place.topic)
    torn = sorted(partition for partition, topics_ in found.items() if topics_ != set(names))
    if torn:
        raise WrongTopics(f"partitions {torn} of {' and '.join(names)} were assigned apart")
    return set(found)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: whoever waits for a rebalance waits for this.

    Once is not enough: before Python 3.12 `asyncio.wait_for` loses a cancellation that comes
    together with what it waits for.
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)  # nobody else asks how they ended


def _wait_for(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result()


def _raw(message: Message) -> RawRecord:
    return RawRecord(
        key=message.key(),
        value=message.value(),
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        headers=(),
    )

"""The worker: Faust brings chunks, each partition's task judges them, one transaction a chunk.

    Faust agent (input) ─► Owned (partition p) ─► Task ─► StateLog ─► broker

Faust does membership of the group, rebalancing and delivery. Positions, state and everything
written belong to `StateLog`: when a partition is assigned, its former owner is fenced, its state
loaded, and each input placed one beyond the stored offset. Whatever must not happen ends the
process with an error and an exit code (pipeline.stops); its supervisor starts it again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from configs.load import Config, load_config
from pipeline import metrics, topics, transport
from pipeline.app import new_app
from pipeline.clock import Tick
from pipeline.garbage import collect_seldom
from pipeline.health import HealthServer, Progress, now
from pipeline.ownership import Owned, PassedOver
from pipeline.positions import together, where_to_start
from pipeline.record_columns import RecordColumns
from pipeline.settings import Settings
from pipeline.stops import WorkerFailure, WrongTopics
from pipeline.task import Input
from pipeline.transport import ChunkSchema

STOP_SECONDS: Final = 30.0
"""Longest graceful stop: chunks in work end and offsets are committed."""
FAIL_SECONDS: Final = 5.0
"""Longest stop after a failure: there is nothing left to save."""
BLOCKED_SECONDS: Final = 5.0
"""So long after the longest stop its process ends, whatever it waits for."""
WATCH_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


def main(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT (returns 0) or a failure (its exit code)."""
    collect_seldom()
    try:
        problems = topics.check(settings.kafka)
        if problems:
            raise WrongTopics("; ".join(str(problem) for problem in problems))
        code = asyncio.run(_run(settings, load_config(settings.config)))
    except WorkerFailure as failure:
        _log.error("the worker stops", error=str(failure), exit_code=failure.exit_code)
        code = failure.exit_code
    _leave_no_thread(code)
    return code


async def _run(settings: Settings, config: Config) -> int:
    await Worker(settings, config).run()
    return 0


def _leave_no_thread(code: int) -> None:
    """End the process if a thread of a library would keep it.

    A consumer that was frozen or kicked out of its group while it stops may never end.
    """
    stuck = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    if stuck:
        _end(code, "threads do not end", threads=stuck)


@contextlib.contextmanager
def ended_within(seconds: float, code: int) -> Iterator[None]:
    """End the process with a code when what is done here takes so long.

    Faust waits for its consumer's thread without giving the loop a chance, so no time-out of
    asyncio ends that; a thread that was frozen while it left its group may never end.
    """
    timer = threading.Timer(seconds, _end, [code, f"the stop did not end in {seconds:.0f} s"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(code: int, why: str, **details: object) -> None:
    """End the process now: state is whole on the broker."""
    _log.warning(why, **details)
    logging.shutdown()
    os._exit(code)


class Worker:
    """One process's share of the partitions.

    Parameters
    ----------
    settings
        Where everything is.
    config
        What the cores are built from.
    """

    def __init__(self, settings: Settings, config: Config) -> None:
        self._settings = settings
        self._config = config
        self._names = {settings.kafka.topic(source): source for source in Input}
        self._owned: dict[int, Owned] = {}
        self._kept: dict[int, Owned] = {}
        """Revoked, and ours again if the next generation of the group says so."""
        self._generation = 0
        self._opening: dict[int, asyncio.Lock] = {}
        self._assignments = 0
        self._jobs: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[WorkerFailure] | None = None
        self._progress = Progress()
        self._app = new_app(settings)
        self._app.revoking = self._let_go
        connect: Any = self._app.on_partitions_assigned.connect
        connect(self._assigned)
        connect = self._app.on_partitions_revoked.connect
        connect(self._revoked)
        for topic, source in self._names.items():
            channel = self._app.topic(topic, schema=ChunkSchema())
            agent = self._app.agent(channel, name=f"forewarn.{source}", isolated_partitions=True)
            agent(self._agent(source))

    @property
    def _consumer(self) -> transport.Consumer:
        consumer = self._app.consumer
        if not isinstance(consumer, transport.Consumer):
            raise WorkerFailure(f"unexpected consumer {type(consumer).__name__}")
        return consumer

    async def run(self) -> None:
        """Work until a signal; raises `WorkerFailure` for anything that must not happen."""
        self._failed = asyncio.get_running_loop().create_future()
        stop = _stop_signal()
        health = self._health()
        await health.start()
        _log.info("the worker starts", health_port=health.port, clock=str(self._settings.clock))
        try:
            await self._app.start()
            self._start(self._watch())
            await self._until(stop)
            _log.info("the worker stops", reason="signal")
        except BaseException as failure:
            code = failure.exit_code if isinstance(failure, WorkerFailure) else 1
            await self._stop(health, FAIL_SECONDS, code)
            raise
        await self._stop(health, STOP_SECONDS, 0)

    async def _until(self, stop: asyncio.Event) -> None:
        """Wait for the signal, a failure of ours or a crash of Faust's, whichever is first."""
        assert self._failed is not None
        waits: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(self._app.wait_until_stopped()),
        }
        try:
            await asyncio.wait({*waits, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._failed.done():
            raise self._failed.result()
        if not stop.is_set():
            reason = self._app.crash_reason
            if isinstance(reason, WorkerFailure):
                raise reason
            raise WorkerFailure(f"Faust stopped: {reason!r}") from reason

    async def _stop(self, health: HealthServer, seconds: float, code: int) -> None:
        """Finish chunks in work, commit offsets, leave the group."""
        self._let_go()
        try:
            with ended_within(seconds + BLOCKED_SECONDS, code):
                async with asyncio.timeout(seconds):
                    await self._app.stop()
        except TimeoutError:
            _log.warning("the stop took too long", seconds=seconds)
        for job in self._jobs:
            job.cancel()
        for owned in (*self._owned.values(), *self._kept.values()):
            owned.close()
        await health.stop()

    def _health(self) -> HealthServer:
        return HealthServer(
            self._settings.metrics.host,
            self._settings.metrics.port,
            metrics.REGISTRY,
            stuck=lambda: self._progress.stuck(now()),
            unready=self._progress.unready,
        )

    # ---- assignment

    async def _assigned(self, _app: object, assigned: Iterable[TP], **_: Any) -> None:
        self._assignments += 1
        partitions = together(assigned, self._names)
        self._progress.assign(partitions)
        metrics.ASSIGNED_PARTITIONS.set(len(partitions))
        metrics.RECOVERED_PARTITIONS.set(0)
        _log.info("partitions assigned", partitions=sorted(partitions))
        self._sort_out_kept(partitions)
        for partition in sorted(partitions):
            self._start(self._take_over(partition, self._assignments))

    async def _revoked(self, _app: object, _revoked: Iterable[TP], **_: Any) -> None:
        """Work on nothing any more, but forget nothing: most partitions come back at once."""
        self._assignments += 1
        for partition, owned in self._owned.items():
            await owned.settle()  # a chunk in work ends first
            self._kept[partition] = owned
        self._owned.clear()

    def _sort_out_kept(self, partitions: set[int]) -> None:
        """Let go of partitions that went elsewhere, or may have been elsewhere meanwhile.

        A generation that was missed is one in which another worker may have had them; and should
        this ever be wrong, that worker has fenced ours, which then fails instead of writing.
        """
        before, self._generation = self._generation, self._app.consumer_generation_id
        for partition in list(self._kept):
            if partition not in partitions or self._generation != before + 1:
                self._kept.pop(partition).close()
                metrics.forget_partition(partition)

    def _let_go(self) -> None:
        """End the waits of scans for other partitions, which Faust would wait for."""
        for owned in self._owned.values():
            owned.let_go()

    async def _take_over(self, partition: int, assignment: int) -> None:
        async with self._opening.setdefault(partition, asyncio.Lock()):
            if assignment != self._assignments:
                return
            kept = self._kept.pop(partition, None)
            owned = kept or Owned(self._settings, self._config, partition, self._progress)
            if kept is None:
                await asyncio.to_thread(owned.open)
            else:
                owned.go_on()
            positions = await self._positions(owned)
            if assignment != self._assignments:
                owned.close()
                return
            self._owned[partition] = owned
        await self._consumer.place(positions)
        self._progress.recover(partition)
        metrics.RECOVERED_PARTITIONS.set(len(self._owned))
        _log.info(
            "partition recovered",
            partition=partition,
            kept=kept is not None,
            chunks=owned.log.ring.n,
            rows=owned.task.rows(),
            offsets={str(source): offset for source, offset in owned.task.offsets.items()},
        )

    async def _positions(self, owned: Owned) -> dict[TP, int]:
        tps = {source: TP(topic, owned.partition) for topic, source in self._names.items()}
        bounds = await self._consumer.bounds(tps.values())
        committed = await self._consumer.committed(tps.values())
        starts = where_to_start(
            owned.task.offsets,
            {source: bounds[tp] for source, tp in tps.items()},
            {source: committed[tp] for source, tp in tps.items()},
            partition=owned.partition,
            chunks=owned.log.ring.n,
            on_gap=self._settings.on_gap,
        )
        for source in owned.task.offsets:
            owned.task.offsets[source] = starts[source] - 1
        return {tp: starts[source] for source, tp in tps.items()}

    # ---- chunks

    def _agent(self, source: Input) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def agent(stream: Any) -> None:
            async for event in _events(stream):
                work = self._start(self._process(source, event.message.tp, event.value))
                # Neither tears a cancelled agent the chunk, nor does a failure, which ends the
                # worker, come back to Faust, which would acknowledge the chunk.
                await asyncio.wait({work})

        return agent

    async def _process(self, source: Input, tp: TP, value: RecordColumns | Tick) -> None:
        owned = self._owned.get(tp.partition)
        if owned is None:  # revoked while it waited in the stream
            return
        try:
            if isinstance(value, Tick):
                await owned.tick(source, value)
                return
            self._progress.lagging(source, tp.partition, len(value), now())
            if not await owned.chunk(source, value):
                return
        except PassedOver as missing:  # whatever has lost them, the log has them
            place, offset = {"input": str(source), "partition": tp.partition}, missing.wanted
            _log.warning("records went astray and are read again", **place, offset=offset)
            await self._consumer.place({tp: offset})
            return
        offset = value.offsets[-1]
        self._consumer.reached(tp, offset)
        lag = self._consumer.lag_records(tp, offset)
        self._progress.moved(source, tp.partition, lag, now())
        metrics.INPUT_LAG_RECORDS.labels(source, str(tp.partition)).set(lag)

    async def _watch(self) -> None:
        """Look at the lag of every input now and then, also of those that bring nothing."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            tps = {
                TP(topic, partition): (source, partition)
                for topic, source in self._names.items()
                for partition in self._owned
            }
            try:
                lags = await asyncio.wait_for(self._consumer.lags(tps), WATCH_SECONDS)
            except (KafkaError, TimeoutError) as error:
                _log.warning("the lag is unknown", error=repr(error))
                continue
            for tp, lag in lags.items():
                source, partition = tps[tp]
                if partition in self._owned:
                    self._progress.lagging(source, partition, lag, now())
                    metrics.INPUT_LAG_RECORDS.labels(source, str(partition)).set(lag)

    def _start(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a job whose failure is the worker's failure."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._failed is None or self._failed.done():
            return
        if not isinstance(error, WorkerFailure):
            _log.error("unexpected failure", exc_info=error)
            wrapped = WorkerFailure(f"unexpected failure: {error!r}")
            wrapped.__cause__ = error
            error = wrapped
        self._failed.set_result(error)


async def _events(stream: Any) -> AsyncIterator[Any]:
    async for event in stream.events():
        yield event


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # no such signals on this platform
            loop.add_signal_handler(number, stop.set)
    return stop

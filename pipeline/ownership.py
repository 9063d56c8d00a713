"""One partition in this worker's hands: its task, its state log and its lock.

Chunks of a task, whichever input they come from, are processed one at a time. Judging runs in the
event loop; writing runs in a thread, while another partition judges. A failure leaves the task
unusable, and the process ends: the state on the broker is whole and its next owner goes on from
there.

A transaction costs the same whatever is in it, and a page of the state: so what was absorbed while
another transaction was on its way is committed together (`Group`; group commit, as databases do
with their logs). Whoever comes to the lock first commits for all who have absorbed; counts, which
nobody waits for, let others come first.

Scans of an epoch for which the lessons of other partitions are missing wait outside the lock, so
that the lessons can come. They are in no hurry to be kept: what was not absorbed stays in the log.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Final

import msgspec
import structlog

from configs.load import Config
from pipeline import metrics
from pipeline.capacity import Capacity, limits
from pipeline.clock import Gossip, IdleClock, Notice, Tick
from pipeline.health import Progress
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.records import DeadLetter
from pipeline.settings import Clock, Settings
from pipeline.statelog import StateLog
from pipeline.stops import CoreBroken, WorkerFailure
from pipeline.task import Input, Outcome, Task

CORE_FAILED: Final = "core_failed"
MAX_CORE_FAILURES: Final = 16
"""Records of one chunk that may break a core; more is no poison but a broken core."""
MAX_CHUNK_BYTES: Final = 2 * 1024 * 1024
"""Largest part of a chunk that is one transaction: it bounds the changes in a state record."""
FOLLOW_SECONDS: Final = 0.1
"""How long counts that were absorbed wait for something else to be committed with."""
CLOCKED: Final = (Input.TRACKING, Input.COMPLAINTS)
_log = structlog.get_logger(__name__)
_read_notice: Final = msgspec.json.Decoder(Notice).decode


@dataclass(slots=True)
class Group:
    """What was absorbed and goes into one transaction."""

    outcome: Outcome = field(default_factory=Outcome)
    acts: list[Callable[[Task], Outcome]] = field(default_factory=list)
    """What was done to the task since the last commit."""
    moved: bool = False
    """Whether an offset or a clock was."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class PassedOver(Exception):
    """Records that lie between what was absorbed and what comes next never came.

    Parameters
    ----------
    wanted
        Offset of the first of them.
    """

    def __init__(self, wanted: int) -> None:
        super().__init__(f"the records from offset {wanted} on have not come")
        self.wanted = wanted


class Owned:
    """A partition's task while this worker has it.

    Parameters
    ----------
    settings
        Clock, idle time and where the topics are.
    config
        What the cores are built from.
    partition
        Which one.
    progress
        Is told while scans wait for others.
    sealed
        Whether it may be sealed (`StateLog`).
    """

    def __init__(
        self,
        settings: Settings,
        config: Config,
        partition: int,
        progress: Progress,
        *,
        sealed: bool = False,
    ) -> None:
        self.partition = partition
        self.lock = asyncio.Lock()
        self._history = settings.clock is Clock.DATA
        self.task = Task(partition, settings.kafka.partitions, config, history=self._history)
        self.log = StateLog(settings.kafka, partition, sealed=sealed)
        self._config = config
        self._partitions = settings.kafka.partitions
        self._topics = {source: settings.kafka.topic(source) for source in Input}
        self._clock = IdleClock(settings.clock, settings.idle_seconds)
        self._gossip = Gossip(settings.clock)
        self._capacity = Capacity(partition, limits(config))
        self._progress = progress
        self._news = asyncio.Event()
        """Something came that scans may have waited for."""
        self._let_go = False
        self._group = Group()
        self._failed: BaseException | None = None

    def open(self) -> None:
        """Fence the former owner and load the state; blocks."""
        with metrics.RECOVERY_SECONDS.time():
            self.log.open(self.task)

    async def chunk(self, source: Input, records: RecordColumns) -> bool:
        """Absorb what was fetched and commit what follows from it.

        Returns False when it was let go before all of it was absorbed. Raises `PassedOver` when
        records before it never came: state must not take a record before its predecessors.
        """
        if source is Input.NOTICES:
            async with self._usable():
                self._hear(records)
            return True
        await self._follow(source, records.begin)
        for part in parts(records):
            left = part
            while len(left):
                async with self._usable():
                    self._news.clear()
                    if self._let_go:
                        return False
                    before, left = len(left), await self._absorb(source, left)
                    group = self._group
                await self._settled(group, source)
                self._measure(source, before - len(left))
                if len(left):
                    async with self._held(source):
                        await self._news.wait()
        if source is Input.LESSONS:
            self._news.set()
        return True

    async def _follow(self, source: Input, begin: int | None) -> None:
        """See to it that what begins at an offset follows what was absorbed."""
        async with self._usable():
            if self._let_go or not self.task.passed_over(source, begin):
                return
            wanted = self.task.offsets[source] + 1
        raise PassedOver(wanted)

    def let_go(self) -> None:
        """End the wait of scans for others: the partition is revoked, or the worker stops."""
        self._let_go = True
        self._news.set()

    def go_on(self) -> None:
        """The partition was revoked and has come back without having been elsewhere."""
        self._let_go = False

    async def tick(self, source: Input, tick: Tick) -> None:
        """Bring time to a quiet input and the news of flow to the other partitions.

        Raises `PassedOver` as `chunk` does: what never came may be all that was left.
        """
        await self._follow(source, tick.begin)
        async with self._usable():
            now = self._clock.now(tick, at=monotonic(), wall=time())
            if now is not None and now > self.task.clock(source):
                self._do(partial(Task.advance, source=source, now=now), source)
            group = self._group
        await self._settled(group, source)
        self._measure(source, 0)

    async def advance(self, source: Input, now: float) -> None:
        """Let the clock of an input come to a time as far as it may, and commit that."""
        async with self._usable():
            before = self.task.clock(source)
            if before < now:
                self._do(partial(Task.advance, source=source, now=now), source)
            self._group.moved |= self.task.clock(source) != before
            await self._commit()

    async def settle(self) -> None:
        """Commit what was absorbed, unless the partition has failed."""
        async with self.lock:
            if self._failed is None:
                await self._commit()

    def close(self) -> None:
        """Let go of the partition."""
        self.let_go()
        self.log.close()

    @asynccontextmanager
    async def _held(self, source: Input) -> AsyncIterator[None]:
        """Tell of it while scans wait."""
        self._progress.hold(source, self.partition)
        metrics.HELD.labels(str(self.partition)).set(1)
        try:
            yield
        finally:
            self._progress.free(source, self.partition, monotonic())
            metrics.HELD.labels(str(self.partition)).set(0)

    def _usable(self) -> "_Exclusive":
        return _Exclusive(self)

    def _hear(self, records: Iterable[RawRecord]) -> None:
        at = monotonic()
        for record in records:
            try:
                clock = _read_notice(record.value or b"").clock
            except msgspec.DecodeError as error:
                _log.warning("a notice cannot be read", offset=record.offset, error=str(error))
                continue
            self._clock.hear(clock, at)
            self._gossip.hear(clock)

    async def _absorb(self, source: Input, records: RecordColumns) -> RecordColumns:
        """Absorb what may be and return what is left."""
        try:
            with metrics.CHUNK_SECONDS.labels(source).time():
                self._do(partial(Task.absorb, source=source, records=records), source)
        except Exception as error:  # noqa: BLE001  # whatever a record does to a core is isolated
            await self._isolate(source, records, error)
        return self.task.left(source, records)

    def _do(self, act: Callable[[Task], Outcome], source: Input) -> None:
        """Do something to the task, as a part of the group."""
        before = self.task.offsets[source]
        self._group.outcome.add(act(self.task))
        self._group.acts.append(act)
        self._group.moved |= self.task.offsets[source] != before

    async def _isolate(self, source: Input, records: RecordColumns, error: Exception) -> None:
        """Find the records that break a core by halving, and set them aside as dead letters.

        Ends early where scans have to wait.

        Where a chunk is cut does not show in state or decisions, so halves are as good as the
        whole. Each attempt starts from the committed state.
        """
        _log.error("a core failed", partition=self.partition, input=str(source), exc_info=error)
        await self._reload()
        await self._again()
        failures = 0
        halves = [records]
        while halves:
            half = halves.pop()
            try:
                self._do(partial(Task.absorb, source=source, records=half), source)
            except Exception as failure:
                await self._reload()
                if len(half) > 1:
                    middle = len(half) // 2
                    halves += [half[middle:], half[:middle]]
                    continue
                failures += 1
                if failures > MAX_CORE_FAILURES:
                    raise CoreBroken(
                        f"partition {self.partition}: over {MAX_CORE_FAILURES} records of one "
                        f"chunk of {source} break the core, the last at offset "
                        f"{half[0].offset}: {failure!r}"
                    ) from failure
                self._set_aside(source, half[0], failure)
            await self._commit()
            if len(self.task.left(source, half)):
                return  # the rest has to wait for lessons, and is looked at again then

    async def _again(self) -> None:
        """Do to the committed state what others had done when a chunk broke the task."""
        for act in self._group.acts:
            act(self.task)
        await self._commit()

    def _set_aside(self, source: Input, record: RawRecord, failure: Exception) -> None:
        self.task.offsets[source] = record.offset
        _log.error("a record breaks the core", input=str(source), offset=record.offset)
        dead = [(source, DeadLetter(record, CORE_FAILED, repr(failure)))]
        self._group.outcome.add(Outcome(dead=dead))

    async def _reload(self) -> None:
        self.task = Task(self.partition, self._partitions, self._config, history=self._history)
        await asyncio.to_thread(self.log.reload, self.task)

    async def _settled(self, group: Group, source: Input) -> None:
        """Wait until a group is committed: by another that has joined it, else here."""
        if source is Input.COUNTS:
            with suppress(TimeoutError):
                await asyncio.wait_for(group.done.wait(), FOLLOW_SECONDS)
        if group.done.is_set():
            return
        async with self._usable():
            if not group.done.is_set():
                await self._commit()

    async def _commit(self) -> None:
        """Commit the group; the next one begins."""
        group, self._group = self._group, Group()
        notice = self._gossip.due(self.task.latest, monotonic())
        if group.moved or group.outcome or notice:
            with metrics.TRANSACTION_SECONDS.time():
                await asyncio.to_thread(
                    self.log.commit, self.task, group.outcome, self._topics, notice
                )
            count(group.outcome)
        group.done.set()

    def _measure(self, source: Input, records: int) -> None:
        label = str(self.partition)
        if records:
            metrics.EVENTS.labels(source).inc(records)
            metrics.STATE_ROWS.labels(label).set(self.task.rows())
            self._capacity.note(source, self.task.rows_of(source))
            metrics.STATE_PAGE_COUNT.labels(label).set(self.log.ring.pages)
        if source in CLOCKED:
            metrics.CLOCK_TIMESTAMP_SECONDS.labels(label, source).set(self.task.clock(source))


class _Exclusive:
    """One chunk at a time, and none after a failure."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    async def __aenter__(self) -> None:
        await self._owned.lock.acquire()
        failed = self._owned._failed  # noqa: SLF001
        if failed is not None:
            self._owned.lock.release()
            raise WorkerFailure(f"partition {self._owned.partition} has failed: {failed}")

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._owned._failed = error  # noqa: SLF001
            self._owned._news.set()  # noqa: SLF001
        self._owned.lock.release()


def parts(records: RecordColumns) -> Iterator[RecordColumns]:
    """Cut a chunk where it would be more than `MAX_CHUNK_BYTES`."""
    if sum(map(len, filter(None, records.values))) <= MAX_CHUNK_BYTES:
        yield records
        return
    begin = size = 0
    for place, value in enumerate(records.values):
        length = len(value or b"")
        if size + length > MAX_CHUNK_BYTES and place > begin:
            yield records[begin:place]
            begin, size = place, 0
        size += length
    yield records[begin:]


def count(outcome: Outcome) -> None:
    """Count what was committed."""
    for decision in outcome.decisions:
        metrics.DECISIONS.labels(decision.__struct_config__.tag).inc()
    for source, letter in outcome.dead:
        metrics.DEAD_LETTERS.labels(source, letter.reason).inc()

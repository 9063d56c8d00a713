"""A Faust transport that hands over what was fetched in chunks, and time when nothing was.

One message a fetched partition instead of one a record; its value is `RecordColumns` or a
`Tick`. What differs from the aiokafka driver it subclasses:

- Positions are set by the owner of the state (`place`), never by the group's offsets; a partition
  is read only after that. Records deleted before they were read raise `SourceGap`.
- Offsets are committed for lag tools only, at what the state holds (`reached`).
- A partition is fetched only while fewer than `IN_FLIGHT` of its chunks wait to be processed, so a
  backlog stays on the broker and not in memory.
- Quiet partitions of the topics in `App.ticked` get a `Tick`, in order with their chunks.
- Read committed, and partition p of every topic to the same worker (range assignor; without
  tables Faust would take round-robin, which does not keep them together).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, Final

import faust
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from pipeline.clock import Tick
from pipeline.consumer_thread import ConsumerThread, Offsets
from pipeline.record_columns import RecordColumns
from pipeline.stops import SourceGap

SCHEME: Final = "forewarn"
IN_FLIGHT: Final = 2
"""Chunks of a partition that may wait: one is processed, one is ready."""
_FETCH_SECONDS: Final = 0.5
_HELD_SECONDS: Final = 0.02
"""Shorter fetches while full partitions wait for room, or they would starve."""


class Consumer(driver.Consumer):
    """Delivers chunks and ticks of the partitions that were placed."""

    _thread: ConsumerThread
    app: "App"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[TP, list[ConsumerMessage]] = {}
        self._reached: dict[TP, int] = {}
        self._data_at: dict[TP, float] = {}
        self._tick_at: dict[TP, float] = {}
        self._room = asyncio.Event()
        self._yielded = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # ---- for the owner of the state

    async def place(self, offsets: Offsets) -> None:
        """Start reading partitions at these offsets."""
        for tp in await self._thread.place(offsets):
            self._waiting[tp] = []
            self._read_offset[tp] = None
            self._data_at[tp] = self._tick_at[tp] = monotonic()
        self._room.set()

    def reached(self, tp: TP, offset: int) -> None:
        """Note the last offset that state holds; it is committed now and then."""
        self._reached[tp] = offset

    async def bounds(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """Return the first and the next offset of each log."""
        return await self._thread.bounds(tps)

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """Return the group's offsets."""
        return await self._thread.committed(tps)

    async def lags(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return how many records lie between what was delivered and the end of each log."""
        return await self._thread.lags(tps)

    def lag_records(self, tp: TP, offset: int) -> int:
        """Return how far the end of the log, as last fetched, is beyond an offset."""
        try:
            return max(0, (self.highwater(tp) or 0) - offset - 1)
        except IllegalStateError:  # revoked meanwhile
            return 0

    # ---- for Faust

    async def perform_seek(self) -> None:
        """Leave positions alone: the owner of the state sets them."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop delivering at once; offsets reached are still committed."""
        self._waiting.clear()
        self.app.revoking()
        await super().on_partitions_revoked(revoked)
        self._reached.clear()

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109  # Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield a chunk for each partition that had records, and ticks that are due."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
            return
        generation = self.app.consumer_generation_id
        wanted = {tp for tp in self._waiting if self._has_room(tp)}
        if not wanted:
            await self._wait_for_room(timeout)
            return
        held = len(wanted) < len(self._waiting)
        for tp, records in (await self._fetch(wanted, held=held)).items():
            if self._stale(tp, generation):
                return
            self._data_at[tp] = monotonic()
            yield tp, self._message(tp, records, generation)
        for tp, tick in (await self._due_ticks()).items():
            if self._stale(tp, generation):
                return
            yield tp, self._message(tp, tick, generation)

    def ack(self, message: Any) -> bool:
        """Make room; offsets follow `reached`, not acknowledgements."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        waiting = self._waiting_for_ack
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        self._room.set()
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ARG002
        return iter(list(self._reached))

    def _new_offset(self, tp: TP) -> int | None:
        offset = self._reached.get(tp)
        return None if offset is None else offset + 1

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave watching to `pipeline.health`, which knows what progress is."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no book of gaps: markers of transactions leave them everywhere."""

    # ---- inside

    def _stale(self, tp: TP, generation: int) -> bool:
        current = self.app.consumer_generation_id == generation
        return not (self.flow_active and current and tp in self._waiting)

    def _has_room(self, tp: TP) -> bool:
        waiting = self._waiting[tp] = [m for m in self._waiting[tp] if not m.acked]
        return len(waiting) < IN_FLIGHT

    async def _wait_for_room(self, seconds: float) -> None:
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), seconds)
        except TimeoutError:
            return

    async def _fetch(self, wanted: set[TP], *, held: bool) -> Mapping[TP, RecordColumns]:
        generation = self.app.consumer_generation_id
        try:
            fetched: Any = await self._getmany(wanted, _HELD_SECONDS if held else _FETCH_SECONDS)
        except NoOffsetForPartitionError:  # assigned anew while we waited, not placed yet
            return {}
        except OffsetOutOfRangeError as error:
            if any(self._stale(ensure_TP(tp), generation) for tp in error.args[0]):
                return {}
            raise SourceGap(
                f"records were deleted before they were read: {error}; lengthen the topic's "
                "retention, and start with on_gap: skip to go on without them"
            ) from error
        return dict(fetched)  # columns: Faust knows of records only

    async def _due_ticks(self) -> dict[TP, Tick]:
        at = monotonic()
        due = [tp for tp in self._waiting if self._is_due(tp, at)]
        if not due:
            return {}
        for tp in due:
            self._tick_at[tp] = at
        try:
            lags = await asyncio.wait_for(self._thread.lags(due), timeout=5)
        except (KafkaError, IllegalStateError, TimeoutError):
            lags = {}
        at = monotonic()
        return {
            tp: Tick(lags.get(tp), at - self._data_at[tp], self._thread.given(tp)) for tp in due
        }

    def _is_due(self, tp: TP, at: float) -> bool:
        if tp.topic not in self.app.ticked or any(not m.acked for m in self._waiting[tp]):
            return False
        return at - max(self._data_at[tp], self._tick_at[tp]) >= self.app.tick_seconds

    def _message(self, tp: TP, value: RecordColumns | Tick, generation: int) -> ConsumerMessage:
        """Return a message; its number only rises, as Faust drops what stands before the last."""
        carried: Any = value  # Faust says bytes and hands it to the schema as it is
        self._yielded += 1
        message = ConsumerMessage(
            tp.topic, tp.partition, self._yielded, 0.0, 0, None, None, carried, None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip
        self._waiting[tp].append(message)
        return message


class Transport(driver.Transport):
    """Kafka through aiokafka, in chunks."""

    Consumer = Consumer


class ChunkSchema(faust.Schema[None, Any]):
    """Hands a chunk through as it is."""

    def loads_key(self, *_: Any, **__: Any) -> None:
        """Return no key: a chunk has many."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002
        """Return the records or the tick."""
        return message.value


class App(faust.App):
    """A Faust app all of whose topics come in chunks."""

    ticked: frozenset[str] = frozenset()
    """Topics whose quiet partitions get ticks."""
    tick_seconds: float = 1.0
    revoking: Callable[[], None] = staticmethod(lambda: None)
    """Called before chunks in work are waited for, when partitions are revoked."""

    def _create_directories(self) -> None:
        """Create none: there are no tables."""


def register() -> None:
    """Make `forewarn://host:port` a broker URL that Faust knows."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:{Transport.__name__}"

"""aiokafka's consumer, in the thread whose loop it lives in.

Faust runs it in a thread of its own, so that heartbeats go on while chunks are judged. What the
owner of the state asks the broker goes through here: `place`, `bounds`, `committed`, `lags`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from pipeline.column_fetcher import fetch_columns, given_before

Offsets = Mapping[TP, int]
FETCH_WAIT_MS: Final = 50
"""How long a broker holds a request that finds nothing. aiokafka has one request a broker on its
way: one that was sent while busy partitions had records left asks for quiet ones only, and for so
long the busy ones cannot be fetched."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Everything that touches aiokafka's consumer, in the thread whose loop it lives in."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=_ms(conf.broker_max_poll_interval),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=_ms(conf.broker_request_timeout),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=_ms(conf.broker_session_timeout),
            rebalance_timeout_ms=_ms(conf.broker_rebalance_timeout),
            heartbeat_interval_ms=_ms(conf.broker_heartbeat_interval),
            isolation_level="read_committed",
        )

    async def on_start(self) -> None:
        """Start the consumer; what it fetches are columns."""
        await super().on_start()
        fetch_columns(self._ensure_consumer())

    async def place(self, offsets: Offsets) -> list[TP]:
        """Set what is read next; return the partitions that are still assigned."""
        return list(await self.call_thread(self._place, offsets))

    async def bounds(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """Ask the broker for the first and the next offset of each log."""
        return dict(await self.call_thread(self._bounds, list(tps)))

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """Ask the broker for the group's offsets."""
        return dict(await self.call_thread(self._committed, list(tps)))

    async def lags(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Ask the broker how many records lie between what was delivered and the end."""
        return dict(await self.call_thread(self._lags, list(tps)))

    def given(self, tp: TP) -> int | None:
        """Return the offset before which every record was delivered; None when unknown."""
        return given_before(self._ensure_consumer(), _aiokafka(tp))

    async def _place(self, offsets: Offsets) -> list[TP]:
        consumer = self._ensure_consumer()
        placed = []
        for tp, offset in offsets.items():
            try:
                consumer.seek(_aiokafka(tp), offset)
            except IllegalStateError:  # revoked meanwhile
                continue
            placed.append(tp)
        return placed

    async def _bounds(self, tps: list[TP]) -> dict[TP, tuple[int, int]]:
        consumer = self._ensure_consumer()
        wanted = [_aiokafka(tp) for tp in tps]
        starts = await consumer.beginning_offsets(wanted)
        ends = await consumer.end_offsets(wanted)
        return {tp: (starts[_aiokafka(tp)], ends[_aiokafka(tp)]) for tp in tps}

    async def _committed(self, tps: list[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        return {tp: await consumer.committed(_aiokafka(tp)) for tp in tps}

    async def _lags(self, tps: list[TP]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        states = {tp: self._state(tp) for tp in tps}
        delivered = {tp: state.position for tp, state in states.items() if state is not None}
        ends = await consumer.end_offsets([_aiokafka(tp) for tp in delivered])
        lags = {}
        for tp, position in delivered.items():
            # The stable end hides open transactions; the last fetch has seen the real one.
            end = max(ends[_aiokafka(tp)], states[tp].highwater or 0)
            lags[tp] = max(0, end - position)
        return lags

    def _state(self, tp: TP) -> Any:
        """Return aiokafka's state of a partition that has a position, else None."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        if subscription is None or _aiokafka(tp) not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(_aiokafka(tp))
        return state if state is not None and state.has_valid_position else None


def _aiokafka(tp: TP) -> aiokafka.TopicPartition:
    return aiokafka.TopicPartition(tp.topic, tp.partition)


def _ms(seconds: float | None) -> int:
    return int((seconds or 0) * 1000)

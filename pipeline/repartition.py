"""Another number of partitions for a running system: state and money move, keys with them.

    prepare   the new topics are made and sealed; then workers and deliver stop, producers switch
    move      1  fence every task and lane of the old prefix, seal it
              2  absorb what is left in the old inputs, bring all clocks together
              3  deal the state out anew and write the new rings
              4  copy what deliver has not judged, not issued, and all it has promised
              5  open the new seals, all in one transaction: from here on the new prefix works

Until step 5 the old prefix is whole: `cancel` takes its seal away. Every step can be begun again
after a kill at any moment (docs/decisions/0010-repartition.md).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from configs.load import Config
from detectors.dealing import Homes
from detectors.moving import moved_complaints, moved_flow, moved_parcels, rows_in, strays
from pipeline import topics
from pipeline.copying import Copying, place_decisions, place_entries, place_wishes
from pipeline.draining import Draining, Told
from pipeline.failures import Failure
from pipeline.ledger import SealEntry, encode_entry
from pipeline.ledger_log import deliver_group
from pipeline.partition import partitions_of
from pipeline.recovery import Recovery
from pipeline.seals import SEAL_KEY, Seal, SealReason, take_seal
from pipeline.settings import Clock, Kafka, Settings
from pipeline.state_reader import read_latest
from pipeline.statelog import StateLog
from pipeline.stops import BrokerUnavailable, WrongTopics
from pipeline.task import Outcome, Task, sources_of
from pipeline.transactions import Outgoing, Transactions

PAGE_BYTES: Final = 1024 * 1024
FIRST_PAGES: Final = 8

Progress = Callable[[str], Told]
"""Given the name of a step, returns who is told how far it is."""


@dataclass
class Moved:
    """What a move did, or would do."""

    records_absorbed: int = 0
    parcels: list[int] = field(default_factory=list)
    """By new partition."""
    customers: list[int] = field(default_factory=list)
    state_bytes: list[int] = field(default_factory=list)
    decisions: int = 0
    """That deliver had not judged."""
    requests: int = 0
    """That deliver had not taken."""
    entries: int = 0
    """Of the ledger."""


class Repartition:
    """Moves everything from one prefix to another.

    Parameters
    ----------
    settings
        Those of the running system.
    new
        The new topics' prefix, group and partitions; the same brokers.
    config
        What the cores are built from.
    progress
        Told how far each step is.
    """

    def __init__(self, settings: Settings, new: Kafka, config: Config, progress: Progress) -> None:
        if new.prefix == settings.kafka.prefix or new.group == settings.kafka.group:
            raise Failure("the new topics need another --prefix and another --group")
        self._settings, self._old, self._new = settings, settings.kafka, new
        self._config, self._progress = config, progress

    def prepare(self) -> None:
        """Make the new topics and seal them; what is sealed already stays."""
        topics.create(self._new)
        problems = topics.check(self._new) + topics.check(self._old)
        if problems:
            raise WrongTopics("; ".join(map(str, problems)))
        seal = self._seal_of(self._new)
        if seal == self._awaits:
            return
        if seal is not None:
            raise Failure(f"{self._new.prefix}.* is sealed: {seal.text}")
        if self._seal_of(self._old) == self._gone:
            raise Failure(f"{self._old.prefix}.* has moved to {self._new.prefix}.* already")
        used = [n for n in ("state", "ledger", "decisions") if any(topics.ends(self._new, n))]
        if used:
            raise Failure(f"{self._new.topic(used[0])} is in use: choose a new --prefix")
        with self._writer() as writer:
            writer.write(_seals(self._new, self._awaits))

    def done(self) -> bool:
        """Tell whether the move has been made before."""
        return self._seal_of(self._old) == self._gone and self._seal_of(self._new) is None

    def move(self) -> Moved:
        """Move everything; raises `Failure` and says what is still open."""
        self.prepare()
        self._refuse_running()
        moved = Moved()
        with self._writer() as writer:
            draining = Draining(self._settings, self._config)
            try:
                self._take(draining, writer)
                moved.records_absorbed = asyncio.run(draining.drain(self._progress("absorb")))
                self._write_state(draining.dump(), moved)
                self._copy(writer, moved)
                self._refuse_late(draining)
                writer.write(_seals(self._new, None))
                self._tell_late(draining)
            finally:
                draining.close()
        return moved

    def plan(self) -> Moved:
        """Return what would move, and change nothing; what is not absorbed yet is left out."""
        blobs = []
        told = self._progress("read")
        for partition in range(self._old.partitions):
            task = self._task(self._old, partition)
            log = StateLog(self._old, partition, sealed=True)
            log.reload(task)
            blobs.append(task.dump(0, 1))
            told(partition + 1, self._old.partitions)
        self._refuse_strays(blobs)
        moved = Moved()
        for _ in self._dealt(blobs, moved):
            pass
        return moved

    def cancel(self) -> None:
        """Take the old prefix's seal away; raises `Failure` when the move has been made."""
        if self.done():
            raise Failure(f"the move to {self._new.prefix}.* has been made: nothing to cancel")
        if self._seal_of(self._old) != self._gone:
            raise Failure(f"{self._old.prefix}.* is not sealed: nothing to cancel")
        with self._writer() as writer:
            writer.write(_seals(self._old, None))

    # ---- seals

    @property
    def _awaits(self) -> Seal:
        return Seal(SealReason.AWAITS, self._old.prefix)

    @property
    def _gone(self) -> Seal:
        return Seal(SealReason.MOVED, self._new.prefix)

    def _seal_of(self, kafka: Kafka) -> Seal | None:
        """Return the seal; those of all partitions are set and taken away together."""
        try:
            return take_seal(read_latest(kafka, 0, Recovery(0)))
        except KafkaException as error:
            raise BrokerUnavailable(f"{kafka.topic('state')}: {error.args[0].str()}") from error

    # ---- steps

    def _refuse_running(self) -> None:
        """Refuse while the groups have members: to fence them would only start a race."""
        groups = {self._old.group: "worker", deliver_group(self._old): "deliver"}
        admin = AdminClient({"bootstrap.servers": self._old.brokers, "log_level": 0})
        futures = admin.describe_consumer_groups(list(groups))
        for group, future in futures.items():
            members = len(future.result().members)
            if members:
                raise Failure(
                    f"{members} {groups[group]} processes are in the group {group}: stop them, "
                    "then run this again. One that was killed leaves the group after "
                    f"{self._old.session_timeout_seconds:.0f} s"
                )

    def _take(self, draining: Draining, writer: Transactions) -> None:
        """Fence tasks and lanes and seal what was theirs."""
        seal = self._seal_of(self._old)
        if seal is not None and seal != self._gone:
            raise Failure(f"{self._old.prefix}.* is sealed: {seal.text}")
        draining.open(self._progress("read"))
        name = deliver_group(self._old)
        with self._reader() as reader:
            for partition in range(self._old.partitions):
                for purpose in ("judging", "ledger"):
                    lane = Transactions(self._old, f"{name}-{purpose}-{partition}", reader)
                    lane.open()
                    lane.close()
        if seal is None:
            writer.write(_seals(self._old, self._gone))

    def _write_state(self, blobs: Sequence[Sequence[bytes]], moved: Moved) -> None:
        self._refuse_strays(blobs)
        told = self._progress("write state")
        for partition, state in enumerate(self._dealt(blobs, moved)):
            task = self._task(self._new, partition)
            task.load(0, 1, state)
            log = StateLog(self._new, partition, sealed=True)
            log.renew(_pages(sum(map(len, state))))
            while not log.ring.complete:
                log.commit(task, Outcome(), {})
            log.close()
            told(partition + 1, self._new.partitions)

    def _dealt(
        self, blobs: Sequence[Sequence[bytes]], moved: Moved
    ) -> Iterator[tuple[bytes, bytes, bytes]]:
        parcels, complaints, flow = zip(*blobs, strict=True)
        count = self._new.partitions
        homes = _homes(count)
        models = self._config.parcels
        dealt = (
            moved_parcels(
                parcels,
                homes,
                count,
                half_life_days=models.half_life_days,
                max_segments=models.max_segments,
            ),
            moved_complaints(complaints, homes, count),
            moved_flow(flow, homes, sources_of(count), count),
        )
        for state in zip(*dealt, strict=True):
            parcels_here, customers_here = rows_in(state[0], state[1])
            moved.parcels.append(parcels_here)
            moved.customers.append(customers_here)
            moved.state_bytes.append(sum(map(len, state)))
            yield state

    def _refuse_strays(self, blobs: Sequence[Sequence[bytes]]) -> None:
        """Refuse when keys lie elsewhere than producers with Java's partitioner put them."""
        found = strays([b[0] for b in blobs], [b[1] for b in blobs], _homes(self._old.partitions))
        if found:
            raise Failure(
                f"{found:,} parcels or customers lie in other partitions than their keys' "
                "(murmur2 of carrier/parcel_id, of customer_id): some producer uses another key or "
                "partitioner, and would not find its parcels' state in the new topics. "
                "docs/connect.md says what records must be like"
            )

    def _copy(self, writer: Transactions, moved: Moved) -> None:
        count = self._new.partitions
        for topic, place, what in (
            ("ledger", place_entries(count), "entries"),
            ("remedies", place_wishes(count), "requests"),
            ("decisions", place_decisions(count), "decisions"),
        ):
            starts = [0] * self._old.partitions if topic == "ledger" else self._reached(topic)
            copying = Copying(self._old, self._new, topic, place, writer)
            setattr(moved, what, copying.copy(starts, self._progress(f"copy {topic}")))

    def _reached(self, topic: str) -> list[int]:
        """Return where deliver would go on in each partition."""
        name = self._old.topic(topic)
        places = [TopicPartition(name, number) for number in range(self._old.partitions)]
        with self._reader() as reader:
            found = reader.committed(places, self._old.request_timeout_seconds)
        return [max(place.offset, 0) for place in found]

    def _refuse_late(self, draining: Draining) -> None:
        late = draining.late()
        if late:
            raise Failure(
                f"records still come to {_listed(late)}: switch every producer to "
                f"{self._new.prefix}.*, then run this again"
            )

    def _tell_late(self, draining: Draining) -> None:
        late = draining.late()
        if late:
            raise Failure(
                f"the move is made, but records came to {_listed(late)} at its very end and are "
                "judged by nobody: their producer must write them again, to the new topics"
            )

    # ---- parts

    def _task(self, kafka: Kafka, partition: int) -> Task:
        history = self._settings.clock is Clock.DATA
        return Task(partition, kafka.partitions, self._config, history=history)

    @contextmanager
    def _reader(self) -> Iterator[Consumer]:
        reader = Consumer(
            {
                "bootstrap.servers": self._old.brokers,
                "group.id": deliver_group(self._old),
                "enable.auto.commit": False,
            }
        )
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def _writer(self) -> Iterator[Transactions]:
        """One for each new group: a second command fences the first."""
        with self._reader() as reader:
            writer = Transactions(self._new, f"{self._new.group}-repartition", reader)
            writer.open()
            try:
                yield writer
            finally:
                writer.close()


def _homes(partitions: int) -> Homes:
    return partial(partitions_of, partitions=partitions)


def _pages(size_bytes: int) -> int:
    return max(FIRST_PAGES, 1 << (size_bytes // PAGE_BYTES).bit_length())


def _seals(kafka: Kafka, seal: Seal | None) -> list[Outgoing]:
    """Return the records that seal all of a prefix, or open it: one transaction."""
    value = None if seal is None else msgspec.json.encode(seal)
    entry = encode_entry(SealEntry(seal=seal))
    every = range(kafka.partitions)
    state, ledger = kafka.topic("state"), kafka.topic("ledger")
    records = [Outgoing(state, partition, SEAL_KEY, value) for partition in every]
    return records + [Outgoing(ledger, partition, SEAL_KEY, entry) for partition in every]


def _listed(late: dict[str, int]) -> str:
    return ", ".join(f"{topic} ({count:,})" for topic, count in late.items())

"""Another number of partitions for a running system: state and money move, keys with them.

    prepare   the new topics are made and sealed; then workers and deliver stop, producers switch
    move      1  seal the old topics, then fence every task and lane
              2  absorb what is left in the old inputs, bring all clocks together
              3  deal the state out anew and write the new rings
              4  copy what deliver has not judged, not issued, and all it has promised
              5  open the new seals, all in one transaction: from here on the new prefix works

Until step 5 the old prefix is whole: `cancel` takes its seal away. Every step can be begun again
after a kill at any moment (docs/decisions/0010-repartition.md).
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from configs.load import Config
from pipeline import topics
from pipeline.copying import Copying, place_decisions, place_entries, place_wishes
from pipeline.draining import Draining, Told
from pipeline.failures import Failure
from pipeline.ledger_log import deliver_group
from pipeline.log_reader import log_bounds
from pipeline.new_state import places, refuse_strays, write_state
from pipeline.ownership import CLOCKED
from pipeline.sealing import seal_of, seal_records
from pipeline.seals import Seal, SealReason
from pipeline.settings import Kafka, Settings
from pipeline.statelog import StateLog
from pipeline.stops import WrongTopics
from pipeline.task import Task
from pipeline.transactions import Transactions

Progress = Callable[[str], Told]
"""Given the name of a step, returns who is told how far it is."""


@dataclass
class Plan:
    """What would move."""

    parcels: list[int]
    """By new partition."""
    customers: list[int]
    state_bytes: list[int]
    """By old partition, not compressed."""
    records_waiting: int
    """In the old inputs, to be absorbed first; markers of transactions count as records."""


@dataclass
class Moved:
    """What a move did."""

    records_absorbed: int
    parcels: list[int]
    """By new partition."""
    customers: list[int]
    state_bytes: list[int]
    """By new partition, not compressed."""
    entries: int
    """Of the ledger."""
    requests: int
    """That deliver had not taken."""
    decisions: int
    """That deliver had not judged."""


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
        seal = seal_of(self._new)
        if seal == self._awaits:
            return
        if seal is not None:
            raise Failure(f"{self._new.prefix}.* is sealed: {seal.text}")
        if seal_of(self._old) == self._gone:
            raise Failure(f"{self._old.prefix}.* has moved to {self._new.prefix}.* already")
        used = [n for n in ("state", "ledger", "decisions") if any(topics.ends(self._new, n))]
        if used:
            raise Failure(f"{self._new.topic(used[0])} is in use: choose a new --prefix")
        with self._writer() as writer:
            writer.write(seal_records(self._new, self._awaits))

    def done(self) -> bool:
        """Tell whether the move has been made before."""
        return seal_of(self._old) == self._gone and seal_of(self._new) is None

    def move(self) -> Moved:
        """Move everything; raises `Failure` and says what is still open."""
        self.prepare()
        self._refuse_running()
        with self._writer() as writer:
            draining = Draining(self._settings, self._config)
            try:
                self._take(draining, writer)
                absorbed = asyncio.run(draining.drain(self._progress("absorb")))
                blobs = draining.dump()
                refuse_strays(blobs)
                sizes = write_state(blobs, self._new, self._config, self._progress("write state"))
                copied = self._copy(writer)
                self._refuse_late(draining)
                writer.write(seal_records(self._new, None))
                self._tell_late(draining)
            finally:
                draining.close()
        return Moved(absorbed, *places(blobs, self._new.partitions), sizes, *copied)

    def plan(self) -> Plan:
        """Return what would move by what workers have committed, and change nothing."""
        blobs = []
        told = self._progress("read")
        waiting = 0
        for partition in range(self._old.partitions):
            task = Task(partition, self._old.partitions, self._config)
            StateLog(self._old, partition, sealed=True).reload(task)
            blobs.append(task.dump(0, 1))
            waiting += sum(
                log_bounds(self._old, source, partition)[1] - task.offsets[source] - 1
                for source in CLOCKED
            )
            told(partition + 1, self._old.partitions)
        refuse_strays(blobs)
        parcels, customers = places(blobs, self._new.partitions)
        return Plan(parcels, customers, [sum(map(len, state)) for state in blobs], waiting)

    def cancel(self) -> None:
        """Take the old prefix's seal away; raises `Failure` when the move has been made."""
        if self.done():
            raise Failure(f"the move to {self._new.prefix}.* has been made: nothing to cancel")
        if seal_of(self._old) != self._gone:
            raise Failure(f"{self._old.prefix}.* is not sealed: nothing to cancel")
        with self._writer() as writer:
            writer.write(seal_records(self._old, None))

    # ---- seals

    @property
    def _awaits(self) -> Seal:
        return Seal(SealReason.AWAITS, self._old.prefix)

    @property
    def _gone(self) -> Seal:
        return Seal(SealReason.MOVED, self._new.prefix)

    # ---- steps

    def _refuse_running(self) -> None:
        """Refuse while the groups have members: to fence them would only start a race."""
        groups = {self._old.group: "worker", deliver_group(self._old): "deliver"}
        admin = AdminClient({"bootstrap.servers": self._old.brokers, "log_level": 0})
        futures = admin.describe_consumer_groups(list(groups))
        for group, future in futures.items():
            members = _members(future)
            if members:
                raise Failure(
                    f"{members} {groups[group]} processes are in the group {group}: stop them, "
                    "then run this again. One that was killed leaves the group after "
                    f"{self._old.session_timeout_seconds:.0f} s"
                )

    def _take(self, draining: Draining, writer: Transactions) -> None:
        """Seal the old topics, then fence who has them.

        In this order: who opened them before the seal is fenced, who comes later reads it.
        """
        seal = seal_of(self._old)
        if seal is None:
            writer.write(seal_records(self._old, self._gone))
        elif seal != self._gone:
            raise Failure(f"{self._old.prefix}.* is sealed: {seal.text}")
        draining.open(self._progress("read"))
        name = deliver_group(self._old)
        with self._reader() as reader:
            for partition in range(self._old.partitions):
                for purpose in ("judging", "ledger"):
                    lane = Transactions(self._old, f"{name}-{purpose}-{partition}", reader)
                    lane.open()
                    lane.close()

    def _copy(self, writer: Transactions) -> list[int]:
        """Copy the ledger and what deliver had not come to; return how many records of each."""
        count = self._new.partitions
        every = [0] * self._old.partitions
        plan = (
            ("ledger", place_entries(count), every),
            ("remedies", place_wishes(count), self._reached("remedies")),
            ("decisions", place_decisions(count), self._reached("decisions")),
        )
        return [
            Copying(self._old, self._new, topic, place, writer).copy(
                starts, self._progress(f"copy {topic}")
            )
            for topic, place, starts in plan
        ]

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


def _members(described: Future[Any]) -> int:
    """Return how many members a group has; one that never was has none."""
    try:
        return len(described.result().members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def _listed(late: dict[str, int]) -> str:
    return ", ".join(f"{topic} ({count:,})" for topic, count in late.items())

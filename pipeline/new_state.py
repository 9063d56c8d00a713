"""The state of a new prefix, made from that of the old one and written to its rings."""

from collections.abc import Iterator, Sequence
from typing import Final

from configs.load import Config
from detectors.dealing import Homes
from detectors.moving import (
    moved_complaints,
    moved_flow,
    moved_parcels,
    moved_teachers,
    placed,
    strays,
)
from pipeline.draining import Told
from pipeline.failures import Failure
from pipeline.partition import partitions_of
from pipeline.settings import Kafka
from pipeline.statelog import StateLog
from pipeline.task import Outcome, Task, sources_of

PAGE_BYTES: Final = 1024 * 1024
FIRST_PAGES: Final = 8

States = Sequence[Sequence[bytes]]
"""By partition, core by core, as `Task.dump(0, 1)` returns it."""


def dealt(old: States, count: int, config: Config) -> Iterator[tuple[bytes, ...]]:
    """Yield the state of each of `count` partitions; raises `StateError`.

    All clocks of an input must have met, and flow must have heard all counts.
    """
    parcels, complaints, flow, teachers = zip(*old, strict=True)
    homes = _homes(count)
    length = config.parcels.epoch_seconds
    yield from zip(
        moved_parcels(parcels, homes, count, epoch_seconds=length),
        moved_complaints(complaints, homes, count),
        moved_flow(flow, homes, sources_of(count), count),
        moved_teachers(teachers, parcels[0], count, epoch_seconds=length),
        strict=True,
    )


def write_state(old: States, new: Kafka, config: Config, told: Told) -> list[int]:
    """Write the ring of each new partition, whatever was there; return how large its state is.

    Only under a seal (`StateLog.renew`).
    """
    sizes = []
    for partition, state in enumerate(dealt(old, new.partitions, config)):
        sizes.append(sum(map(len, state)))
        task = Task(partition, new.partitions, config)
        task.load(0, 1, state)
        log = StateLog(new, partition, sealed=True)
        log.renew(_pages(sizes[-1]))
        while not log.ring.complete:
            log.commit(task, Outcome(), {})
        log.close()
        told(partition + 1, new.partitions)
    return sizes


def places(old: States, count: int) -> tuple[list[int], list[int]]:
    """Return how many parcels, and customers, each of `count` partitions holds."""
    pairs = [(parcels, complaints) for parcels, complaints, *_ in old]
    parcels, customers = placed(pairs, _homes(count), count).tolist()
    return parcels, customers


def refuse_strays(old: States) -> None:
    """Refuse when keys lie elsewhere than producers with Java's partitioner put them."""
    parcels, complaints, *_ = zip(*old, strict=True)
    found = strays(parcels, complaints, _homes(len(old)))
    if found:
        raise Failure(
            f"{found:,} parcels or customers lie in other partitions than their keys' "
            "(murmur2 of carrier/parcel_id, of customer_id): some producer uses another key or "
            "partitioner, and would not find its parcels' state in the new topics. "
            "docs/connect.md says what records must be like"
        )


def _homes(partitions: int) -> Homes:
    return lambda keys: partitions_of([key.encode() for key in keys], partitions)


def _pages(size_bytes: int) -> int:
    return max(FIRST_PAGES, 1 << (size_bytes // PAGE_BYTES).bit_length())

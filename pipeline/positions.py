"""Where a task starts to read, and which partitions belong together. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from faust.types import TP

from pipeline.settings import OnGap
from pipeline.stops import BrokenRing, SourceGap, WrongTopics
from pipeline.task import Input

RECENT_NOTICES: Final = 64
"""Offsets of the notices topic that a task reads again: the last of them says what time it is."""

Bounds = tuple[int, int]
"""First offset of a log, and the offset after its last."""


def together(assigned: Iterable[TP], names: Mapping[str, Input]) -> set[int]:
    """Return the partitions assigned; raise `WrongTopics` when an input of one is elsewhere."""
    inputs: dict[int, set[Input]] = {}
    for tp in assigned:
        inputs.setdefault(tp.partition, set()).add(names[tp.topic])
    torn = sorted(partition for partition, found in inputs.items() if found != set(Input))
    if torn:
        raise WrongTopics(
            f"partitions {torn} were assigned without all of their inputs: every worker of the "
            "group must have the same settings, and every topic the same number of partitions"
        )
    return set(inputs)


def where_to_start(
    stored: Mapping[Input, int],
    bounds: Mapping[Input, Bounds],
    committed: Mapping[Input, int | None],
    *,
    partition: int,
    chunks: int,
    on_gap: OnGap,
) -> dict[Input, int]:
    """Return the offset each input is read from next.

    Parameters
    ----------
    stored
        Last offset in the state of every input that state depends on, -1 for none.
    bounds
        Of every input's log.
    committed
        The group's offsets: only to notice that state is gone which once was.
    partition, chunks
        Which task, and how many chunks its state has seen; 0 for a new one.
    on_gap
        Whether missing records stop the worker.

    Raises `SourceGap` for records that were deleted unread or a topic made anew, and `BrokenRing`
    for a group that has read on while there is no state. Offsets may jump over the markers of
    transactions; that is no gap.
    """
    starts = {}
    for source, (begin, end) in bounds.items():
        if source not in stored:
            starts[source] = max(begin, end - RECENT_NOTICES)
        elif chunks == 0:
            starts[source] = begin
            _refuse_lost_state(source, committed.get(source), begin, partition, on_gap)
        else:
            starts[source] = _next(source, stored[source] + 1, (begin, end), partition, on_gap)
    return starts


def _next(source: Input, wanted: int, bounds: Bounds, partition: int, on_gap: OnGap) -> int:
    begin, end = bounds
    if begin <= wanted <= end:
        return wanted
    if on_gap is OnGap.SKIP:
        return begin
    if wanted < begin:
        what = f"records {wanted} to {begin - 1} were deleted before they were read"
    else:
        what = (
            f"the log ends at {end - 1} but the state holds {wanted - 1}: the topic was made anew"
        )
    raise SourceGap(
        f"{source}/{partition}: {what}. To go on without them start with on_gap: skip "
        "(FOREWARN_ON_GAP=skip)"
    )


def _refuse_lost_state(
    source: Input, committed: int | None, begin: int, partition: int, on_gap: OnGap
) -> None:
    if on_gap is OnGap.SKIP or committed is None or committed <= begin:
        return
    raise BrokenRing(
        f"partition {partition} has no state, but its group has read {source} up to "
        f"{committed - 1}: the state topic was emptied. To begin anew from the start of the log "
        "choose another kafka.group and kafka.prefix, or start with on_gap: skip"
    )

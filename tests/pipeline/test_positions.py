"""Where a task starts to read, and what it refuses to."""

import pytest
from faust.types import TP

from pipeline.positions import RECENT_NOTICES, together, where_to_start
from pipeline.settings import OnGap
from pipeline.stops import BrokenRing, SourceGap, WrongTopics
from pipeline.task import ABSORBED, Input

BOUNDS = dict.fromkeys(Input, (10, 200))
NOBODY: dict[Input, int | None] = dict.fromkeys(Input)
NAMES = {str(source): source for source in Input}


def _start(
    stored: int,
    *,
    chunks: int = 5,
    on_gap: OnGap = OnGap.STOP,
    committed: dict[Input, int | None] = NOBODY,
) -> dict[Input, int]:
    return where_to_start(
        dict.fromkeys(ABSORBED, stored), BOUNDS, committed, partition=1, chunks=chunks,
        on_gap=on_gap,
    )  # fmt: skip


@pytest.mark.parametrize("stored", [9, 100, 199])
def test_goes_on_one_beyond_the_state(stored: int) -> None:
    """What the state holds is not read again, and nothing after it is left out."""
    assert _start(stored)[Input.TRACKING] == stored + 1


def test_a_new_task_begins_at_the_start_of_the_log() -> None:
    """What retention took before Forewarn was installed is no gap."""
    assert _start(-1, chunks=0)[Input.TRACKING] == 10


@pytest.mark.parametrize(("stored", "why"), [(8, "were deleted"), (200, "made anew")])
def test_stops_at_a_gap(stored: int, why: str) -> None:
    """Records deleted unread and a topic made anew are told apart and stop the worker."""
    with pytest.raises(SourceGap, match=why):
        _start(stored)


@pytest.mark.parametrize("stored", [8, 200])
def test_skips_a_gap_when_told_to(stored: int) -> None:
    """The operator may go on with what is there."""
    assert _start(stored, on_gap=OnGap.SKIP)[Input.TRACKING] == 10


def test_notices_are_read_from_the_recent_past() -> None:
    """No offset is kept for them: the last few say what time it is."""
    assert _start(100)[Input.NOTICES] == 200 - RECENT_NOTICES


def test_a_lost_state_is_not_a_new_task() -> None:
    """A group that has read on while the state topic is empty has lost its state."""
    committed: dict[Input, int | None] = {**NOBODY, Input.TRACKING: 150}
    with pytest.raises(BrokenRing, match="no state"):
        _start(-1, chunks=0, committed=committed)
    assert _start(-1, chunks=0, committed=committed, on_gap=OnGap.SKIP)[Input.TRACKING] == 10


def test_partitions_come_with_all_of_their_inputs() -> None:
    """Partition p of every input is one task; one without the others is refused."""
    whole = [TP(name, partition) for name in NAMES for partition in (0, 2)]
    assert together(whole, NAMES) == {0, 2}
    with pytest.raises(WrongTopics, match=r"\[2\]"):
        together(whole[:-1], NAMES)

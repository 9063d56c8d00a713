"""What every core and every River estimator must keep, whatever it detects.

A core's test builds a `Case` (how to make the core, and a stream it has opinions about) and
calls `check_core(case)`; the single checks can be called on their own. An estimator's test calls
`river_checks(estimator)`. Nothing in here knows a particular detector.
"""

import csv
import random
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Never

import msgspec
import numpy as np
import pytest
from river import base

from detectors.base import Batch, Core, Counts, Lesson, Output, Rejected, StateError
from detectors.decisions import Decision

PAGES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """A core and a stream in the order of its log, long enough for decisions to be made."""

    make: Callable[[], Core[Any]]
    batch: Batch[Any]
    seed: int = 0
    duplicates_count: bool = False
    """True where a repeated event is counted again (scans that arrived), though never judged."""
    is_source: bool = True
    """False for a core that counts nothing (flow)."""


def part(batch: Batch[Any], start: int, stop: int) -> Batch[Any]:
    """Return events start..stop of a batch."""
    return Batch(events=batch.events[start:stop], arrivals=batch.arrivals[start:stop])


def cuts_of(count: int, seed: int, pieces: int = 12) -> list[tuple[int, int]]:
    """Cut 0..count at random places, some of them empty."""
    places = sorted(random.Random(seed).choices(range(count + 1), k=pieces - 1))
    return list(zip([0, *places], [*places, count], strict=True))


def run(core: Core[Any], batch: Batch[Any], cuts: Sequence[tuple[int, int]]) -> list[Output]:
    """Feed a batch in pieces; indices of `Rejected` are those of the whole batch."""
    outputs: list[Output] = []
    for start, stop in cuts:
        outputs += _shifted(core.observe(part(batch, start, stop)), start)
    return outputs


def decisions(outputs: Sequence[Output]) -> list[Decision]:
    """Return the decisions among outputs, in order."""
    return [output for output in outputs if not isinstance(output, Counts | Rejected | Lesson)]


def counted(outputs: Sequence[Output]) -> Counter[tuple[str, str, int, int]]:
    """Sum the cells of all partial counts, whichever records they came in."""
    total: Counter[tuple[str, str, int, int]] = Counter()
    for output in outputs:
        if isinstance(output, Counts):
            for cell in output.cells:
                total[cell.metric, cell.series, cell.bucket, cell.late_at] += cell.count
    return total


def pages(core: Core[Any], count: int = PAGES) -> list[bytes]:
    """Return every page of a core's state."""
    return [core.dump(page, count) for page in range(count)]


def copy_of(core: Core[Any], make: Callable[[], Core[Any]], count: int = PAGES) -> Core[Any]:
    """Return a new core loaded with another one's pages."""
    copy = make()
    for page, blob in enumerate(pages(core, count)):
        copy.load(page, count, blob)
    return copy


def whole(case: Case) -> tuple[Core[Any], list[Output]]:
    """Feed a case in one piece."""
    core = case.make()
    return core, core.observe(case.batch)


def check_core(case: Case) -> None:
    """Run every check on a case."""
    for check in CORE_CHECKS:
        check(case)


def check_speaks(case: Case) -> None:
    """The case itself is worth checking: it leads to decisions, each with an id of its own."""
    _, outputs = whole(case)
    made = decisions(outputs)
    assert made, "the stream of this case leads to no decision"
    ids = [decision.decision_id for decision in made]
    assert len(ids) == len(set(ids))
    for decision in made:
        fields = msgspec.json.decode(msgspec.json.encode(decision))
        assert fields["kind"]
        assert fields["subject"]
        assert fields["evidence"]["text"]
        assert decision.decided_at.tzinfo is not None


def check_decided_in_time(case: Case) -> None:
    """No decision is dated after the arrival of the event it came with."""
    core = case.make()
    for start, stop in cuts_of(len(case.batch.events), case.seed, 50):
        for decision in decisions(core.observe(part(case.batch, start, stop))):
            assert decision.decided_at.timestamp() <= core.clock + 1e-6


def check_needs_no_clock(case: Case) -> None:
    """Time arrives as an argument: nothing asks the machine for it, or for randomness."""
    expected = whole(case)[1]
    with _no_clock():
        assert whole(case)[1] == expected


def assert_alike(some: Sequence[Output], others: Sequence[Output]) -> None:
    """The same decisions and refusals in the same order, and the same counts in all.

    How counts are bundled into records may follow the cuts: flow adds them up.
    """
    first = [output for output in some if not isinstance(output, Counts)]
    assert first == [output for output in others if not isinstance(output, Counts)]
    assert counted(some) == counted(others)


def check_cuts_do_not_show(case: Case) -> None:
    """However the stream is cut, outputs are alike and state is the same to the byte."""
    core, outputs = whole(case)
    count = len(case.batch.events)
    for seed in range(case.seed, case.seed + 3):
        other = case.make()
        assert_alike(run(other, case.batch, cuts_of(count, seed)), outputs)
        assert pages(other) == pages(core)


def check_single_events(case: Case, limit: int = 500) -> None:
    """Chunks of one event are chunks too."""
    batch = part(case.batch, 0, limit)
    core = case.make()
    other = case.make()
    count = len(batch.events)
    outputs = core.observe(batch)
    assert_alike(run(other, batch, [(place, place + 1) for place in range(count)]), outputs)
    assert pages(other) == pages(core)


def check_dump_and_load(case: Case) -> None:
    """A core loaded from pages goes on as the one that wrote them."""
    count = len(case.batch.events)
    for share, size in ((0.3, 1), (0.6, PAGES), (0.9, 8)):
        middle = int(count * share)
        core = case.make()
        core.observe(part(case.batch, 0, middle))
        copy = copy_of(core, case.make, size)
        assert len(copy) == len(core)
        assert copy.clock == core.clock
        assert pages(copy) == pages(core)
        rest = part(case.batch, middle, count)
        assert copy.observe(rest) == core.observe(rest)
        assert pages(copy) == pages(core)


def check_changes_replicate(case: Case) -> None:
    """Changes applied, even twice, keep a copy equal to the original."""
    core, copy = case.make(), case.make()
    for start, stop in cuts_of(len(case.batch.events), case.seed):
        core.observe(part(case.batch, start, stop))
        blob = core.changes()
        copy.apply(blob)
        copy.apply(blob)
        assert pages(copy) == pages(core)
        assert copy.clock == core.clock
    assert len(core.changes()) <= len(case.make().changes()) + 64, "nothing changed since"


def check_copy_takes_over(case: Case) -> None:
    """A copy kept by changes alone decides as the original would have."""
    count = len(case.batch.events)
    middle = count * 2 // 3
    core, copy = case.make(), case.make()
    for start, stop in cuts_of(middle, case.seed):
        core.observe(part(case.batch, start, stop))
        copy.apply(core.changes())
    rest = part(case.batch, middle, count)
    assert copy.observe(rest) == core.observe(rest)
    assert pages(copy) == pages(core)


def check_early_advance(case: Case) -> None:
    """Advancing up to the next arrival makes things known earlier and changes nothing else."""
    core, outputs = whole(case)
    other = case.make()
    early: list[Output] = []
    chance = random.Random(case.seed)
    for start, stop in cuts_of(len(case.batch.events), case.seed, 60):
        if start < stop:
            gap = float(case.batch.arrivals[start]) - other.clock
            if other.clock > -np.inf and gap > 0:
                early += other.advance(other.clock + gap * chance.random())
                early += other.advance(float(case.batch.arrivals[start]))
        early += _shifted(other.observe(part(case.batch, start, stop)), start)
    assert decisions(early) == decisions(outputs)
    assert counted(early) == counted(outputs)
    assert pages(other) == pages(core)


def check_time_never_returns(case: Case) -> None:
    """An advance into the past says nothing and changes nothing."""
    core, _ = whole(case)
    before, clock = pages(core), core.clock
    assert core.advance(clock - 86_400) == []
    assert core.clock == clock
    assert pages(core) == before


def check_duplicates_are_harmless(case: Case) -> None:
    """Every event sent twice leads to the same decisions as once."""
    _, outputs = whole(case)
    events = [event for event in case.batch.events for _ in range(2)]
    twice = Batch(events=events, arrivals=np.repeat(case.batch.arrivals, 2))
    other = case.make().observe(twice)
    assert decisions(other) == decisions(outputs)
    if not case.duplicates_count:
        assert counted(other) == counted(outputs)


def check_redelivery_is_harmless(case: Case) -> None:
    """Old records that come again at the end move no clock and decide nothing."""
    core, _ = whole(case)
    clock = core.clock
    count = len(case.batch.events)
    again = part(case.batch, count * 9 // 10, count)
    assert decisions(core.observe(again)) == []
    assert core.clock == clock


def check_through_grows(case: Case) -> None:
    """Partial counts say how far their source has come: whole minutes that only grow."""
    if not case.is_source:
        return
    records = [output for output in whole(case)[1] if isinstance(output, Counts)]
    assert records
    through = [record.through for record in records]
    assert all(earlier < later for earlier, later in pairwise(through))
    assert all(minute % 60 == 0 for minute in through)
    assert len({record.source for record in records}) == 1


def check_unknown_state_is_refused(case: Case) -> None:
    """State that cannot be read raises `StateError` and never means an empty start."""
    core, _ = whole(case)
    for blob in (b"", b"\xc1", msgspec.msgpack.encode([99, 99, {}, []]), core.changes()[:-3]):
        with pytest.raises(StateError):
            case.make().load(0, 1, blob)
        with pytest.raises(StateError):
            case.make().apply(blob)


def check_bounded(core: Core[Any], batch: Batch[Any], max_rows: int) -> None:
    """A flood of new keys is refused, each event by its index, and rows stay bounded."""
    outputs = core.observe(batch)
    refused = [output for output in outputs if isinstance(output, Rejected)]
    assert refused
    assert [output.index for output in refused] == sorted({output.index for output in refused})
    assert all(0 <= output.index < len(batch.events) for output in refused)
    assert len(core) <= max_rows


def check_silent(core: Core[Any], batch: Batch[Any]) -> None:
    """With too little to know, there is no decision."""
    assert decisions(core.observe(batch)) == []


CORE_CHECKS: Final[tuple[Callable[[Case], None], ...]] = (
    check_speaks,
    check_decided_in_time,
    check_needs_no_clock,
    check_cuts_do_not_show,
    check_single_events,
    check_dump_and_load,
    check_changes_replicate,
    check_copy_takes_over,
    check_early_advance,
    check_time_never_returns,
    check_duplicates_are_harmless,
    check_redelivery_is_harmless,
    check_through_grows,
    check_unknown_state_is_refused,
)
"""Parametrize over these for a test a check."""


def river_checks(
    estimator: base.Estimator, stream: Sequence[tuple[dict[str, Any], Any]] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield River's own checks of an estimator by name, each on a fresh clone.

    `stream` of (x, y) stands in for River's data sets: anomaly detectors need it, as River would
    download one for them.
    """
    checks = _import_river_checks()
    stand_in = _datasets(stream) if stream is not None else checks._yield_datasets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_yield_datasets", stand_in)
        found = list(checks.yield_checks(estimator))
    for check in found:
        if check.__name__ not in estimator._unit_test_skips():
            yield check.__name__, _on_clone(check, estimator)


def _on_clone(check: Callable[[Any], None], estimator: base.Estimator) -> Callable[[], None]:
    return lambda: check(estimator.clone())


def _datasets(stream: Sequence[tuple[dict[str, Any], Any]]) -> Callable[..., Iterator[Any]]:
    def datasets(model: base.Estimator, scale: int = 1) -> Iterator[Any]:
        del model, scale
        yield list(stream)

    return datasets


def _import_river_checks() -> Any:
    """Import `river.checks`; River 0.26.0 subscripts csv.DictReader, which 3.11 cannot."""
    if sys.version_info < (3, 12) and not hasattr(csv.DictReader, "__class_getitem__"):
        csv.DictReader.__class_getitem__ = classmethod(types.GenericAlias)  # type: ignore[attr-defined]
    from river import checks

    return checks


def _shifted(outputs: Sequence[Output], start: int) -> list[Output]:
    return [
        Rejected(output.index + start, output.reason) if isinstance(output, Rejected) else output
        for output in outputs
    ]


class _NoClock(datetime):
    @classmethod
    def now(cls, *_: object, **__: object) -> Never:
        raise AssertionError("a detector asked for the time")

    utcnow = today = now


def _refuse(*_: object, **__: object) -> Never:
    raise AssertionError("a detector asked for the time or for randomness")


_CLOCKS: Final[dict[Any, tuple[str, ...]]] = {
    time: ("time", "time_ns", "localtime", "gmtime", "monotonic"),
    random: ("random", "randint", "choice", "shuffle"),
    np.random: ("default_rng", "rand", "random", "normal", "poisson"),
}


@contextmanager
def _no_clock() -> Iterator[None]:
    """Make clocks and randomness raise inside `detectors`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in _CLOCKS.items():
            for name in names:
                patch.setattr(module, name, _refuse)
        for name, module in list(sys.modules.items()):
            if name.startswith("detectors.") and getattr(module, "datetime", None) is datetime:
                patch.setattr(module, "datetime", _NoClock)
        yield

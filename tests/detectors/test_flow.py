"""The flow core: order of time out of any order of arrival, surges, capacity, silence."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.base import Batch, Cell, Counts, Metric
from detectors.decisions import (
    CapacityAlert,
    CapacityClosed,
    CapacityReason,
    FeedResumed,
    FeedSilent,
    SurgeClosed,
    SurgeOpened,
)
from detectors.flow import FlowCore
from tests.detectors import contract
from tests.detectors.worlds import (
    DAY,
    HOUR,
    START,
    complaints_of,
    flow,
    merged,
    records,
    scans_of,
    surging,
)


@cache
def said() -> dict[str, list[Counts]]:
    """Sixteen days: a surge in Hubei, a silence of swift, parcels that come and go."""
    surge = 13 * 24
    moves = {
        hour: {"Hubei": (40, 40 if hour < surge else 25), "Hunan": (30, 30)}
        for hour in range(16 * 24)
    }
    return records(
        16,
        complaints=complaints_of(16, 1, surging(surge, surge + 30, "Hubei", 5)),
        scans={
            "swift": scans_of(16, 2, range(12 * 24 + 9, 12 * 24 + 15)),
            "calm": scans_of(16, 3, range(0)),
        },
        moves=moves,
        late_share=0.1,
    )


CHECKS = [
    check for check in contract.CORE_CHECKS if check is not contract.check_redelivery_is_harmless
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: Callable[[contract.Case], None]) -> None:
    """The core keeps the contract of cores."""
    check(contract.Case(make=flow, batch=merged(said()), is_source=False))


def test_what_happened_is_said() -> None:
    """One surge with its capacity alert, one silence and its end; nothing else."""
    made = contract.decisions(flow().observe(merged(said())))
    (opened,) = (d for d in made if isinstance(d, SurgeOpened))
    assert opened.region == "Hubei"
    assert abs(opened.began_at.timestamp() - START - 13 * DAY) <= 6 * HOUR
    assert opened.decided_at.timestamp() - START <= 13 * DAY + 14 * HOUR
    (closed,) = (d for d in made if isinstance(d, SurgeClosed))
    assert closed.episode_id == opened.decision_id
    (silent,) = (d for d in made if isinstance(d, FeedSilent))
    (resumed,) = (d for d in made if isinstance(d, FeedResumed))
    assert silent.carrier == resumed.carrier == "swift"
    assert silent.silent_since.timestamp() == START + 12 * DAY + 9 * HOUR
    assert resumed.episode_id == silent.decision_id
    alerts = [d for d in made if isinstance(d, CapacityAlert)]
    assert {alert.region for alert in alerts} == {"Hubei"}
    (of_surge,) = (a for a in alerts if a.reason is CapacityReason.COMPLAINT_SURGE)
    assert of_surge.evidence.text.startswith(opened.evidence.text)
    assert "too little history" in of_surge.evidence.text
    ends = [d for d in made if isinstance(d, CapacityClosed)]
    assert all(d.episode_id == of_surge.decision_id for d in ends)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.integers(0, 10**6), cut=st.integers(0, 10**6), middle=st.floats(0.05, 0.95))
def test_interleavings_do_not_show(order: int, cut: int, middle: float) -> None:
    """However the sources' records interleave, are cut and saved: same decisions and bytes."""
    straight = flow()
    expected = straight.observe(merged(said()))
    batch = merged(said(), order)
    count = len(batch.events)
    place = int(count * middle)
    core: FlowCore = flow()
    first, second = contract.part(batch, 0, place), contract.part(batch, place, count)
    outputs = contract.run(core, first, contract.cuts_of(place, cut))
    copy = contract.copy_of(core, flow)
    outputs += contract.run(copy, second, contract.cuts_of(count - place, cut))
    assert outputs == expected
    assert contract.pages(copy) == contract.pages(straight)


def test_old_records_are_repetitions() -> None:
    """A record that its source has already passed changes nothing."""
    core = flow()
    batch = merged(said())
    core.observe(batch)
    before = contract.pages(core)
    assert core.observe(contract.part(batch, 100, 200)) == []
    assert contract.pages(core) == before


def test_first_days_have_no_opinion() -> None:
    """Before a week of history nothing is said, whatever happens."""
    world = records(
        6,
        complaints=complaints_of(6, 1, surging(100, 120, "Hubei", 20)),
        scans={"swift": scans_of(6, 2, range(120, 140))},
    )
    contract.check_silent(flow(), merged(world))


def test_a_source_never_heard_of_holds_back() -> None:
    """Nothing closes before every source has spoken; latest still follows the furthest."""
    core = flow()
    through = START + DAY
    core.observe(batch_of(Counts(source="parcels/0", through=through, cells=())))
    assert core.clock == float("-inf")
    assert core.latest == through


def test_unknown_sources_stop_the_task() -> None:
    """Counts of a source that is not of this task's list are a fault of the wiring."""
    with pytest.raises(ValueError, match="parcels/9"):
        flow().observe(batch_of(Counts(source="parcels/9", through=60, cells=())))


def test_floods_of_series_are_refused() -> None:
    """Series beyond the bound are rejected, the others go on."""
    events = []
    for hour in range(30):
        through = START + hour * HOUR
        events += [
            Counts(source=source, through=through + HOUR, cells=())
            for source in ("parcels/0", "parcels/1", "complaints/1")
        ]
        cells = tuple(
            Cell(Metric.COMPLAINTS, f"R{n}\x1forder", through, 1) for n in range(3 * hour)
        )
        events.append(Counts(source="complaints/0", through=through + HOUR, cells=cells))
    contract.check_bounded(flow(max_series=10), batch_of(*events), 1000)


def test_a_long_sleep_is_skipped() -> None:
    """A year without any count takes no time and is nobody's silence."""
    core = flow()
    world = said()
    core.observe(merged(world))
    later = START + 400 * DAY
    outputs = core.observe(
        batch_of(
            *(Counts(source=s, through=later, cells=()) for s in world),
            *(
                Counts(source=s, through=later + DAY, cells=(Cell(Metric.SCANS, "new", later, 3),))
                for s in world
            ),
        )
    )
    silent = [d for d in contract.decisions(outputs) if isinstance(d, FeedSilent)]
    assert all(d.decided_at.timestamp() <= START + 17 * DAY for d in silent)
    assert core.clock == later + DAY


def batch_of(*events: Counts) -> Batch[Counts]:
    return Batch(events=events, arrivals=np.zeros(len(events)))

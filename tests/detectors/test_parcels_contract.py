"""The parcels core keeps what every core must, however its stream is cut."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.base import Batch, Core, Output, Rejected
from detectors.events import Milestone, TrackingEvent
from detectors.parcels import ParcelsCore
from detectors.places import Place
from tests.detectors.contract import (
    CORE_CHECKS,
    PAGES,
    Case,
    check_bounded,
    check_silent,
    copy_of,
    counted,
    decisions,
    pages,
    part,
)
from tests.detectors.scans import LANE, batch, healthy, journey, scan


def make() -> ParcelsCore:
    """Return a core whose parcels come, stall, expire and are forgotten within days."""
    return ParcelsCore(
        source="parcels/0",
        config_version="test",
        min_observations=5,
        recheck_seconds=6 * 3600,
        customs_days=1.0,
        expire_days=6.0,
        retention_days=3.0,
        recycle_days=1.0,
        max_parcels=40,
    )


def troubled() -> Batch[TrackingEvent]:
    """Return healthy parcels of two carriers among which some stall, return or are lost."""
    scans = [*healthy(80), *healthy(40, carrier="comet", start=20)]
    for number, stop in enumerate((1, 2, 3, 4, 5)):
        scans += journey(f"swift/S{number}", 60 + 3 * number)[:stop]
    scans.append(scan("swift/S2", Milestone.DEPARTED, 100, region="R01", facility="hub R05"))
    scans.append(scan("swift/S3", Milestone.DELIVERED, 105, region="R03"))
    scans.append(scan("swift/C", Milestone.CUSTOMS_HELD, 40, region="R01", **LANE))
    scans += journey("swift/B", 70)[:3]
    scans.append(scan("swift/B", Milestone.RETURNING, 90, region="R07"))
    scans.append(scan("swift/B", Milestone.ARRIVED, 104, region="R01"))
    scans.append(scan("swift/B", Milestone.RETURNED, 130, region="R01"))
    return batch(sorted(scans, key=lambda s: s.occurred_at))


def case() -> Case:
    """Return the case the generic checks run on."""
    return Case(
        make=lambda: ParcelsCore(source="parcels/0", config_version="t", min_observations=20),
        batch=troubled(),
        duplicates_count=True,
    )


@pytest.mark.parametrize("check", CORE_CHECKS, ids=lambda check: check.__name__)
def test_generic(check: Callable[[Case], None]) -> None:
    """Every check of the contract holds."""
    check(case())


def test_a_flood_of_parcels_is_refused() -> None:
    """Rows stay bounded; what is refused is named."""
    flood = [scan(f"swift/F{n}", Milestone.LABEL_CREATED, n / 100) for n in range(500)]
    check_bounded(make(), batch(flood), 60)


def test_histograms_stay_bounded() -> None:
    """Ever new lanes speak through their carrier when there is no room for theirs."""
    core = ParcelsCore(source="parcels/0", config_version="t", max_segments=20)
    for day in range(6):
        scans = [
            event
            for n in range(40)
            for event in (
                scan(f"swift/{day}-{n}", Milestone.PICKED_UP, day * 24 + n / 10,
                     origin_region=f"R{day}-{n}", destination_region="R0"),
                scan(f"swift/{day}-{n}", Milestone.DEPARTED, day * 24 + 5 + n / 10),
            )
        ]  # fmt: skip
        core.observe(batch(sorted(scans, key=lambda s: s.occurred_at)))
    dwells = core._usual.dwells
    sketches = dwells.model.times.sketches
    assert len(sketches) <= 20
    assert sketches.pending <= 20 + 40
    assert sketches.codes() <= 4 * 20 + 200
    place = Place("swift", "new", "new", "lane", "")
    assert dwells.explain(dwells.code(place, "picked_up")) is not None


def test_silent_without_knowledge() -> None:
    """Ten parcels teach nothing that could be called usual."""
    core = ParcelsCore(source="parcels/0", config_version="t")
    check_silent(core, batch([*healthy(10), *journey("swift/S", 300)[:2]]))


_MILESTONES = st.sampled_from([*Milestone, *[Milestone.ARRIVED, Milestone.DEPARTED] * 4])
_NAMES = st.sampled_from(["R1", "R2", None])


@st.composite
def streams(draw: st.DrawFn) -> Batch[TrackingEvent]:
    """Return scans of few parcels over days: disordered, doubled, late, with ties."""
    count = draw(st.integers(1, 80))
    clock, scans = 0.0, list[TrackingEvent]()
    for _ in range(count):
        clock += draw(st.sampled_from([0.0, 0.0, 0.01, 0.3, 2.0, 9.0, 40.0]))
        if scans and draw(st.integers(0, 5)) == 0:
            scans.append(draw(st.sampled_from(scans)))
            continue
        parcel = f"{draw(st.sampled_from('ab'))}/{draw(st.integers(0, 6))}"
        behind = draw(st.sampled_from([0.0, 0.0, 0.5, 5.0, 30.0]))
        early = draw(st.sampled_from([0.0, 0.0, 0.2, 3.0]))
        fields: dict[str, Any] = {
            "region": draw(_NAMES),
            "facility": draw(_NAMES),
            "destination_region": draw(_NAMES),
            "order_id": draw(_NAMES),
            "awaits_customer": draw(st.sampled_from([None, None, True])),
        }
        scans.append(
            scan(parcel, draw(_MILESTONES), clock - behind, arrives=clock - early, **fields)
        )
    return batch(scans)


def _refused(outputs: list[Output]) -> int:
    return sum(isinstance(output, Rejected) for output in outputs)


def _restless(stream: Batch[TrackingEvent], draw: st.DataObject) -> tuple[Core[Any], list[Output]]:
    """Feed a stream cut at random, with ticks, reloads and a copy that takes over."""
    core: Core[Any] = make()
    copy: Core[Any] = make()
    core.changes()
    outputs, start = list[Output](), 0
    while start < len(stream.events):
        stop = min(start + draw.draw(st.integers(1, 30)), len(stream.events))
        arrival = float(stream.arrivals[start])
        if draw.draw(st.booleans()) and core.clock > -np.inf:
            outputs += core.advance(arrival - draw.draw(st.sampled_from([0.0, 50.0, 4000.0])))
        outputs += core.observe(part(stream, start, stop))
        copy.apply(core.changes())
        what = draw.draw(st.integers(0, 3))
        if what == 0:
            core = copy_of(core, make, draw.draw(st.sampled_from([1, 4])))
        elif what == 1:
            assert pages(copy) == pages(core)
            core, copy = copy, copy_of(core, make)
            core.changes()
        start = stop
    return core, outputs


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.data())
def test_whatever_happens_between_chunks_does_not_show(
    stream: Batch[TrackingEvent], data: st.DataObject
) -> None:
    """Cuts, ticks up to the next arrival, reloads and take-overs change no decision, no state."""
    once = make()
    expected = once.observe(stream)
    end = once.clock + 20 * 86_400
    core, outputs = _restless(stream, data)
    assert decisions(outputs) == decisions(expected)
    assert _refused(outputs) == _refused(expected)
    assert counted(outputs) == counted(expected)
    assert pages(core, PAGES) == pages(once, PAGES)
    assert decisions(core.advance(end)) == decisions(once.advance(end))
    assert pages(core, PAGES) == pages(once, PAGES)

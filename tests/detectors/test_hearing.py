"""Carriers that are not heard: their parcels' silences are excused, and for how long."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detectors.decisions import StallCleared, StallOpened
from detectors.hearing import BURST_MINUTES, LEAST_SECONDS, Hearing, merged_hearing
from detectors.parcel_table import ROW, ParcelTable
from detectors.parcels import ParcelsCore
from detectors.scans import Scans
from tests.detectors.scans import at, batch, core, healthy, journey, said, seconds

DAY = 1440
START = 20_000 * DAY
"""Minutes since the epoch; any midnight will do."""
TAUGHT_DAYS = 30


def hearing(parcels: ParcelTable | None = None, **parameters: Any) -> Hearing:
    """Return one that has opinions after 20 gaps, of the carriers `swift` and `comet`."""
    if parcels is None:
        parcels = ParcelTable()
        parcels.carriers.number([(None, ["swift", "comet"])])
    return Hearing(
        parcels,
        **{
            "unheard_days": 4.0,
            "half_life_days": 30.0,
            "min_observations": 20,
            "max_carriers": 100,
            **parameters,
        },
    )


def scans(minutes: list[int], carriers: list[int]) -> Scans:
    """Return what a hearing looks at of scans."""
    return cast(Scans, SimpleNamespace(carrier=np.array(carriers), minute=np.array(minutes)))


def hear(one: Hearing, minutes: list[int], carrier: int = 1, *, cut: int = 10**9) -> None:
    """Let scans of a carrier be heard, in pieces of `cut`."""
    for start in range(0, len(minutes), cut):
        part = minutes[start : start + cut]
        one.begin(scans(part, [carrier] * len(part)), 0, len(part))
        one.end()


def fold(one: Hearing, day: float) -> None:
    """Let what was heard count."""
    for sketches in one.sketches():
        sketches.fold(day)
    one.forget_answers()


def taught(every: int = 5, **parameters: Any) -> Hearing:
    """Return one that has heard swift every few minutes of all days."""
    one = hearing(**parameters)
    for day in range(TAUGHT_DAYS):
        begins = START + day * DAY
        hear(one, list(range(begins, begins + DAY, every)))
        fold(one, begins / DAY + 1)
    return one


HEARD = START + TAUGHT_DAYS * DAY - 5
"""When `taught()` heard swift last."""


def excused(one: Hearing, *, last: int, due: int, until: int | None = None) -> int:
    """Return until when a silence of swift since minute `last` lasts, too long at `until`."""
    block = np.zeros(1, ROW)
    block["carrier"], block["last_at"] = 1, last * 60.0
    at = np.array([due])
    return int(one.excused(block, at, at if until is None else np.array([until]))[0])


def test_while_a_carrier_is_heard_nothing_is_excused() -> None:
    """A silence that is too long is too long."""
    one = taught()
    assert excused(one, last=HEARD - 3000, due=HEARD + 60) == HEARD + 60


def test_a_carrier_that_is_not_heard_excuses_its_parcels() -> None:
    """From two hours without a scan on, where they come every five minutes."""
    one = taught()
    due = HEARD + int(LEAST_SECONDS // 60) + 40
    assert excused(one, last=HEARD - 3000, due=due) > due


def test_what_was_unheard_of_a_silence_is_added_to_it() -> None:
    """As long as the carrier was silent, from when the parcel was, and until all has arrived."""
    one = taught()
    again = HEARD + 900
    hear(one, [again, again + 5, again + 10])
    due = again + 30
    assert excused(one, last=HEARD - 3000, due=due) == due + 900 + BURST_MINUTES
    assert excused(one, last=again - 100, due=due) == due + 100 + BURST_MINUTES
    assert excused(one, last=again + 5, due=due) == due


def test_after_days_it_is_no_excuse_any_more() -> None:
    """A carrier that is gone for good does not hide its parcels."""
    one = taught()
    assert excused(one, last=HEARD - 60, due=HEARD + 4 * DAY - 10) > HEARD + 4 * DAY - 10
    assert excused(one, last=HEARD - 60, due=HEARD + 4 * DAY) == HEARD + 4 * DAY


def test_who_does_not_want_it_has_it_not() -> None:
    """With `unheard_days` 0 nothing is excused."""
    one = taught(unheard_days=0.0)
    hear(one, [HEARD + 900])
    for due in (HEARD + 800, HEARD + 901):
        assert excused(one, last=HEARD - 3000, due=due) == due


def test_uploads_every_few_hours_are_usual() -> None:
    """A carrier that uploads every six hours is not unheard after eight, and is after twenty."""
    one = taught(every=360)
    last = START + TAUGHT_DAYS * DAY - 360
    assert excused(one, last=last - 3000, due=last + 480) == last + 480
    assert excused(one, last=last - 3000, due=last + 1200) > last + 1200


def test_closed_days_are_usual() -> None:
    """A carrier that rests from Saturday night to Monday morning is not unheard then."""
    one, week = hearing(), 7 * DAY
    for day in range(TAUGHT_DAYS + 5):
        begins = START + day * DAY
        if day % 7 != 6:
            hear(one, list(range(begins + 420, begins + 1200, 5)))
        fold(one, begins / DAY + 1)
    closed = START + 4 * week + 6 * DAY  # the clock stands on a seventh day
    assert excused(one, last=closed - 3000, due=closed + 900) == closed + 900


def test_the_unknown_excuse_nothing() -> None:
    """With too few gaps seen, and of a carrier never heard."""
    one = hearing()
    hear(one, list(range(START, START + 100, 10)))
    fold(one, START / DAY + 1)
    assert excused(one, last=START, due=START + DAY) == START + DAY


@given(
    steps=st.lists(st.integers(0, 400), min_size=1, max_size=40),
    carriers=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    cut=st.integers(1, 41),
    due=st.integers(-10, 3000),
)
def test_it_is_the_same_however_the_stream_is_cut(
    steps: list[int], carriers: list[int], cut: int, due: int
) -> None:
    """Whether minutes come in one piece or many, and whether the last one has ended."""
    minutes = (HEARD + np.cumsum(steps)).tolist()
    mine = carriers[: len(minutes)]
    whole, parts = taught(every=60), taught(every=60)
    whole.begin(scans(minutes, mine), 0, len(minutes))
    for start in range(0, len(minutes), cut):
        parts.begin(scans(minutes, mine), start, min(start + cut, len(minutes)))
        parts.end()
    after = minutes[-1] + 1 + abs(due)
    assert excused(whole, last=HEARD - 100, due=after) == excused(
        parts, last=HEARD - 100, due=after
    )
    whole.end()
    assert whole.table.dump(0, 1) == parts.table.dump(0, 1)
    for one, other in zip(whole.sketches(), parts.sketches(), strict=True):
        assert one.dump(0, 1) == other.dump(0, 1)


def reloaded(one: Hearing, *carriers: str) -> Hearing:
    """Return a copy made from the state, of carriers that have these numbers."""
    parcels = ParcelTable()
    parcels.carriers.number([(None, list(carriers))])
    copy = hearing(parcels)
    copy.table.load(0, 1, one.table.dump(0, 1))
    for mine, told in zip(copy.sketches(), one.sketches(), strict=True):
        mine.load(0, 1, told.dump(0, 1))
    copy.forget_codes()
    return copy


def test_after_a_reload_it_hears_the_same() -> None:
    """Rows come back in the order of names, carriers have the numbers they had."""
    one = taught(every=60)
    hear(one, [HEARD + 10], carrier=2)
    copy = reloaded(one, "swift", "comet")
    minutes, carriers = [HEARD + 20, HEARD + 30, HEARD + 700], [2, 1, 1]
    for each in (one, copy):
        each.begin(scans(minutes, carriers), 0, 3)
    for due in (HEARD + 40, HEARD + 600, HEARD + 710):
        assert excused(copy, last=HEARD - 300, due=due) == excused(one, last=HEARD - 300, due=due)
    for each in (one, copy):
        each.end()
    assert copy.table.dump(0, 1) == one.table.dump(0, 1)


def test_many_carriers_after_a_reload() -> None:
    """More than there is room for at first, in an order of rows that is not that of numbers."""
    names = [f"carrier{number:03d}" for number in range(200, 0, -1)]
    parcels = ParcelTable()
    parcels.carriers.number([(None, names)])
    one = hearing(parcels)
    hear(one, [HEARD], carrier=1)
    one.begin(scans([HEARD] * 200, list(range(1, 201))), 0, 200)
    one.end()
    copy = reloaded(one, *names)
    for day in (1, 2):
        hear(copy, [HEARD + day], carrier=2)  # by name the last row but one
        fold(copy, HEARD / DAY + day)
    hear(copy, [HEARD + 3], carrier=2)
    assert int(copy.table["heard"][copy.table.row(names[1])]) == HEARD + 3


def test_what_is_not_over_yet_is_not_heard_yet() -> None:
    """Of scans that were begun with, those after a deadline say nothing about it."""
    one, minutes = taught(), [HEARD + 5, HEARD + 1000]
    one.begin(scans(minutes, [1, 1]), 0, 2)
    assert excused(one, last=HEARD - 3000, due=HEARD + 60) == HEARD + 60
    assert excused(one, last=HEARD - 3000, due=HEARD + 600) > HEARD + 600


def test_partitions_together_have_heard_what_any_of_them_has() -> None:
    """The last scan of all, and the last silence of any."""
    early, late = taught(), taught()
    hear(early, [HEARD + 300])
    hear(late, [HEARD + 900])
    whole = hearing()
    whole.table.load(0, 1, merged_hearing([early.table.dump(0, 1), late.table.dump(0, 1)]))
    row = whole.table.row("swift")
    assert [int(whole.table[name][row]) for name in ("heard", "unheard_from", "unheard_until")] == [
        HEARD + 900,
        HEARD,
        HEARD + 900,
    ]


def told(one: ParcelsCore, *, silent_from: float, silent_until: float) -> list[Any]:
    """Return what is said when what happens between two hours all arrives at the second."""
    events = [*healthy(400), *journey("swift/STUCK", silent_from - 30)[:4]]
    late = at(silent_until)
    heard = [
        replace(each, received_at=late) if at(silent_from) <= each.occurred_at < late else each
        for each in events
    ]
    heard.sort(key=lambda each: each.received_at or each.occurred_at)
    return said([*one.observe(batch(heard)), *one.advance(seconds(420.0))])


@pytest.mark.parametrize("unheard_days", [0.0, 4.0])
def test_a_silent_feed_flags_nobody_but_the_stuck(unheard_days: float) -> None:
    """In the core: without the excuse every parcel on its way then would be flagged."""
    decisions = told(core(unheard_days=unheard_days), silent_from=300.0, silent_until=330.0)
    opened = [each.parcel_id for each in decisions if isinstance(each, StallOpened)]
    cleared = [each.parcel_id for each in decisions if isinstance(each, StallCleared)]
    assert "STUCK" in opened
    assert (len(opened) == 1) == (unheard_days > 0)
    assert (cleared == []) == (unheard_days > 0)

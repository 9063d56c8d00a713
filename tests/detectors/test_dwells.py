"""Waits by plain or by working time, whichever is shorter where."""

from collections.abc import Iterator

import numpy as np

from detectors.dwells import Dwells
from detectors.events import Milestone
from detectors.histograms import Floats
from detectors.places import Place
from detectors.scan_columns import MILESTONES
from detectors.sketches import Codes
from tests.detectors.test_working_clock import DAY, HOUR, WEEKS, closed_on_the_last_day

OUT = Milestone.OUT_FOR_DELIVERY
STATION = Place("swift", "station R07", "R07", "", "")
EMPTY = Place("", "", "", "", "")


def dwells() -> Dwells:
    """Return dwells that have opinions after 50 observations."""
    return Dwells(late_cost=0.02, half_life_days=30.0, min_observations=50, max_segments=1000)


def fold(model: Dwells, day: float) -> None:
    """Let what was learned count."""
    for sketches in model.sketches():
        sketches.fold(float(day))
    model.forget_answers()


def teach(
    model: Dwells, code: int, began: Floats, ended: Floats, following: Milestone = OUT
) -> None:
    """Teach a model dwells that were heard to be over at once."""
    number = MILESTONES.index(following) + 1
    model.learn_many(np.full(len(began), code), began, ended, ended, np.full(len(began), number))


def told(model: Dwells, place: Place, stage: str, parts: int = 4) -> Codes:
    """Teach a model dwells of a station closed on the last day of the week, in epochs."""
    code = model.code(place, stage)
    began, ended = closed_on_the_last_day(6000)
    for day, part in enumerate(_parts(len(began), parts)):
        teach(model, code, began[part], ended[part])
        fold(model, day)
    return np.array([code])


def _parts(count: int, parts: int) -> Iterator[np.ndarray]:
    yield from np.array_split(np.arange(count), parts)


def test_where_hours_matter_waits_go_by_them() -> None:
    """On a working day a silence is noticed within hours, over a closed day not before it ends."""
    model = dwells()
    code = told(model, STATION, "arrived at destination")
    workday = model.wait_many(code, np.array([WEEKS + 2 * DAY]))[0]
    closed = model.wait_many(code, np.array([WEEKS + 6 * DAY - HOUR]))[0]
    assert workday < 12 * HOUR
    assert 24 * HOUR < closed < 24 * HOUR + 12 * HOUR


def test_a_silence_as_long_as_the_wait_is_rare() -> None:
    """Evidence and threshold come from the same model; a longer silence is never likelier."""
    model = dwells()
    code = told(model, STATION, "arrived at destination")
    began = np.array([WEEKS + 3 * DAY])
    wait = float(model.wait_many(code, began)[0])
    longer = [1 - model.score(int(code[0]), float(began[0]), wait * times) for times in (1, 2, 8)]
    assert 0.02 > longer[0] >= longer[1] >= longer[2] > 0


def test_a_scan_that_is_often_skipped_is_waited_for() -> None:
    """Where every third departure is not seen, a silence lasts until the next hub usually hears."""
    model, rng, hub = dwells(), np.random.default_rng(2), STATION._replace(goal="R09")
    code = model.code(hub, "arrived")
    for day in range(6):
        for following, hours, count in (
            (Milestone.DEPARTED, 5.0, 200),
            (Milestone.ARRIVED, 40.0, 100),
        ):
            began = WEEKS + rng.uniform(0, 7 * DAY, count)
            ended = began + rng.lognormal(np.log(hours), 0.2, count) * HOUR
            teach(model, code, began, ended, following)
        fold(model, day)
    alone = dwells()
    other = alone.code(hub, "arrived")
    for day in range(6):
        began = WEEKS + rng.uniform(0, 7 * DAY, 200)
        ended = began + rng.lognormal(np.log(5.0), 0.2, 200) * HOUR
        teach(alone, other, began, ended, Milestone.DEPARTED)
        fold(alone, day)
    start = np.array([WEEKS])
    assert alone.wait_many(np.array([other]), start)[0] < 24 * HOUR
    assert model.wait_many(np.array([code]), start)[0] > 40 * HOUR


def test_a_place_never_seen_speaks_through_its_carrier() -> None:
    """A new station of a known carrier has a wait, a stage nobody has seen has none."""
    model = dwells()
    told(model, STATION, "arrived at destination")
    codes = np.array([
        model.code(STATION._replace(place="station R09", region="R09"), "arrived at destination"),
        model.code(STATION, "at_pickup_point at destination"),
        model.code(EMPTY, "unknown"),
    ])  # fmt: skip
    waits = model.wait_many(codes, np.full(3, WEEKS))
    assert np.isnan(waits).tolist() == [False, True, True]


def test_what_a_way_is_off_is_known_of_another_carrier() -> None:
    """A lane slow for one carrier is expected to be slow for the next that goes there."""
    model, rng = dwells(), np.random.default_rng(5)
    near = [Place(carrier, f"hub {carrier}", "R01", "R02", "") for carrier in ("swift", "comet")]
    far = [each._replace(goal="R09") for each in near]
    taught = [*near, far[0]]
    for day in range(6):
        for place in taught:
            hours = rng.lognormal(np.log(40.0 if place.goal == "R09" else 10.0), 0.2, 200)
            began = WEEKS + rng.uniform(0, 7 * DAY, 200)
            teach(model, model.code(place, "departed"), began, began + hours * HOUR)
        fold(model, day)
    waits = model.wait_many(
        np.array([model.code(place, "departed") for place in (near[1], far[1])]), np.full(2, WEEKS)
    )
    assert waits[1] > 2 * waits[0]

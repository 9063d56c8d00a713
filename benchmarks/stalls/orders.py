"""Real orders: which will miss their promise, told days before; and when they will arrive.

One pass, a day at a time. L days before its promised date an order that is labelled and not
delivered gets a chance to be late: by how many parcels of its lane took longer than is left
(`detectors.contexts`), by how fast parcels arrived of late, by the days on which couriers work,
put together by `detectors.lateness`; and is flagged when the budget of flags (`detectors.
flag_budget`) lets it. Labels count when they are known: when an order was delivered in time, or
its promised date has passed, and it has been handed over.
"""

from typing import Final, NamedTuple

import numpy as np

from benchmarks.stalls.event_log import Floats, Index
from benchmarks.stalls.order_data import DAY, Orders
from detectors.contexts import ContextQuantiles
from detectors.lateness import LatenessModel

MOST_DAYS: Final = 12
"""Orders are looked at on each of so many days before their promised date."""
FEATURES: Final = (
    "lately", "usually", "slack", "age", "days_left", "working_days", "pace", "pace_there",
    "not_handed_over", "at_once_not_handed_over", "at_once",
)  # fmt: skip
CHAINS: Final = (("destination",), ("destination", "origin"))
_HALF_LIVES: Final = (30.0, 180.0)
_PRIORS: Final = (4.0, 16.0)
_PACE_DAYS: Final = 7.0
_PACE_PRIOR: Final = 5.0


class Looks(NamedTuple):
    """Orders on a day before their promised date, in order of time, shape (n,)."""

    order: Index
    days_left: Index
    at: Floats
    """When, in days since 1970."""
    known_at: Floats
    """When it is known whether the order was late; NaN where it never is."""


def looks_of(orders: Orders) -> Looks:
    """Return when orders that are labelled and not delivered are looked at."""
    known_at = np.where(orders.late, orders.promised, orders.delivered)
    known_at = np.maximum(known_at, orders.handed)  # NaN where it was never handed over
    order, left = [], []
    for days in range(1, MOST_DAYS + 1):
        at = orders.promised - days
        open_ = np.flatnonzero((orders.labelled <= at) & ~(orders.delivered <= at))
        order.append(open_)
        left.append(np.full(len(open_), days))
    chosen, days_left = np.concatenate(order), np.concatenate(left)
    at = orders.promised[chosen] - days_left
    by_time = np.argsort(at, kind="stable")
    chosen, days_left, at = chosen[by_time], days_left[by_time], at[by_time]
    return Looks(chosen, days_left, at, known_at[chosen])


class Pace:
    """How long the last parcels took, against what is usual: in all, and to each destination."""

    def __init__(self, places: int) -> None:
        self._sums = np.zeros(places + 1)
        self._seen = np.zeros(places + 1)
        self._kept = 0.5 ** (1 / _PACE_DAYS)

    def next_day(self) -> None:
        """Let what was seen count less."""
        self._sums *= self._kept
        self._seen *= self._kept

    def learn(self, place: Index, logs: Floats) -> None:
        """Count log(time / usual time) of parcels that arrived; everybody is the last place."""
        for where in (place, np.full_like(place, len(self._sums) - 1)):
            np.add.at(self._sums, where, logs)
            np.add.at(self._seen, where, 1.0)

    def of(self, place: Index) -> Floats:
        """Return the mean of places, drawn to 0 where little was seen."""
        pace: Floats = self._sums[place] / (self._seen[place] + _PACE_PRIOR)
        return pace

    @property
    def everywhere(self) -> float:
        """The mean of all."""
        return float(self.of(np.array([len(self._sums) - 1]))[0])


class Features:
    """What is known of orders on the day they are looked at."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._transit = _committee("transit")
        """Times from handover to delivery."""
        self._whole = _committee("whole")
        """Times from the label to delivery."""
        values = list(zip(orders.destination, orders.origin, strict=True))
        self._codes = np.array([self._transit.code(value) for value in values])
        assert self._codes.tolist() == [self._whole.code(value) for value in values]
        places = sorted(set(orders.destination))
        self._place = np.array([places.index(place) for place in orders.destination])
        self._pace = Pace(len(places))

    def learn(self, arrived: Index, day: int) -> None:
        """Count orders that arrived on the day before."""
        self._pace.next_day()
        if len(arrived):
            orders, codes = self._orders, self._codes[arrived]
            transit = orders.delivered[arrived] - orders.handed[arrived]
            usual = _half(self._transit, codes)
            logs = np.where(usual > 0, np.log((transit + 0.5) / (usual + 0.5)), 0.0)
            self._pace.learn(self._place[arrived], logs)
            self._transit.learn_many(codes, transit * DAY)
            whole = orders.delivered[arrived] - orders.labelled[arrived]
            self._whole.learn_many(codes, np.maximum(whole, 0.0) * DAY)
        self._transit.fold(float(day))
        self._whole.fold(float(day))

    def of(self, order: Index, days_left: Index, at: Floats) -> Floats:
        """Return the features of orders, shape (n, len(FEATURES))."""
        orders, codes, place = self._orders, self._codes[order], self._place[order]
        handed = orders.handed[order] <= at
        since = np.where(handed, orders.handed[order], orders.labelled[order])
        age, whole = at - since, orders.promised[order] - since
        spans = np.column_stack([age, whole]) * DAY
        left = np.where(
            handed[:, None],
            _log_odds_longer(self._transit, codes, spans),
            _log_odds_longer(self._whole, codes, spans),
        )
        usual = np.where(handed, _half(self._transit, codes), _half(self._whole, codes)) + 0.5
        fresh = np.column_stack([np.zeros(len(order)), days_left * DAY])
        at_once = _log_odds_longer(self._transit, codes, fresh).mean(axis=1)
        members = left.shape[1] // len(_HALF_LIVES)
        return np.column_stack([
            left[:, :members].mean(axis=1),
            left[:, members:].mean(axis=1),
            np.log(np.maximum(whole, 0.1) / usual),
            np.log((age + 0.1) / usual),
            np.log(days_left),
            _working_days(at, days_left) / days_left,
            np.full(len(order), self._pace.everywhere),
            self._pace.of(place),
            ~handed,
            np.where(handed, 0.0, at_once),
            np.where(handed, at_once, 0.0),
        ])  # fmt: skip


class Scored(NamedTuple):
    """What was known of every look when it was made."""

    features: Floats
    logits: Floats


def scored(orders: Orders, looks: Looks) -> Scored:
    """Go through the orders once: features and log-odds of every look."""
    features, model = Features(orders), LatenessModel(features=FEATURES)
    rows = np.zeros((len(looks.order), len(FEATURES)))
    logits = np.zeros(len(looks.order))
    late = orders.late[looks.order]
    # Of a delivered order that stands for many, one label is one label.
    weights = orders.weight[looks.order] / orders.weight.max() / MOST_DAYS * 1.5
    arrived = Queue(np.where(np.isnan(orders.handed), np.nan, orders.delivered))
    known, asked = Queue(looks.known_at), Queue(looks.at)
    for day in days_of(orders):
        features.learn(arrived.before(day), day)
        told = known.before(day)
        told = told[looks.at[told] < day]
        model.learn_many(rows[told], late[told], weights[told])
        model.fold(float(day))
        now = asked.before(day + 1)
        if len(now):
            rows[now] = features.of(looks.order[now], looks.days_left[now], looks.at[now])
            logits[now] = model.logits_many(rows[now])
    return Scored(rows, logits)


class Queue:
    """Places in the order of their times, each taken once; NaN is never."""

    def __init__(self, times: Floats) -> None:
        self._order = np.argsort(times, kind="stable")
        self._times = times[self._order]
        self._taken = 0

    def before(self, day: float) -> Index:
        """Return the places whose time is before `day` and that were not taken yet."""
        first, self._taken = self._taken, int(np.searchsorted(self._times, day, side="left"))
        return self._order[first : self._taken]


def days_of(orders: Orders) -> range:
    """Return the days from the first label until all promises are over."""
    return range(int(np.floor(orders.labelled.min())), int(np.nanmax(orders.promised)) + 2)


def _committee(name: str) -> ContextQuantiles:
    return ContextQuantiles(
        chains=CHAINS,
        levels=(0.5, 0.9),
        priors=_PRIORS,
        half_lives_days=_HALF_LIVES,
        name=name,
    )


def _half(model: ContextQuantiles, codes: Index) -> Floats:
    """Return what half of the times of a lane are longer than, days."""
    return model.quantiles_many(codes)[:, 0] / DAY


def _log_odds_longer(model: ContextQuantiles, codes: Index, spans: Floats) -> Floats:
    """Return log-odds that a time is longer than the second span, being longer than the first."""
    longer = model.survival_many(codes, spans)
    chance = np.clip((longer[:, 1] + 0.002) / (longer[:, 0] + 0.004), 0.002, 0.998)
    odds: Floats = np.log(chance / (1 - chance))
    return odds


def _working_days(at: Floats, days_left: Index) -> Floats:
    """Return how many of the days from `at` on are Mondays to Fridays."""
    days = np.arange(MOST_DAYS)
    weekday = (np.floor(at).astype(np.int64)[:, None] + 3 + days) % 7
    counts: Floats = ((weekday < 5) & (days < days_left[:, None])).sum(axis=1).astype(np.float64)
    return counts

"""What others say of late orders: rules of thumb, survival on the lane, gradient boosting.

Scores like log-odds, so that all of them can be held to the same budget.
"""

from typing import Final

import lightgbm  # type: ignore[import-untyped, import-not-found, unused-ignore]
import numpy as np

from benchmarks.stalls.event_log import Floats, Index
from benchmarks.stalls.order_data import Orders
from benchmarks.stalls.orders import Looks, Queue, days_of

_MONTH_DAYS: Final = 30
_LEAST_LABELS: Final = 200
_SPANS, _SPAN_DAYS = 480, 0.25
_DAYS: Final = 4.0
"""So many days count as much as a log-odds of 1, in rules of thumb."""


def anchors(orders: Orders, looks: Looks) -> dict[str, Floats]:
    """Return the scores of each anchor for every look."""
    return {
        "slack rule": slack(orders, looks),
        "fixed days": fixed_days(orders, looks),
        "lane survival": lane_survival(orders, looks),
        "LightGBM, refitted monthly": boosting(orders, looks),
    }


def fixed_days(orders: Orders, looks: Looks) -> Floats:
    """Score by the days since the label."""
    age: Floats = looks.at - orders.labelled[looks.order]
    return (age - 20.0) / _DAYS


def slack(orders: Orders, looks: Looks) -> Floats:
    """Score by how much the mean time to its destination goes beyond the promise."""
    places = {place: number for number, place in enumerate(dict.fromkeys(orders.destination))}
    place = np.array([places[each] for each in orders.destination])
    sums, seen = np.zeros(len(places) + 1), np.full(len(places) + 1, 1e-9)
    arrived, asked = Queue(orders.delivered), Queue(looks.at)
    whole = orders.delivered - orders.labelled
    scores = np.zeros(len(looks.order))
    for day in days_of(orders):
        new = arrived.before(day)
        for where in (place[new], np.full(len(new), len(places))):
            np.add.at(sums, where, whole[new])
            np.add.at(seen, where, 1.0)
        now = asked.before(day + 1)
        order = looks.order[now]
        mean = (sums[place[order]] + 10 * sums[-1] / seen[-1]) / (seen[place[order]] + 10)
        scores[now] = (orders.labelled[order] + mean - orders.promised[order]) / _DAYS
    return scores


def lane_survival(orders: Orders, looks: Looks) -> Floats:
    """Score by the share of the lane's orders as old as this one that took beyond its promise."""
    lanes = list(zip(orders.origin, orders.destination, strict=True))
    numbers = {lane: number for number, lane in enumerate(dict.fromkeys(lanes))}
    lane = np.array([numbers[each] for each in lanes])
    spans = np.floor((orders.delivered - orders.labelled) / _SPAN_DAYS)
    counts = np.zeros((len(numbers), _SPANS))
    ends = (np.arange(_SPANS) + 1) * _SPAN_DAYS
    scores, arrived, asked = np.zeros(len(looks.order)), Queue(orders.delivered), Queue(looks.at)
    for day in days_of(orders):
        new = arrived.before(day)
        np.add.at(counts, (lane[new], np.clip(spans[new], 0, _SPANS - 1).astype(np.int64)), 1.0)
        now = asked.before(day + 1)
        if len(now):
            order = looks.order[now]
            age = (looks.at[now] - orders.labelled[order])[:, None]
            least = (orders.promised[order] - orders.labelled[order])[:, None]
            past, same = counts.sum(axis=0), counts[lane[order]]
            share = ((past * (ends > least)).sum(axis=1) + 0.5) / (
                (past * (ends > age)).sum(axis=1) + 1.0
            )
            longer, older = ((same * (ends > than)).sum(axis=1) for than in (least, age))
            chance = (longer + 10 * share) / (older + 10)
            scores[now] = np.log(chance / (1 - chance + 1e-9))
    return np.clip(scores, -8.9, 8.9)


def boosting(orders: Orders, looks: Looks) -> Floats:
    """Score by gradient boosting of what is known of an order, refitted every 30 days."""
    features = _features(orders, looks)
    late = orders.late[looks.order]
    scores = np.full(len(looks.order), -8.0)
    last = float(looks.at.max())
    start = float(looks.at.min())
    while start <= last:
        stop = start + _MONTH_DAYS
        now = np.flatnonzero((looks.at >= start) & (looks.at < stop))
        told = np.flatnonzero((looks.known_at < start) & (looks.at < start))
        if len(now) and len(told) >= _LEAST_LABELS and 0 < late[told].sum() < len(told):
            model = lightgbm.train(
                {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1},
                lightgbm.Dataset(
                    features[told],
                    late[told],
                    weight=orders.weight[looks.order[told]],
                    categorical_feature=[0, 1],
                ),
                100,
            )
            chance = np.clip(np.asarray(model.predict(features[now])), 1e-4, 1 - 1e-4)
            scores[now] = np.log(chance / (1 - chance))
        start = stop
    return scores


def _features(orders: Orders, looks: Looks) -> Floats:
    order = looks.order
    handed = orders.handed[order] <= looks.at
    return np.column_stack([
        _numbers(orders.origin)[order],
        _numbers(orders.destination)[order],
        looks.days_left,
        looks.at - orders.labelled[order],
        np.where(handed, looks.at - orders.handed[order], -1.0),
        orders.promised[order] - orders.labelled[order],
        np.where(handed, orders.handed[order] - orders.labelled[order], -1.0),
        looks.at - orders.ship_by[order],
        (np.floor(looks.at) + 3) % 7,
        (np.floor(looks.at) % 365.25) // 30.4,
    ])  # fmt: skip


def _numbers(names: list[str]) -> Index:
    places = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names])

"""Flags of late orders under one budget, and what they are worth."""

from typing import Any, Final

import numpy as np

from benchmarks.stalls.event_log import Floats, Mask
from benchmarks.stalls.order_data import Orders
from benchmarks.stalls.orders import Looks, Queue, days_of
from detectors.flag_budget import FlagBudget

SHARE: Final = 0.05
DAYS_BEFORE: Final = (3, 5, 7)
_RESAMPLES: Final = 1000


def flagged(orders: Orders, looks: Looks, scores: Floats, days_left: int) -> Mask:
    """Tell which orders are flagged `days_left` days before their promise, shape (orders,).

    An order is a case of the budget from when it was to be decided and had been handed over.
    """
    budget = FlagBudget(share=SHARE)
    decided_at = orders.promised - days_left
    at = np.flatnonzero(looks.days_left == days_left)
    score = np.full(len(decided_at), np.nan)
    score[looks.order[at]] = scores[at]
    flags = np.zeros(len(decided_at), np.bool_)
    asked, settled = Queue(decided_at), Queue(np.maximum(decided_at, orders.handed))
    for day in days_of(orders):
        now = asked.before(day + 1)
        flags[now] = budget.decide_many(score[now])
        done = settled.before(day + 1)
        budget.settle_many(score[done], flags[done], orders.weight[done])
        budget.fold(float(day))
    return flags


def best(orders: Orders, looks: Looks, scores: Floats, days_left: int, judged: Mask) -> Mask:
    """Flag the orders with the highest scores until the share is used up, as if all were known."""
    at = np.flatnonzero((looks.days_left == days_left) & judged[looks.order])
    order = looks.order[at][np.argsort(-scores[at], kind="stable")]
    flags = np.zeros(len(judged), np.bool_)
    used = np.cumsum(orders.weight[order])
    flags[order[used <= SHARE * orders.weight[judged].sum()]] = True
    return flags


def worth(orders: Orders, flags: Mask, judged: Mask) -> dict[str, Any]:
    """Return precision, recall and the realised share of flags among the orders judged."""
    weight = orders.weight
    late, flags = orders.late & judged, flags & judged
    found, all_flags = weight[late & flags].sum(), weight[flags].sum()
    return {
        "flagged": _share(all_flags, weight[judged].sum()),
        "precision": _share(found, all_flags),
        "recall": _share(found, weight[late].sum()),
    }


def difference(
    orders: Orders, ours: Mask, theirs: Mask, judged: Mask, seed: int = 1
) -> dict[str, float]:
    """Return our recall less theirs, over resamples of the orders that were late."""
    late = np.flatnonzero(orders.late & judged)
    if len(late) == 0:
        return {}
    rng = np.random.default_rng(seed)
    weight = orders.weight[late]
    gain = (ours[late].astype(np.float64) - theirs[late]) * weight
    drawn = rng.integers(0, len(late), (_RESAMPLES, len(late)))
    differences = gain[drawn].sum(axis=1) / weight[drawn].sum(axis=1)
    low, high = np.quantile(differences, (0.05, 0.95)).tolist()
    return {
        "recall_more": round(float(gain.sum() / weight.sum()), 4),
        "p05": round(low, 4),
        "p95": round(high, 4),
        "never_worse": round(float((differences >= 0).mean()), 3),
    }


def table(
    orders: Orders, looks: Looks, scores: dict[str, Floats], judged: Mask, against: str
) -> dict[str, Any]:
    """Return the figures of every row at every number of days, online and in hindsight."""
    rows: dict[str, Any] = {name: {} for name in scores}
    first = next(iter(scores))
    for days in DAYS_BEFORE:
        flags = {name: flagged(orders, looks, each, days) for name, each in scores.items()}
        ideal = {name: best(orders, looks, each, days, judged) for name, each in scores.items()}
        for name in scores:
            rows[name][str(days)] = {
                **worth(orders, flags[name], judged),
                "in_hindsight": worth(orders, ideal[name], judged),
            }
        rows[first][str(days)][f"against {against}"] = {
            "online": difference(orders, flags[first], flags[against], judged),
            "in_hindsight": difference(orders, ideal[first], ideal[against], judged),
        }
        never = np.isnan(orders.handed) & flags[first]
        rows[first][str(days)]["flagged_never_handed_over"] = int(never.sum())
    return rows


def handed_only(orders: Orders, looks: Looks, scores: Floats) -> Floats:
    """Return scores with which no order is flagged before it was handed over."""
    handed = orders.handed[looks.order] <= looks.at
    told: Floats = np.where(handed, scores, -9.0)
    return told


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole else None

"""When orders will arrive: p50 and p90 from the handover on, calibrated online."""

from typing import Any, Final

import numpy as np

from benchmarks.stalls.event_log import Floats, Index, Mask
from benchmarks.stalls.forecast import Forecast
from benchmarks.stalls.order_data import DAY, Orders
from benchmarks.stalls.orders import CHAINS
from detectors.calibration import CURVE, ConformalQuantiles
from detectors.contexts import ContextQuantiles

LEVELS: Final = (0.5, 0.9)
_RATE: Final = 0.01
"""Faster than for dwells: parcels are fewer, and each waits for a week or two."""


def arrivals(orders: Orders, judged: Mask) -> dict[str, Any]:
    """Return how many arrivals lie before p50, between p50 and p90, and after."""
    forecast, order = _forecast(orders)
    forecast.run()
    arrived = judged[order] & np.isfinite(forecast.ended)
    seconds = (forecast.ended - forecast.began)[arrived, None]
    told = {
        "in force when passed or arrived": (forecast.beyond[arrived], forecast.in_force[arrived]),
        "made at the handover": (
            seconds > forecast.at_first[arrived],
            forecast.at_first[arrived],
        ),
        "made at the handover, uncalibrated": _uncalibrated(forecast, arrived, seconds),
    }
    return {name: _shares(beyond, quantiles) for name, (beyond, quantiles) in told.items()}


def _forecast(orders: Orders) -> tuple[Forecast, Index]:
    order = np.flatnonzero(~np.isnan(orders.handed))
    order = order[np.argsort(orders.handed[order], kind="stable")]
    committee = ContextQuantiles(chains=CHAINS, levels=CURVE, priors=(4.0, 16.0))
    forecast = Forecast(
        orders.handed[order] * DAY,
        np.where(np.isnan(orders.delivered[order]), np.inf, orders.delivered[order]) * DAY,
        [(orders.destination[each], orders.origin[each]) for each in order.tolist()],
        [orders.destination[each] for each in order.tolist()],
        committee,
        ConformalQuantiles(levels=LEVELS, rate=_RATE),
    )
    return forecast, order


def _uncalibrated(forecast: Forecast, arrived: Mask, seconds: Floats) -> tuple[Mask, Floats]:
    quantiles = forecast.predicted[arrived][:, [CURVE.index(level) for level in LEVELS]]
    return seconds > quantiles, quantiles


def _shares(beyond: Mask, quantiles: Floats) -> dict[str, Any]:
    count = len(beyond)
    between = beyond[:, 0] & ~beyond[:, 1]
    return {
        "arrivals": count,
        "before_p50": round(float((~beyond[:, 0]).mean()), 4) if count else 0.0,
        "p50_to_p90": round(float(between.mean()), 4) if count else 0.0,
        "after_p90": round(float(beyond[:, 1].mean()), 4) if count else 0.0,
        "median_p50_days": round(float(np.median(quantiles[:, 0])) / DAY, 2) if count else 0.0,
    }

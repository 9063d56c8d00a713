"""Dwells of real processes: whether predicted quantiles are passed as often as they say.

What is known of a dwell when it begins are its stage, the two before it and the hours of the day.
"""

from typing import Any, Final

from benchmarks.stalls.event_log import Floats, Log
from benchmarks.stalls.exceedance import LEVELS, judged
from benchmarks.stalls.forecast import Forecast
from detectors.calibration import CURVE, ConformalQuantiles
from detectors.contexts import ContextQuantiles

CHAINS: Final = (
    ("stage", "before"),
    ("stage", "before", "hours"),
    ("stage", "before", "earlier"),
)
_DAY: Final = 86_400.0
_YEARS: Final = 3650.0


def forecast_of(log: Log) -> Forecast:
    """Return the product's detectors, to be driven over a log."""
    committee = ContextQuantiles(chains=CHAINS, levels=CURVE)
    return Forecast(
        log.began,
        log.ended,
        _contexts(log, committee),
        [log.names[stage] for stage in log.stage],
        committee,
        ConformalQuantiles(levels=LEVELS, half_life_days=_YEARS),
    )


def ours(log: Log) -> dict[str, Any]:
    """Return the figures of the product's detectors on a log."""
    forecast = forecast_of(log)
    forecast.run()
    return {
        "forewarn": judged(log, forecast.in_force, forecast.beyond),
        "forewarn, made when it began": judged(log, forecast.at_first),
        "forewarn, uncalibrated": judged(
            log, forecast.predicted[:, [CURVE.index(level) for level in LEVELS]]
        ),
    }


def _contexts(log: Log, committee: ContextQuantiles) -> list[tuple[str, ...]]:
    """Return the features of each dwell, in the committee's order."""
    names = [*log.names, ""]
    assert committee.features == ("stage", "before", "hours", "earlier")
    return [
        (names[stage], names[before], hours, names[earlier])
        for stage, before, hours, earlier in zip(
            log.stage, log.before, _hours(log.began), log.earlier, strict=True
        )
    ]


def _hours(began: Floats) -> list[str]:
    """Return the four hours of a working day in which a dwell begins, or the weekend."""
    weekday = (began // _DAY + 3) % 7
    hours = began % _DAY // (4 * 3600)
    return [
        "weekend" if day >= 5 else str(hour)
        for day, hour in zip(weekday.tolist(), map(int, hours.tolist()), strict=True)
    ]

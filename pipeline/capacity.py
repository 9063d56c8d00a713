"""How full a task's state is: a bound that is told of before it is reached.

A core takes no more parcels or customers than its configuration says; what is beyond goes to the
dead letters (`too_many_parcels`, `too_many_customers`), so that memory has a bound. Whoever watches
should know long before: the share used is a metric with an alert, and crossing `WARN_SHARE` is a
warning in the log.
"""

from typing import Final

import structlog

from configs.load import Config
from pipeline import metrics
from pipeline.task import Input

WARN_SHARE: Final = 0.8
QUIET_SHARE: Final = 0.7
"""Below this a next crossing is told of again."""
_log = structlog.get_logger(__name__)


def limits(config: Config) -> dict[Input, int]:
    """Return the most parcels and customers a task may remember."""
    return {
        Input.TRACKING: config.parcels.max_parcels,
        Input.COMPLAINTS: config.complaints.max_customers,
    }


class Capacity:
    """Watches the rows of one partition's cores.

    Parameters
    ----------
    partition
        Which task.
    limits
        Most rows of each core.
    """

    def __init__(self, partition: int, limits: dict[Input, int]) -> None:
        self._partition = partition
        self._limits = limits
        self._warned: set[Input] = set()
        for source, limit in limits.items():
            metrics.STATE_LIMIT_ROWS.labels(source).set(limit)

    def note(self, source: Input, rows: int) -> None:
        """Take the number of rows of the core behind an input."""
        limit = self._limits.get(source)
        if limit is None:
            return
        share = rows / limit
        metrics.STATE_USED_RATIO.labels(str(self._partition), source).set(share)
        if share < QUIET_SHARE:
            self._warned.discard(source)
        elif share >= WARN_SHARE and source not in self._warned:
            self._warned.add(source)
            _log.warning(
                "state is nearly full",
                partition=self._partition,
                input=str(source),
                rows=rows,
                limit=limit,
                then="further ones go to the dead letters",
            )

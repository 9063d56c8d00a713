"""How time comes to a partition that has nothing to read.

`broker` (live): a partition that is caught up follows the broker's time, less `idle_seconds` for
records that are still on their way.
`data` (demos and replays of the past): a partition that has been caught up and quiet for
`idle_seconds` follows the largest clock any source has reported, once that report is
`idle_seconds` old; the reports travel through the notices topic.

Either way only `advance(now)` with a `now` up to the next arrival is promised not to change a
later outcome; the waiting is what makes that so. Time is passed in: `at` is a monotonic clock of
this process, `wall` is seconds since the epoch.
"""

import math
from collections import deque
from typing import NamedTuple

import msgspec

from pipeline.settings import Clock

GOSSIP_SECONDS = 1.0
"""A task reports flow's clock at most this often."""


class Tick(NamedTuple):
    """A quiet partition of an input, looked at once."""

    lag_records: int | None
    """Records between what was delivered and the end of the log; None when unknown."""
    quiet_seconds: float
    """For how long nothing has come."""
    begin: int | None = None
    """Every record before this offset was delivered; None when unknown."""

    @property
    def caught_up(self) -> bool:
        """Tell whether everything in the log has been delivered."""
        return self.lag_records == 0


class Notice(msgspec.Struct, frozen=True):
    """What flow tells every partition; `clock` is in seconds since the epoch."""

    clock: float


class IdleClock:
    """What time it is in a quiet partition.

    Examples
    --------
    >>> clock = IdleClock(Clock.DATA, idle_seconds=5)
    >>> clock.hear(1_700_000_000.0, at=10)
    >>> quiet = Tick(lag_records=0, quiet_seconds=6)
    >>> clock.now(quiet, at=14, wall=0) is None
    True
    >>> clock.now(quiet, at=15, wall=0)
    1700000000.0
    """

    def __init__(self, mode: Clock, idle_seconds: float) -> None:
        self._mode = mode
        self._idle_seconds = idle_seconds
        self._heard: deque[tuple[float, float]] = deque()
        self._ripe: float | None = None

    def hear(self, clock: float, at: float) -> None:
        """Take a notice; one that is not ahead of the last is nothing new."""
        if not self._heard or clock > self._heard[-1][1]:
            self._heard.append((at, clock))

    def now(self, tick: Tick, at: float, wall: float) -> float | None:
        """Return the time a quiet partition may advance to, None for no opinion."""
        if not tick.caught_up:
            return None
        if self._mode is Clock.BROKER:
            return wall - self._idle_seconds
        while self._heard and at - self._heard[0][0] >= self._idle_seconds:
            self._ripe = self._heard.popleft()[1]
        return self._ripe if tick.quiet_seconds >= self._idle_seconds else None


class Gossip:
    """When a task has a clock to tell the others."""

    def __init__(self, mode: Clock) -> None:
        self._silent = mode is Clock.BROKER
        self._known = -math.inf
        self._sent_at = -math.inf

    def hear(self, clock: float) -> None:
        """Take a notice of another task: what it said need not be said again."""
        self._known = max(self._known, clock)

    def due(self, latest: float, at: float) -> Notice | None:
        """Return the notice to write now, if any; it counts as written."""
        if self._silent or latest <= self._known or at - self._sent_at < GOSSIP_SECONDS:
            return None
        self._known, self._sent_at = latest, at
        return Notice(latest)

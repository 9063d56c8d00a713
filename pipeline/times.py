"""Where the time of a deliver process comes from.

This machine's clock may be wrong by an hour; quiet hours and signatures must not follow it. So
every process learns, from the Redis they share, how far it is ahead.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic


def _wall() -> datetime:
    return datetime.now(UTC)


class Times:
    """The clocks of a process.

    Parameters
    ----------
    now
        This machine's wall clock.
    monotonic
        Seconds that only grow; for back-off.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = _wall,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self.now, self.monotonic = now, monotonic
        self._ahead = timedelta(0)

    def learn(self, shared: datetime) -> None:
        """Note what the clock that all processes share says now."""
        self._ahead = self.now() - shared

    def shared(self) -> datetime:
        """Return the time by the clock that all processes share, as far as it is known."""
        return self.now() - self._ahead

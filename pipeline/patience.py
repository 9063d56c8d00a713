"""How long failures are waited out: the published schedule of retries.

The default is that of Standard Webhooks: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h,
14 h, 20 h and 24 h. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/
"""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

STANDARD_SECONDS: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Waits before the second, third, … attempt."""
_SPREAD: Final = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are waited out."""

    schedule_seconds: tuple[float, ...] = STANDARD_SECONDS
    """Wait after the first, second, … attempt; one more attempt than there are waits."""
    redis_seconds: float = 0.5
    """Between two looks at a Redis that is not ready."""
    lease_seconds: float = 20.0
    """A frozen process that wakes up later than this asks for its ownership before it sends."""

    @property
    def attempts(self) -> int:
        """How often the other side is asked before a person is."""
        return len(self.schedule_seconds) + 1

    def wait_seconds(self, key: str, attempts: int, asked_for: float | None) -> float:
        """Return the wait after so many attempts, spread by a hash of the key.

        Never less than the other side asked for (Retry-After).

        Examples
        --------
        >>> 5.0 <= Patience().wait_seconds("rem_1", 1, None) <= 6.25
        True
        >>> Patience().wait_seconds("rem_1", 1, 60.0)
        60.0
        """
        plain = self.schedule_seconds[min(attempts, len(self.schedule_seconds)) - 1]
        spread = crc32(f"{key}/{attempts}".encode()) / 2**32
        return max(plain * (1 + spread * _SPREAD), asked_for or 0.0)


STANDARD: Final = Patience()

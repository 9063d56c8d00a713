"""How many webhooks a source may send: a token bucket."""


class Bucket:
    """Allows `burst` at once and `per_second` over a longer time.

    Parameters
    ----------
    per_second
        How fast it fills.
    burst
        How much it holds.

    Examples
    --------
    >>> bucket = Bucket(per_second=2.0, burst=1)
    >>> bucket.wait(at=10.0), bucket.wait(at=10.0), bucket.wait(at=10.5)
    (0.0, 0.5, 0.0)
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self._burst = per_second, float(burst)
        self._level = float(burst)
        self._at: float | None = None

    def wait(self, at: float) -> float:
        """Take one token and return 0, or return the seconds until there is one.

        `at` is of a clock that does not go back.
        """
        if self._at is not None:
            gained = (at - self._at) * self._per_second
            self._level = min(self._burst, self._level + gained)
        self._at = at
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._per_second

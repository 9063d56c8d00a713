"""What a treatment does, with an interval that holds at every look.

Customers are held out at random with a known share, so each one's contribution

    m1 - m0 + T (Y - m1) / p - (1 - T) (Y - m0) / (1 - p)

has the effect as its expectation, whatever came before: T says whether the customer was treated
(with probability p), Y is the outcome, m1 and m0 are the means of earlier customers of each arm
(they only take variance away). The mean of the contributions therefore has a confidence *sequence*:
the interval below covers the effect at all times at once with the stated probability, so looking
every day, and stopping when one likes what one sees, does no harm.

References
----------
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic
confidence sequences. Annals of Statistics 52 (2024): theorem 2.2 (the boundary, a Gaussian mixture
after Robbins 1970), section 3 (randomised experiments). It is asymptotic: before `LEAST`
customers of each arm, `LEAST_EVENTS` of them with an outcome, there is no interval.
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

LEAST: Final = 100
"""Customers of each arm before there is an opinion."""
LEAST_EVENTS: Final = 40
"""Customers of each arm whose outcome is not 0: a mean of rarer ones is far from normal."""
_SHARPEST_AT: Final = 5000
"""The number of customers at which the interval is tightest compared with others of its kind."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its confidence sequence."""

    estimate: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Whether a value is within."""
        return self.low <= value <= self.high


@dataclass(slots=True)
class Comparison:
    """The effect on one outcome, customer by customer in the order their outcomes are known.

    Parameters
    ----------
    treated_share
        p: the probability that a customer is treated.

    Examples
    --------
    >>> both = Comparison(treated_share=0.5)
    >>> for n in range(4000):
    ...     both.add(treated=n % 2 == 0, outcome=float(n % 4 == 0 or n % 10 == 1))
    >>> found = both.interval(confidence=0.95)
    >>> round(found.estimate, 2), found.low > 0
    (0.3, True)
    """

    treated_share: float
    treated: int = 0
    held_out: int = 0
    treated_sum: float = 0.0
    held_out_sum: float = 0.0
    treated_events: int = 0
    """Treated customers whose outcome was not 0."""
    held_out_events: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, *, treated: bool, outcome: float) -> None:
        """Take one customer in."""
        m1 = self.treated_sum / self.treated if self.treated else 0.0
        m0 = self.held_out_sum / self.held_out if self.held_out else 0.0
        if treated:
            found = m1 - m0 + (outcome - m1) / self.treated_share
            self.treated += 1
            self.treated_sum += outcome
            self.treated_events += outcome != 0
        else:
            found = m1 - m0 - (outcome - m0) / (1 - self.treated_share)
            self.held_out += 1
            self.held_out_sum += outcome
            self.held_out_events += outcome != 0
        before = found - self._mean
        self._mean += before / (self.treated + self.held_out)
        self._squares += before * (found - self._mean)

    @property
    def enough(self) -> bool:
        """Whether sums of both arms are near enough to a normal law."""
        arms = ((self.treated, self.treated_events), (self.held_out, self.held_out_events))
        return all(count >= LEAST and (events >= LEAST_EVENTS) for count, events in arms)

    def interval(self, confidence: float) -> Interval | None:
        """Return the effect a customer (treated minus not); None before there is enough."""
        if not self.enough:
            return None
        count = self.treated + self.held_out
        half = sqrt(self._squares / count) * boundary(count, 1 - confidence)
        return Interval(self._mean, self._mean - half, self._mean + half)


def boundary(count: int, error: float) -> float:
    """Return half the width in standard deviations after so many customers.

    Examples
    --------
    >>> [round(boundary(n, 0.05) * n**0.5, 2) for n in (1000, 10_000, 1_000_000)]
    [3.36, 3.06, 3.66]
    """
    wanted = -2 * log(error)
    rho2 = (wanted + log(wanted + 1)) / _SHARPEST_AT
    grown = count * rho2 + 1
    return sqrt(2 * grown / (count**2 * rho2) * log(sqrt(grown) / error))

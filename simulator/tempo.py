"""How fast a world works at a moment: its season, and what is slower than it was."""

from collections.abc import Sequence

import numpy as np

from simulator.calendars import Hours
from simulator.incidents import SlowDown
from simulator.journey import Step
from simulator.parcels import Index, Parcels
from simulator.world import World


class Tempo:
    """Factor on the dwell of each step by when it begins.

    Parameters
    ----------
    world
        Its season is a sine of 50 to 110 days, other for each carrier.
    parcels
        Whose steps are asked about.
    slow_downs
        Those in force; without any, the season alone.
    """

    def __init__(self, world: World, parcels: Parcels, slow_downs: Sequence[SlowDown]) -> None:
        rng = world.generator("season")
        carriers = len(world.carriers)
        self._depth = world.traits.season
        self._days, self._phase = rng.uniform(50, 110, carriers), rng.uniform(0, 6.28, carriers)
        self._parcels, self._slow_downs = parcels, slow_downs

    def stretch(self, step: Step, who: Index, at: Hours) -> Hours:
        """Return the factor on the usual time of a step that begins at `at`."""
        carrier = self._parcels.carrier[who]
        factor = np.ones(len(who))
        if self._depth:
            with np.errstate(invalid="ignore"):
                turn = at / 24 / self._days[carrier] * 2 * np.pi + self._phase[carrier]
            factor += self._depth * np.nan_to_num(np.sin(np.where(np.isfinite(turn), turn, 0.0)))
        for slow in self._slow_downs:
            met = (at >= slow.began) & (at < slow.ended)
            for wanted, has in (
                (slow.carrier, carrier),
                (slow.origin, self._parcels.origin[who]),
                (slow.destination, self._parcels.destination[who]),
                (slow.region, step.region[who]),
            ):
                if wanted >= 0:
                    met &= has == wanted
            factor[met] *= slow.factor
        return factor

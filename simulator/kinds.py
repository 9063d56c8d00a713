"""The kinds of worlds: what each has that the others have not (docs/worlds.md has the table)."""

from enum import StrEnum
from typing import Final

import msgspec


class WorldKind(StrEnum):
    """Which family a world is drawn from."""

    DEMO = "demo"
    SIMPLE = "simple"
    HARD = "hard"
    SCHEDULED = "scheduled"
    POOLED = "pooled"
    SLOWING = "slowing"


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What the worlds of a kind have in common."""

    most_regions: int = 40
    most_carriers: int = 8
    round_the_clock: bool = False
    """No opening hours: only days off, and those are Sundays."""
    skips_departed: float = 0.4
    """Share of `departed` scans that some carriers never make."""
    lost_scans: float = 0.01
    uploads: bool = True
    """Some carriers upload every few hours."""
    season: float = 0.0
    """How far the speed drifts around its mean, as a share."""
    newcomers: bool = False
    """A carrier and an origin start midway."""
    slowed_carrier: bool = False
    """One carrier becomes slower for good."""
    holiday: bool = False
    closed_region: bool = False
    """A region rests for some days."""
    lossy_feed: bool = False
    slow_downs: bool = False
    time_zones: int = 1
    nameless: bool = False
    """One carrier gives no facility, another one no region."""


TRAITS: Final[dict[WorldKind, Traits]] = {
    WorldKind.DEMO: Traits(),
    WorldKind.SIMPLE: Traits(
        round_the_clock=True, skips_departed=0.0, lost_scans=0.0, uploads=False
    ),
    WorldKind.HARD: Traits(
        season=0.12, newcomers=True, slowed_carrier=True, holiday=True, lossy_feed=True
    ),
    WorldKind.SCHEDULED: Traits(
        skips_departed=0.0, lost_scans=0.005, uploads=False, time_zones=4, nameless=True
    ),
    WorldKind.POOLED: Traits(skips_departed=0.15, season=0.05, closed_region=True),
    WorldKind.SLOWING: Traits(most_regions=12, most_carriers=4, slow_downs=True),
}

"""One world of the family: carriers, regions, hubs and habits, drawn from a seed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from simulator.calendars import Work, WorkingCalendar, open_week
from simulator.kinds import TRAITS, Traits, WorldKind

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday, 0 h."""
HORIZON_AFTER_DAYS: Final = 60
"""How far beyond its last day a world is computed (nothing of that is written)."""

_CARRIERS = ("swift", "harbor", "comet", "lotus", "meridian", "redline", "summit", "tidal")
_REGIONS = (
    "Guangdong", "Zhejiang", "Jiangsu", "Shandong", "Henan", "Sichuan", "Hubei", "Fujian",
    "Hunan", "Anhui", "Hebei", "Shanghai", "Beijing", "Liaoning", "Shaanxi", "Jiangxi",
    "Chongqing", "Yunnan", "Guangxi", "Guizhou", "Shanxi", "Tianjin", "Heilongjiang", "Jilin",
    "Inner-Mongolia", "Xinjiang", "Gansu", "Hainan", "Ningxia", "Qinghai", "Tibet", "Shenzhen",
    "Ningbo", "Qingdao", "Dalian", "Xiamen", "Suzhou", "Wuxi", "Foshan", "Dongguan",
)  # fmt: skip


class Region(msgspec.Struct, frozen=True):
    """A region, its place on the map and its share of customers."""

    name: str
    x_km: float
    y_km: float
    share: float
    utc_hours: int = 0
    """How far its clocks are ahead of UTC."""
    opens_hours: float = 0.0
    """Nothing is sent from here before this time."""


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier: how fast it is, when it works and how it scans."""

    name: str
    share: float
    slowness: float
    """Factor on every dwell; 1 is usual."""
    days_off: tuple[int, ...]
    """Days of the week without work, Monday = 0."""
    hubs: tuple[int, ...]
    """Indices of the regions with a hub; the first is the central one."""
    upload_hours: float
    """Scans are uploaded every so many hours; 0 = one by one."""
    report_minutes: float
    """Mean lag of a scan that is sent on its own."""
    skips_departed: float
    """Share of `departed` scans never made."""
    opens_hours: float = 0.0
    """It carries nothing that is ordered before this time."""
    names_facilities: bool = True
    names_regions: bool = True


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """Dwells and their spread, in working hours, and what is lost or doubled."""

    median_hours: dict[str, float]
    sigma: dict[str, float]
    """Standard deviation of the log of a dwell, by step."""
    km_an_hour: float
    lane_sigma: float
    facility_sigma: float
    customs_share: float
    promise_share: float
    promise_slack: float
    """Promised time = slack x the time a lane usually takes."""
    retry_share: float
    """Share of first delivery attempts that fail."""
    complaints_a_parcel: float
    """Background complaints for each parcel."""
    lost_scans: float = 0.01
    duplicates: float = 0.03
    late_scans: float = 0.02
    """Share of scans that arrive hours late, and therefore out of order."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a seed decides before the first parcel is made."""

    seed: int
    parcels: int
    days: int
    start: datetime
    """A Monday, 0 h; hours of the world count from it."""
    carriers: tuple[Carrier, ...]
    regions: tuple[Region, ...]
    habits: Habits
    kind: WorldKind = WorldKind.DEMO

    @property
    def traits(self) -> Traits:
        """Return what the worlds of its kind have in common."""
        return TRAITS[self.kind]

    @property
    def horizon_hours(self) -> int:
        """Return the hours that are computed; what would end later ends never."""
        return (self.days + HORIZON_AFTER_DAYS) * 24

    @property
    def learning_hours(self) -> float:
        """Return the hours before anything is planted: half the world, at most 24 days."""
        return min(24.0 * 24, self.days * 12.0)

    @property
    def end_hours(self) -> float:
        """Return the hours after which nothing is written."""
        return self.days * 24.0

    def moment(self, hours: float) -> datetime:
        """Turn hours of the world into a time, to the second."""
        return self.start + timedelta(seconds=round(hours * 3600))

    def calendars(self) -> dict[tuple[int, Work], WorkingCalendar]:
        """Return the working calendar of each carrier and kind of work."""
        always = self.traits.round_the_clock
        return {
            (number, work): WorkingCalendar(
                open_week(work, carrier.days_off, round_the_clock=always), self.horizon_hours
            )
            for number, carrier in enumerate(self.carriers)
            for work in Work
        }

    def generator(self, purpose: str) -> np.random.Generator:
        """Return the world's own stream of random numbers for one purpose."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def distances_km(self) -> NDArray[np.float64]:
        """Return the distances between regions, shape (regions, regions)."""
        place = np.array([(region.x_km, region.y_km) for region in self.regions])
        gap = place[:, None, :] - place[None, :, :]
        distance: NDArray[np.float64] = np.hypot(gap[..., 0], gap[..., 1])
        return distance


def draw_world(
    parcels: int,
    days: int,
    seed: int,
    start: datetime = START,
    kind: WorldKind = WorldKind.DEMO,
) -> World:
    """Draw a world of a kind; few parcels get fewer carriers and regions."""
    if parcels < 1 or days < 1 or seed < 0:
        raise ValueError("a world needs at least one parcel and one day, and a seed from 0 on")
    if start.weekday() or start != start.replace(hour=0, minute=0, second=0, microsecond=0):
        raise ValueError("a world starts on a Monday at midnight")
    traits = TRAITS[kind]
    own = () if kind is WorldKind.DEMO else tuple(kind.encode())
    rng = np.random.default_rng([seed, parcels, days, *own])
    most_regions = int(np.clip(parcels // 400, 10, traits.most_regions))
    regions = _draw_regions(rng, int(rng.integers(10, most_regions + 1)))
    most_carriers = int(np.clip(parcels // 1000, 3, traits.most_carriers))
    carriers = _draw_carriers(rng, int(rng.integers(3, most_carriers + 1)), len(regions), traits)
    world = World(
        seed=seed,
        parcels=parcels,
        days=days,
        start=start,
        carriers=carriers,
        regions=regions,
        habits=_draw_habits(rng, traits),
        kind=kind,
    )
    return _with_places_in_time(_with_newcomers(world, rng), traits)


def _with_newcomers(world: World, rng: np.random.Generator) -> World:
    """Let the smallest carrier and two origins start midway."""
    if not world.traits.newcomers:
        return world
    first, last = world.learning_hours, 0.6 * world.end_hours
    carriers, regions = list(world.carriers), list(world.regions)
    new = min(range(len(carriers)), key=lambda number: carriers[number].share)
    share = max(carriers[new].share, 0.08)
    opens = round(float(rng.uniform(first, last)), 1)
    carriers[new] = msgspec.structs.replace(carriers[new], share=share, opens_hours=opens)
    for number in rng.permutation(len(regions) // 2)[:2].tolist():
        opens = round(float(rng.uniform(first, last)), 1)
        regions[number] = msgspec.structs.replace(regions[number], opens_hours=opens)
    return msgspec.structs.replace(world, carriers=tuple(carriers), regions=tuple(regions))


def _with_places_in_time(world: World, traits: Traits) -> World:
    """Lay time zones over the map, an hour each from west to east; make two carriers terse."""
    carriers, regions = list(world.carriers), list(world.regions)
    if traits.time_zones > 1:
        regions = [
            msgspec.structs.replace(each, utc_hours=int(each.x_km * traits.time_zones / 2000.1))
            for each in regions
        ]
    if traits.nameless:
        carriers[0] = msgspec.structs.replace(carriers[0], names_facilities=False)
        carriers[1] = msgspec.structs.replace(carriers[1], names_regions=False)
    return msgspec.structs.replace(world, carriers=tuple(carriers), regions=tuple(regions))


def _draw_regions(rng: np.random.Generator, count: int) -> tuple[Region, ...]:
    names = rng.permutation(len(_REGIONS))[:count]
    share = np.sort(rng.dirichlet(np.full(count, 3.0)))[::-1]
    place = rng.uniform(0, 2000, (count, 2)).round(1)
    return tuple(
        Region(_REGIONS[name], float(x), float(y), round(float(part), 5))
        for name, (x, y), part in zip(names, place, share, strict=True)
    )


def _draw_carriers(
    rng: np.random.Generator, count: int, regions: int, traits: Traits
) -> tuple[Carrier, ...]:
    share = rng.dirichlet(np.full(count, 4.0))
    names = rng.permutation(len(_CARRIERS))[:count]
    uploads = _spread(rng, count, 0.35)
    skips = _spread(rng, count, 0.4)
    return tuple(
        Carrier(
            name=_CARRIERS[name],
            share=round(float(part), 5),
            slowness=round(float(np.exp(rng.normal(0, 0.25))), 4),
            days_off=_days_off(int(rng.integers(4)), traits),
            hubs=tuple(rng.permutation(regions)[: min(regions, int(rng.integers(3, 7)))].tolist()),
            upload_hours=float(rng.integers(2, 6)) if upload and traits.uploads else 0.0,
            report_minutes=round(float(rng.uniform(1, 8)), 2),
            skips_departed=traits.skips_departed if skip else 0.0,
        )
        for name, part, upload, skip in zip(names, share, uploads, skips, strict=True)
    )


def _days_off(number: int, traits: Traits) -> tuple[int, ...]:
    if traits.round_the_clock:
        return ((), (6,), (6,), (6,))[number]
    return ((), (6,), (6,), (5, 6))[number]


def _spread(rng: np.random.Generator, count: int, share: float) -> Sequence[bool]:
    """Draw which of `count` have a habit; never all of them."""
    chosen = rng.random(count) < share
    chosen[int(rng.integers(count))] = False
    flags: list[bool] = chosen.tolist()
    return flags


def _draw_habits(rng: np.random.Generator, traits: Traits) -> Habits:
    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    return Habits(
        median_hours={
            "picked_up": between(3, 8),
            "collected": between(1.5, 4),
            "presented": between(0.7, 2),
            "held": between(2, 5),
            "released": between(5, 14),
            "departed": between(1.5, 4),
            "out_for_delivery": between(1.5, 3.5),
            "delivered": between(2, 4),
        },
        sigma={
            "picked_up": between(0.4, 0.65),
            "collected": between(0.35, 0.6),
            "road": between(0.15, 0.3),
            "presented": between(0.4, 0.6),
            "held": between(0.4, 0.6),
            "released": between(0.5, 0.7),
            "departed": between(0.3, 0.55),
            "out_for_delivery": between(0.3, 0.5),
            "delivered": between(0.3, 0.6),
        },
        km_an_hour=between(45, 75),
        lane_sigma=between(0.25, 0.35),
        facility_sigma=between(0.1, 0.25),
        customs_share=between(0.06, 0.07),
        promise_share=0.8,
        promise_slack=between(1.35, 1.6),
        retry_share=between(0.02, 0.06),
        complaints_a_parcel=between(0.06, 0.1),
        lost_scans=traits.lost_scans,
    )

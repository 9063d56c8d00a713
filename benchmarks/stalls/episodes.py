"""What was said of feeds, hubs and slow-downs, beside what was planted of them."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from benchmarks.stalls.judged import Judged
from benchmarks.stalls.product import hours
from detectors.decisions import Decision
from simulator.incidents import Silence, SlowDown
from simulator.trouble import Kind

_GRACE_HOURS: Final = 24.0
"""A decision so long after the end of what explains it is not false."""
_MONTH_DAYS: Final = 30.0


class Episode(msgspec.Struct, kw_only=True):
    """One thing planted, and what was said of it."""

    what: str
    hours: float | None
    """From its beginning to the first decision about it; None = nothing was said."""
    said: int
    """Decisions that open an episode of it."""
    minutes_after_upload: float | None = None
    """Of a silent batch uploader: from the first upload that was missed."""
    victims_flagged: tuple[int, int] | None = None
    """Parcels that suffered, and those flagged."""


class Episodes(msgspec.Struct, kw_only=True):
    """All of one kind in a world."""

    kind: str
    planted: list[Episode]
    false: int
    """Decisions that nothing planted explains, after the time of learning."""
    false_rate: float
    """Of feeds and hubs: a carrier and 30 days; of slow-downs: a region and 180 days."""


def episodes(judged: Judged, decisions: Sequence[Decision]) -> list[Episodes]:
    """Compare decisions about carriers, facilities and lanes with what was planted."""
    return [
        _feeds(judged, _of(decisions, "feed.silent")),
        _hubs(judged, _of(decisions, "facility.incident")),
        _slow_downs(judged, _of(decisions, "lane.slow")),
    ]


def _of(decisions: Iterable[Decision], kind: str) -> list[Decision]:
    """Return the decisions that open an episode of a kind."""
    return [
        each
        for each in decisions
        if type(each).__struct_config__.tag == kind and each.decision_id == each.episode_id
    ]


def _feeds(judged: Judged, said: list[Decision]) -> Episodes:
    world, plan = judged.simulation.world, judged.simulation.plan
    at, subjects = hours(judged, said), [each.subject for each in said]
    explained = np.zeros(len(said), np.bool_)
    planted = []
    for silence in plan.silences:
        carrier = world.carriers[silence.carrier]
        mine = _about(subjects, at, f"carrier/{carrier.name}", silence.began, silence.ended)
        explained |= mine
        if silence.lossy:
            continue
        first = at[mine].min() if mine.any() else None
        planted.append(
            Episode(
                what=f"{carrier.name}, {silence.ended - silence.began:.0f} h"
                + (f", uploads every {carrier.upload_hours:.0f} h" if carrier.upload_hours else ""),
                hours=None if first is None else float(first - silence.began),
                said=int(mine.sum()),
                minutes_after_upload=_after_upload(silence, carrier.upload_hours, first),
            )
        )
    for closure in plan.closures:
        explained |= (at >= closure.began) & (at <= closure.ended + _GRACE_HOURS)
    false = int((~explained & (at >= judged.learned)).sum())
    return Episodes(
        kind="feed.silent", planted=planted, false=false,
        false_rate=false / _carrier_months(judged),
    )  # fmt: skip


def _after_upload(silence: Silence, upload_hours: float, first: float | None) -> float | None:
    if first is None or not upload_hours:
        return None
    missed = np.ceil(silence.began / upload_hours) * upload_hours
    return float(first - missed) * 60


def _hubs(judged: Judged, said: list[Decision]) -> Episodes:
    world, plan = judged.simulation.world, judged.simulation.plan
    at = hours(judged, said)
    places = [str(getattr(each, "facility", "")) for each in said]
    explained = np.zeros(len(said), np.bool_)
    planted = []
    for outage in plan.outages:
        carrier, region = world.carriers[outage.carrier], world.regions[outage.region].name
        name = f"{carrier.name}-hub-{region}"
        mine = _about(places, at, name, outage.began, outage.ended)
        explained |= mine
        planted.append(
            Episode(
                what=f"{name}, {outage.ended - outage.began:.0f} h",
                hours=float(at[mine].min() - outage.began) if mine.any() else None,
                said=int(mine.sum()),
            )
        )
    for began, ended in _excuses(judged):
        explained |= (at >= began) & (at <= ended + _GRACE_HOURS)
    false = int((~explained & (at >= judged.learned)).sum())
    return Episodes(
        kind="facility.incident", planted=planted, false=false,
        false_rate=false / _carrier_months(judged),
    )  # fmt: skip


def _slow_downs(judged: Judged, said: list[Decision]) -> Episodes:
    """A slow-down is announced by any decision about a lane that it makes slower."""
    at, subjects = hours(judged, said), [each.subject for each in said]
    explained = np.zeros(len(said), np.bool_)
    planted = []
    for slow in judged.simulation.plan.slow_downs:
        ended = min(slow.ended, judged.end)
        about = np.array([_concerns(judged, slow, subject) for subject in subjects], np.bool_)
        mine = about & (at >= slow.began) & (at <= ended + 3 * _GRACE_HOURS)
        explained |= mine
        planted.append(
            Episode(
                what=_named(judged, slow),
                hours=float(at[mine].min() - slow.began) if mine.any() else None,
                said=int(mine.sum()),
            )
        )
    for began, ended in _excuses(judged):
        explained |= (at >= began) & (at <= ended + 3 * _GRACE_HOURS)
    false = int((~explained & (at >= judged.learned)).sum())
    days = (judged.end - judged.learned) / 24
    regions = len(judged.simulation.world.regions)
    return Episodes(
        kind="lane.slow", planted=planted, false=false,
        false_rate=false / (regions * days / 180),
    )  # fmt: skip


def _named(judged: Judged, slow: SlowDown) -> str:
    world = judged.simulation.world
    if slow.carrier >= 0:
        what = f"carrier {world.carriers[slow.carrier].name}"
    elif slow.region >= 0:
        what = f"region {world.regions[slow.region].name}"
    else:
        what = f"lane {world.regions[slow.origin].name}>{world.regions[slow.destination].name}"
    return f"{what} x {slow.factor:g}"


def _concerns(judged: Judged, slow: SlowDown, subject: str) -> bool:
    """Tell whether a decision about `lane/[CARRIER/]FROM>TO`, a region or carrier is about it."""
    world = judged.simulation.world
    names = subject.replace(">", "/").split("/")[1:]
    wanted = [
        each
        for each in (
            world.carriers[slow.carrier].name if slow.carrier >= 0 else None,
            world.regions[slow.region].name if slow.region >= 0 else None,
        )
        if each
    ]
    if slow.origin >= 0:
        ends = {world.regions[slow.origin].name, world.regions[slow.destination].name}
        return ends <= set(names) or (subject.startswith("region/") and names[0] in ends)
    return any(each in names for each in wanted)


def _excuses(judged: Judged) -> list[tuple[float, float]]:
    """Return when carriers were silent or closed: hubs and lanes stand still then, truly."""
    plan = judged.simulation.plan
    spans = [(closure.began, closure.ended) for closure in plan.closures]
    return spans + [(silence.began, silence.ended) for silence in plan.silences]


def _about(
    names: Sequence[str], at: np.ndarray, name: str, began: float, ended: float
) -> np.ndarray:
    mine = np.array([each == name for each in names], np.bool_)
    return mine & (at >= began) & (at <= ended + _GRACE_HOURS)


def _carrier_months(judged: Judged) -> float:
    days = (judged.end - judged.learned) / 24
    return len(judged.simulation.world.carriers) * days / _MONTH_DAYS


def victims_flagged(victims: dict[str, tuple[int, int]]) -> float | None:
    """Return the share of a silent feed's parcels that were flagged."""
    suffered, flagged = victims.get(Kind.FEED_SILENT.value, (0, 0))
    return flagged / suffered if suffered else None

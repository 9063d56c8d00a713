"""The truth of incidents: what stopped, closed, slowed down, surged or began, and when."""

from simulator.complaints import ISSUES
from simulator.incidents import Closure, Outage, Silence, SlowDown, Surge
from simulator.trouble import Kind, Plan
from simulator.truth import Truth, sometime
from simulator.world import World

Cause = Outage | Silence | Closure
"""What makes victims of healthy parcels."""


def kind_of(cause: Cause) -> Kind:
    """Return what a victim suffers from."""
    if isinstance(cause, Outage):
        return Kind.HUB_OUTAGE
    if isinstance(cause, Closure):
        return Kind.CLOSURE
    return Kind.FEED_LOSSY if cause.lossy else Kind.FEED_SILENT


def tell_incidents(world: World, facilities: list[str], plan: Plan) -> list[Truth]:
    """Return a line for each incident; `facilities` are names by number."""
    told = [_outage(world, facilities, each) for each in plan.outages]
    told += [_feed(world, each) for each in plan.silences]
    told += [_closure(world, each) for each in plan.closures]
    told += [_slow_down(world, each) for each in plan.slow_downs]
    told += [_surge(world, each) for each in plan.surges]
    return told + _newcomers(world)


def _outage(world: World, facilities: list[str], outage: Outage) -> Truth:
    carrier = world.carriers[outage.carrier].name
    return Truth(
        kind=Kind.HUB_OUTAGE,
        subject=f"carrier/{carrier}",
        carrier=carrier,
        region=world.regions[outage.region].name,
        facility=facilities[outage.facility],
        began_at=world.moment(outage.began),
        ended_at=world.moment(outage.ended),
    )


def _feed(world: World, silence: Silence) -> Truth:
    carrier = world.carriers[silence.carrier].name
    return Truth(
        kind=kind_of(silence),
        subject=f"carrier/{carrier}",
        carrier=carrier,
        began_at=world.moment(silence.began),
        ended_at=world.moment(silence.ended),
        lost_share=silence.lost_share,
    )


def _closure(world: World, closure: Closure) -> Truth:
    region = None if closure.region < 0 else world.regions[closure.region].name
    return Truth(
        kind=Kind.CLOSURE,
        subject="world" if region is None else f"region/{region}",
        region=region,
        began_at=world.moment(closure.began),
        ended_at=world.moment(closure.ended),
    )


def _slow_down(world: World, slow: SlowDown) -> Truth:
    def region(number: int) -> str | None:
        return world.regions[number].name if number >= 0 else None

    carrier = world.carriers[slow.carrier].name if slow.carrier >= 0 else None
    lane = f"lane/{region(slow.origin)}>{region(slow.destination)}"
    if slow.origin < 0:
        lane = f"carrier/{carrier}" if carrier else f"region/{region(slow.region)}"
    return Truth(
        kind=Kind.SLOW_DOWN,
        subject=lane,
        carrier=carrier,
        region=region(slow.region),
        origin_region=region(slow.origin),
        destination_region=region(slow.destination),
        factor=slow.factor,
        began_at=world.moment(slow.began),
        ended_at=sometime(world, slow.ended),
    )


def _surge(world: World, surge: Surge) -> Truth:
    region = world.regions[surge.region].name
    return Truth(
        kind=Kind.COMPLAINT_SURGE,
        subject=f"region/{region}",
        region=region,
        category=ISSUES[0][0].value,
        complaints=surge.complaints,
        began_at=world.moment(surge.began),
        ended_at=world.moment(surge.ended),
    )


def _newcomers(world: World) -> list[Truth]:
    carriers = [
        Truth(
            kind=Kind.NEW_CARRIER,
            subject=f"carrier/{each.name}",
            carrier=each.name,
            began_at=world.moment(each.opens_hours),
        )
        for each in world.carriers
        if each.opens_hours > 0
    ]
    regions = [
        Truth(
            kind=Kind.NEW_ORIGIN,
            subject=f"region/{each.name}",
            region=each.name,
            began_at=world.moment(each.opens_hours),
        )
        for each in world.regions
        if each.opens_hours > 0
    ]
    return carriers + regions

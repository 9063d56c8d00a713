"""The truth of a world: what was planted, when it began and ended, and who complained."""

from datetime import datetime
from typing import TypedDict

import msgspec
import numpy as np

from simulator.complaints import ISSUES, Complaints, repeats
from simulator.journey import Step, Walk
from simulator.parcels import Index, Parcels
from simulator.trouble import Kind, Outage, ParcelTrouble, Plan, Signoff, Silence
from simulator.walk import ExtraScan, Walker, held_by, p99_hours
from simulator.world import World


class Truth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One planted trouble, or one healthy parcel that suffered from one."""

    kind: Kind
    subject: str
    """As in decisions: `parcel/CARRIER/ID`, `region/NAME`, `carrier/NAME`, `customer/ID`."""
    began_at: datetime
    """Start of the silence, outage or surge; of the wrong scan; of the second complaint."""
    ended_at: datetime | None = None
    """When it moved on or was over; None = not within the world."""
    p99_at: datetime | None = None
    """When 99 of 100 healthy parcels would have moved on (working time)."""
    judged_until: datetime | None = None
    """Three times that: a flag after it comes too late. None = beyond the calendar."""
    complained_at: datetime | None = None
    """The customer's first complaint that names the parcel, after it began."""
    parcel_id: str | None = None
    carrier: str | None = None
    region: str | None = None
    facility: str | None = None
    customer_id: str | None = None
    category: str | None = None
    issue: str | None = None
    milestone: str | None = None
    """The milestone the parcel waits for, or the wrong one it got."""
    reason: str | None = None
    """How a sign-off is wrong, or what a victim suffered from."""
    complaints: int | None = None
    """Complaints added by a surge."""
    lost_share: float | None = None
    """Share of a silent feed's scans that never come."""


def _sometime(world: World, hours: float) -> datetime | None:
    """Turn hours of the world into a time; None for never."""
    return world.moment(hours) if np.isfinite(hours) else None


def parcel_id(world: World, parcels: Parcels, parcel: int) -> str:
    """Return a parcel's id: letters of its carrier and its number."""
    return f"{world.carriers[int(parcels.carrier[parcel])].name[:2].upper()}{parcel:08d}"


class _Subject(TypedDict):
    subject: str
    parcel_id: str
    carrier: str


class TruthTeller:
    """Writes down what was planted in one world."""

    def __init__(
        self, world: World, parcels: Parcels, steps: list[Step], facilities: list[str]
    ) -> None:
        self._world, self._parcels, self._steps = world, parcels, steps
        self._facilities = facilities

    def tell(
        self,
        plan: Plan,
        walk: Walk,
        walker: Walker,
        extra: list[ExtraScan],
        complaints: Complaints,
        hidden: list[Index],
    ) -> list[Truth]:
        """Return the truth by time; what began after the world's end is not in it."""
        truths = [self._silence(t, walk, walker) for t in plan.parcels if t.signoff is None]
        troubled = {trouble.parcel: trouble.signoff for trouble in plan.parcels}
        truths += self._signoffs(troubled, extra)
        times = self._complaint_times(complaints)
        truths = [_complained(truth, times) for truth in truths]
        truths += [self._outage(outage) for outage in plan.outages]
        truths += self._silences(plan)
        truths += self._surges(plan)
        truths += self._repeats(complaints)
        truths += self._victims(plan, walk, hidden, set(troubled))
        end = self._world.moment(self._world.end_hours)
        known = [truth for truth in truths if truth.began_at < end]
        return sorted(known, key=lambda truth: (truth.began_at, truth.kind, truth.subject))

    def _parcel(self, parcel: int) -> _Subject:
        carrier = self._world.carriers[int(self._parcels.carrier[parcel])].name
        name = parcel_id(self._world, self._parcels, parcel)
        return {"subject": f"parcel/{carrier}/{name}", "parcel_id": name, "carrier": carrier}

    def _silence(self, trouble: ParcelTrouble, walk: Walk, walker: Walker) -> Truth:
        step, parcel = self._steps[trouble.step], trouble.parcel
        began = float(walk.began[trouble.step, parcel])
        p99 = p99_hours(step, parcel)
        if not np.isfinite(began):
            began = self._world.end_hours
        return Truth(
            kind=trouble.kind,
            **self._parcel(parcel),
            began_at=self._world.moment(began),
            ended_at=_sometime(self._world, float(walk.ended[trouble.step, parcel])),
            p99_at=_sometime(self._world, walker.later(parcel, step.work, began, p99)),
            judged_until=_sometime(self._world, walker.later(parcel, step.work, began, 3 * p99)),
            milestone=step.milestone.value,
            region=self._world.regions[int(step.region[parcel])].name,
        )

    def _signoffs(self, troubled: dict[int, Signoff | None], extra: list[ExtraScan]) -> list[Truth]:
        last = {scan.parcel: scan for scan in extra}
        return [
            Truth(
                kind=Kind.ABNORMAL_SIGNOFF,
                **self._parcel(parcel),
                began_at=self._world.moment(
                    scan.hours if np.isfinite(scan.hours) else self._world.end_hours
                ),
                milestone=scan.milestone.value,
                reason=troubled[parcel],
                region=self._world.regions[scan.region].name,
            )
            for parcel, scan in last.items()
        ]

    def _complaint_times(self, complaints: Complaints) -> dict[str, list[datetime]]:
        times: dict[str, list[datetime]] = {}
        for parcel, at in zip(
            complaints.parcel.tolist(), complaints.occurred.tolist(), strict=True
        ):
            name = parcel_id(self._world, self._parcels, parcel)
            times.setdefault(name, []).append(self._world.moment(at / 3600))
        return times

    def _outage(self, outage: Outage) -> Truth:
        carrier = self._world.carriers[outage.carrier].name
        return Truth(
            kind=Kind.HUB_OUTAGE,
            subject=f"carrier/{carrier}",
            carrier=carrier,
            region=self._world.regions[outage.region].name,
            facility=self._facilities[outage.facility],
            began_at=self._world.moment(outage.began),
            ended_at=self._world.moment(outage.ended),
        )

    def _silences(self, plan: Plan) -> list[Truth]:
        return [
            Truth(
                kind=Kind.FEED_SILENT,
                subject=f"carrier/{self._world.carriers[silence.carrier].name}",
                carrier=self._world.carriers[silence.carrier].name,
                began_at=self._world.moment(silence.began),
                ended_at=self._world.moment(silence.ended),
                lost_share=silence.lost_share,
            )
            for silence in plan.silences
        ]

    def _surges(self, plan: Plan) -> list[Truth]:
        return [
            Truth(
                kind=Kind.COMPLAINT_SURGE,
                subject=f"region/{self._world.regions[surge.region].name}",
                region=self._world.regions[surge.region].name,
                category=ISSUES[0][0].value,
                complaints=surge.complaints,
                began_at=self._world.moment(surge.began),
                ended_at=self._world.moment(surge.ended),
            )
            for surge in plan.surges
        ]

    def _repeats(self, complaints: Complaints) -> list[Truth]:
        truths = []
        for first, second in repeats(complaints):
            category, issue, _ = ISSUES[int(complaints.issue[second])]
            customer = f"C{int(complaints.customer[second]):08d}"
            truths.append(
                Truth(
                    kind=Kind.REPEAT_COMPLAINER,
                    subject=f"customer/{customer}",
                    customer_id=customer,
                    category=category.value,
                    issue=issue,
                    began_at=self._world.moment(int(complaints.occurred[second]) / 3600),
                    complained_at=self._world.moment(int(complaints.occurred[first]) / 3600),
                )
            )
        return truths

    def _victims(
        self, plan: Plan, walk: Walk, hidden: list[Index], troubled: set[int]
    ) -> list[Truth]:
        suffered: list[tuple[Index, Outage | Silence]] = [
            (held_by(self._world, self._parcels, self._steps, walk, outage), outage)
            for outage in plan.outages
        ]
        suffered += list(zip(hidden, plan.silences, strict=True))
        return [
            self._victim(parcel, cause)
            for parcels, cause in suffered
            for parcel in parcels.tolist()
            if parcel not in troubled
        ]

    def _victim(self, parcel: int, cause: Outage | Silence) -> Truth:
        return Truth(
            kind=Kind.VICTIM,
            **self._parcel(parcel),
            reason=Kind.HUB_OUTAGE if isinstance(cause, Outage) else Kind.FEED_SILENT,
            began_at=self._world.moment(cause.began),
            ended_at=self._world.moment(cause.ended),
        )


def _complained(truth: Truth, times: dict[str, list[datetime]]) -> Truth:
    named = times.get(truth.parcel_id or "", ())
    after = [at for at in named if at >= truth.began_at]
    return msgspec.structs.replace(truth, complained_at=min(after)) if after else truth

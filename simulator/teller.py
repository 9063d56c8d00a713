"""The truth of a world: what was planted, when it began and ended, and who complained."""

from datetime import datetime
from typing import TypedDict

import msgspec
import numpy as np

from simulator.complaints import ISSUES, Complaints, repeats
from simulator.incident_truth import Cause, kind_of, tell_incidents
from simulator.journey import Step, Walk
from simulator.parcels import Index, Parcels
from simulator.trouble import Kind, ParcelTrouble, Plan, Signoff
from simulator.truth import Truth, parcel_id, sometime
from simulator.walk import ExtraScan, Walker, held_by, rested
from simulator.world import World


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
        truths += tell_incidents(self._world, self._facilities, plan)
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
        if not np.isfinite(began):
            began = self._world.end_hours
        due = walker.after(step, parcel, began, 1.0)
        who, start = np.array([parcel]), np.array([began])
        p99 = float(step.pace.worked(who, start, np.array([due]))[0])
        return Truth(
            kind=trouble.kind,
            **self._parcel(parcel),
            began_at=self._world.moment(began),
            ended_at=sometime(self._world, float(walk.ended[trouble.step, parcel])),
            p99_at=sometime(self._world, due),
            judged_until=sometime(self._world, walker.after(step, parcel, began, 3.0)),
            p99_working_seconds=round(p99 * 3600) if np.isfinite(p99) else None,
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
        suffered: list[tuple[Index, Cause]] = [
            (held_by(self._world, self._parcels, self._steps, walk, outage), outage)
            for outage in plan.outages
        ]
        suffered += [(rested(self._steps, walk, closure), closure) for closure in plan.closures]
        suffered += list(zip(hidden, plan.silences, strict=True))
        return [
            self._victim(parcel, cause)
            for parcels, cause in suffered
            for parcel in parcels.tolist()
            if parcel not in troubled
        ]

    def _victim(self, parcel: int, cause: Cause) -> Truth:
        return Truth(
            kind=Kind.VICTIM,
            **self._parcel(parcel),
            reason=kind_of(cause),
            began_at=self._world.moment(cause.began),
            ended_at=self._world.moment(cause.ended),
        )


def _complained(truth: Truth, times: dict[str, list[datetime]]) -> Truth:
    named = times.get(truth.parcel_id or "", ())
    after = [at for at in named if at >= truth.began_at]
    return msgspec.structs.replace(truth, complained_at=min(after)) if after else truth

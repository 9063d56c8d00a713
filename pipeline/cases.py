"""Runs cases in virtual time: the replay's own tasks and the policies, never a copy of either.

Background parcels come first and are judged like all others, so that the models know what is usual;
what is said about them does not count. At the end the clock moves to `until`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from configs.case_schema import Asked, Background, Case, Expected, Parcel
from configs.load import Config
from detectors.decisions import Decision
from detectors.events import Complaint, Milestone, TrackingEvent
from pipeline.policy import judge
from pipeline.remedies import Nothing, OperationsAlert, RemedyRequest
from pipeline.replay import replay
from pipeline.samples import decision_from

_FOLLOWING: Final = frozenset(
    f"{kind}.{what}"
    for kind in ("stall", "surge", "capacity", "feed", "facility", "lane")
    for what in ("worsened", "updated", "cleared", "closed", "resumed")
)
"""Kinds that follow from others: they count only where a case expects their kind."""
_STREAMS: Final = ("surge.", "capacity.", "feed.", "facility.", "lane.")
"""Kinds about regions, carriers and places: likewise."""
_CLOCK: Final = "forewarn-clock"
"""Carrier of the parcel whose scan moves time to the end."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as expected."""

    wanted: str | None
    found: str | None

    def __str__(self) -> str:
        """Return one or two lines, as a diff shows them."""
        wanted = [] if self.wanted is None else [f"- {self.wanted}"]
        return "\n".join([*wanted, *([] if self.found is None else [f"+ {self.found}"])])


def run(case: Case, config: Config) -> list[Difference]:
    """Let a case happen and compare; empty: as expected."""
    said = [*_replayed(case, config), *(_given(case, each) for each in case.decisions)]
    wanted_kinds = {expected.kind for expected in case.expect}
    return compare(case, [each for each in said if _counts(each, case, wanted_kinds)], config)


def _counts(decision: Decision, case: Case, wanted_kinds: set[str]) -> bool:
    kind = decision.__struct_config__.tag
    if not isinstance(kind, str):
        return False
    if kind in _FOLLOWING or kind.startswith(_STREAMS):
        return kind in wanted_kinds
    parcel = getattr(decision, "parcel_id", None)
    given = any(each.get("parcel_id", parcel) == parcel for each in case.decisions)
    return parcel is None or parcel in case.parcels or given


# ------------------------------------------------------------------------------------ what happens


def _replayed(case: Case, config: Config) -> list[Decision]:
    if not case.parcels and not case.complaints:
        return []
    with TemporaryDirectory() as folder:
        tracking, complaints = Path(folder) / "tracking.ndjson", Path(folder) / "complaints.ndjson"
        scans = sorted(_scans(case), key=lambda scan: (scan.occurred_at, scan.event_id))
        told = sorted(_complaints(case), key=lambda complaint: complaint.occurred_at)
        _write(tracking, scans)
        _write(complaints, told)
        return replay(config, [tracking], [complaints], partitions=1).decisions


def _write(path: Path, events: Sequence[object]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))


def _at(case: Case, seconds: float) -> datetime:
    return case.start + timedelta(seconds=seconds)


def _scans(case: Case) -> Iterator[TrackingEvent]:
    for number, background in enumerate(case.background):
        yield from _healthy(case, background, number)
    for name, parcel in case.parcels.items():
        for scan in parcel.scans:
            yield _scan(case, name, parcel, scan.at, scan.milestone, scan.facility, scan.region)
    at = _at(case, case.end)
    yield TrackingEvent(
        event_id="clock", parcel_id="clock", carrier=_CLOCK, milestone=Milestone.OTHER,
        occurred_at=at, received_at=at,
    )  # fmt: skip


def _healthy(case: Case, background: Background, number: int) -> Iterator[TrackingEvent]:
    end = case.end
    for count in range(background.parcels + background.beside(end)):
        # Evenly spread, in an order that is no trend: multiples of the golden ratio.
        place = (count * 0.6180339887498949) % 1.0
        pace = 1 + background.spread * (2 * place - 1)
        begins = -background.length - background.every * (background.parcels - count)
        for scan in background.scans:
            at = begins + scan.at * pace
            if at < end:
                yield _scan(
                    case, f"background-{number}-{count}", background, at,
                    scan.milestone, scan.facility, scan.region,
                )  # fmt: skip


def _scan(
    case: Case,
    name: str,
    journey: Parcel | Background,
    seconds: float,
    milestone: Milestone,
    facility: str | None,
    region: str | None,
) -> TrackingEvent:
    at = _at(case, seconds)
    own: dict[str, Any] = {}
    if isinstance(journey, Parcel):
        promised = None if journey.promised is None else _at(case, journey.promised)
        own = {
            "customer_id": journey.customer, "order_id": journey.order, "promised_at": promised,
            "declared_value_minor": journey.value_minor, "service_level": journey.service_level,
            "fragile": journey.fragile, "address_hash": journey.address_hash,
        }  # fmt: skip
    return TrackingEvent(
        event_id=f"{name}-{milestone}-{seconds:.0f}", parcel_id=name, carrier=journey.carrier,
        milestone=milestone, occurred_at=at, received_at=at, facility=facility, region=region,
        origin_region=journey.origin, destination_region=journey.destination, **own,
    )  # fmt: skip


def _complaints(case: Case) -> Iterator[Complaint]:
    for number, complaint in enumerate(case.complaints):
        yield Complaint(
            complaint_id=f"complaint-{number}", customer_id=complaint.customer,
            occurred_at=_at(case, complaint.at), received_at=_at(case, complaint.at),
            region=complaint.region, issue=complaint.issue, order_id=complaint.order,
            parcel_id=complaint.parcel,
        )  # fmt: skip


def _given(case: Case, fields: dict[str, object]) -> Decision:
    values = dict(fields)
    at = values.pop("at", None)
    return decision_from({"decided_at": at or case.start, **values})


# --------------------------------------------------------------------------------- what is compared


def compare(case: Case, said: Sequence[Decision], config: Config) -> list[Difference]:
    """Match what was expected with what was said, in order; the rest differs."""
    left = sorted(said, key=lambda each: (each.decided_at, each.decision_id))
    differences = []
    for expected in case.expect:
        found = next((each for each in left if _is(expected, each)), None)
        if found is None:
            differences.append(Difference(_wanted(expected), None))
            continue
        left.remove(found)
        differences += _against(case, expected, found, config)
    return differences + [Difference(None, _said(case, each)) for each in left]


def _is(expected: Expected, decision: Decision) -> bool:
    names = {decision.subject, decision.subject.rpartition("/")[2]}
    return (
        expected.kind == decision.__struct_config__.tag
        and (expected.about is None or expected.about in names)
        and expected.reason in {None, decision.reason}
    )


def _against(
    case: Case, expected: Expected, decision: Decision, config: Config
) -> Iterator[Difference]:
    after = (decision.decided_at - case.start).total_seconds()
    if expected.between is not None:
        early, late = expected.between
        if not early <= after <= late:
            yield Difference(_wanted(expected), _said(case, decision))
    if expected.asks is not None:
        yield from _asked(expected, decision, config)


def _asked(expected: Expected, decision: Decision, config: Config) -> Iterator[Difference]:
    verdict, wanted = judge(decision, config.policies), expected.asks
    name = f"{expected.kind} {expected.about or ''}".strip()
    if not isinstance(wanted, Asked):
        found = _outcome(verdict)
        if found != wanted:
            yield Difference(f"{name} asks for {wanted}", f"{name} asks for {found}")
        return
    if not isinstance(verdict, RemedyRequest):
        yield Difference(f"{name} asks for a remedy", f"{name} asks for {_outcome(verdict)}")
        return
    for field, value in wanted.model_dump(exclude_none=True).items():
        got = getattr(verdict, "rule" if field == "rule" else field)
        shown = "none" if got is None else got
        if shown != value:
            yield Difference(
                f"{name} asks for {field}: {value}", f"{name} asks for {field}: {shown}"
            )


def _outcome(verdict: object) -> str:
    if isinstance(verdict, Nothing):
        return "nothing"
    if isinstance(verdict, OperationsAlert):
        return "operations" if verdict.tell else "nothing"
    return "a remedy" if isinstance(verdict, RemedyRequest) else "nothing"


def _wanted(expected: Expected) -> str:
    parts = [expected.kind, expected.about or "", expected.reason or ""]
    if expected.between is not None:
        early, late = expected.between
        parts.append(f"between {span_text(early)} and {span_text(late)}")
    return " ".join(part for part in parts if part)


def _said(case: Case, decision: Decision) -> str:
    after = (decision.decided_at - case.start).total_seconds()
    about = decision.subject.rpartition("/")[2]
    return f"{decision.__struct_config__.tag} {about} {decision.reason} at {span_text(after)}"


def span_text(seconds: float) -> str:
    """Return a span as cases write it.

    Examples
    --------
    >>> span_text(5400), span_text(108_000), span_text(-60)
    ('1.5 h', '30 h', '-0.0167 h')
    """
    return f"{seconds / 3600:.3g} h" if abs(seconds) < 360_000 else f"{seconds / 86_400:.3g} d"

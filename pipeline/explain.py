"""Why was this parcel flagged: its scans, complaints, decisions and remedies in one timeline."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from detectors.decisions import (
    CustomsOverdue,
    Decision,
    SignoffAbnormal,
    StallCleared,
    StallOpened,
    StallWorsened,
)
from detectors.events import Complaint, InvalidEvent, TrackingEvent
from pipeline.ledger import Account, Entry, NotificationEntry, RemedyEntry, State, fold
from pipeline.recordings import open_recording

_decision: Final = msgspec.json.Decoder(Decision).decode
_scan: Final = msgspec.json.Decoder(TrackingEvent).decode
_complaint: Final = msgspec.json.Decoder(Complaint).decode
_entry: Final = msgspec.json.Decoder(Entry).decode
_ABOUT_PARCELS: Final = (
    StallOpened | StallWorsened | StallCleared | CustomsOverdue | SignoffAbnormal
)


@dataclass(slots=True)
class Story:
    """Everything known about one parcel."""

    parcel: str
    """`carrier/parcel_id`, or the id alone."""
    scans: list[TrackingEvent] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def names(self, carrier: str | None, parcel_id: str | None) -> bool:
        """Tell whether this is the parcel asked for."""
        return self.parcel in {parcel_id, f"{carrier}/{parcel_id}"}

    def see_scan(self, line: bytes) -> None:
        """Take a scan if it is this parcel's; what cannot be read is none of its scans."""
        scan = _read_scan(line) if self._worth(line) else None
        if scan is not None and self.names(scan.carrier, scan.parcel_id):
            self.scans.append(scan)

    def see_complaint(self, line: bytes) -> None:
        """Take a complaint if it names this parcel."""
        complaint = _read_complaint(line) if self._worth(line) else None
        if complaint is not None and self.names(complaint.carrier, complaint.parcel_id):
            self.complaints.append(complaint)

    def see_decision(self, line: bytes) -> None:
        """Take a decision if it is about this parcel. Raises `msgspec.DecodeError`."""
        decision = _decision(line) if self._worth(line) else None
        if isinstance(decision, _ABOUT_PARCELS) and self.names(
            decision.carrier, decision.parcel_id
        ):
            self.decisions.append(decision)

    def see_entry(self, line: bytes) -> None:
        """Take a ledger entry; which are this parcel's is known at the end."""
        entry = _entry(line)
        if isinstance(entry, RemedyEntry | NotificationEntry):
            self.entries.append(entry)

    def accounts(self) -> list[Account]:
        """Return what was promised and given for this parcel."""
        book = fold(self.entries)
        return [
            account
            for account in book.accounts.values()
            if self.names(account.request.carrier, account.request.parcel_id)
        ]

    def _worth(self, line: bytes) -> bool:
        """Most lines are about other parcels, and need not be decoded to know it."""
        return self.parcel.rsplit("/", 1)[-1].encode() in line


def _read_scan(line: bytes) -> TrackingEvent | None:
    try:
        return _scan(line)
    except (msgspec.DecodeError, InvalidEvent):
        return None  # a dead letter, which is not part of the parcel's life


def _read_complaint(line: bytes) -> Complaint | None:
    try:
        return _complaint(line)
    except (msgspec.DecodeError, InvalidEvent):
        return None  # a dead letter


def lines_of(paths: Iterable[Path]) -> Iterator[bytes]:
    """Yield the lines of NDJSON files, plain or compressed."""
    for path in paths:
        with open_recording(path) as file:
            yield from file


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the timeline."""

    at: datetime
    what: str
    """`scan`, `complaint`, `decision` or `remedy`."""
    text: str
    evidence: str | None = None


def timeline(story: Story) -> list[Moment]:
    """Return everything that happened to the parcel, in order."""
    moments = [Moment(scan.occurred_at, "scan", _describe(scan)) for scan in story.scans]
    moments += [
        Moment(
            c.occurred_at, "complaint", f"the customer complained: {c.issue or 'no issue given'}"
        )
        for c in story.complaints
    ]
    decided = {}
    for decision in story.decisions:
        kind = str(type(decision).__struct_config__.tag)
        text = f"{kind}: {decision.reason.value.replace('_', ' ')}"
        moments.append(Moment(decision.decided_at, "decision", text, decision.evidence.text))
        decided[decision.decision_id] = decision.decided_at
    for account in story.accounts():
        at = decided.get(account.request.decision_id, account.request.decided_at)
        moments.append(Moment(at, "remedy", remedy_text(account)))
    rank = {"scan": 0, "complaint": 1, "decision": 2, "remedy": 3}
    return sorted(moments, key=lambda moment: (moment.at, rank[moment.what]))


def _describe(scan: TrackingEvent) -> str:
    place = scan.facility or scan.region
    text = scan.milestone.value.replace("_", " ")
    return f"{text} at {place}" if place else text


def remedy_text(account: Account) -> str:
    """Say what the customer was given, or why not."""
    request = account.request
    given = [request.template.replace("_", " ")]
    if request.amount_minor:
        given.append(f"{request.form} of {money(request.amount_minor, request.currency)}")
    if request.upgrade != "none":
        given.append(str(request.upgrade).replace("_", " "))
    if request.follow_up != "none":
        given.append(str(request.follow_up).replace("_", " "))
    outcome = {State.ISSUED: "given"}.get(account.state, str(account.state))
    if account.reason is not None:
        outcome += f" ({str(account.reason).replace('_', ' ')})"
    return f"{outcome}: {', '.join(given)}"


def money(amount_minor: int, currency: str) -> str:
    """Write an amount for people: `¥5.00`.

    Examples
    --------
    >>> money(500, "CNY"), money(1_234_550, "EUR")
    ('¥5.00', '12,345.50 EUR')
    """
    amount = f"{amount_minor / 100:,.2f}"
    return f"¥{amount}" if currency == "CNY" else f"{amount} {currency}"


def render(parcel: str, moments: Sequence[Moment]) -> list[str]:
    """Return the timeline as lines for a person."""
    if not moments:
        return [f"Nothing is known of {parcel}."]
    lines = [f"Parcel {parcel}"]
    for moment in moments:
        mark = {"scan": " ", "complaint": "!", "decision": "*", "remedy": "+"}[moment.what]
        lines.append(f"  {moment.at:%Y-%m-%d %H:%M}  {mark} {moment.text}")
        if moment.evidence:
            lines.append(f"                      {moment.evidence}")
    if not any(moment.what == "decision" for moment in moments):
        lines.append("It was never flagged.")
    return lines

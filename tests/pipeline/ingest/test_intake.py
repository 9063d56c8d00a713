"""Every event goes out once, is proven valid, and what does not go out is accounted for."""

import json
from datetime import UTC, datetime

from pipeline.adapters.items import Options
from pipeline.adapters.registry import adapter_of
from pipeline.ingest.intake import Intake, Seen, retractions
from tests.pipeline.adapters import conformance


def scan(number: int, at: str = "2026-03-02T09:14:00Z") -> bytes:
    event = {"event_id": f"e-{number}", "parcel_id": "SW00000042", "carrier": "swift"}
    return json.dumps({**event, "milestone": "picked_up", "occurred_at": at}).encode()


def intake(**options: object) -> Intake:
    return Intake(adapter_of("tracking", Options()), Seen(), **options)  # type: ignore[arg-type]


def test_an_event_twice_in_a_document_goes_out_once() -> None:
    """Also before anything of it is safe."""
    taken = intake().take(b"[" + scan(1) + b"," + scan(1) + b"]", "x")
    assert (len(taken.events), taken.duplicates) == (1, 1)


def test_a_history_goes_out_as_it_happened() -> None:
    """Also where the provider writes the newest scan first: the log's order is a parcel's life."""
    newest = scan(2, "2026-03-04T00:00:00Z")
    oldest = scan(1, "2026-03-02T00:00:00Z")
    taken = intake().take(b"[" + newest + b"," + oldest + b"]", "x")
    assert [event.event_id for event in taken.events] == ["e-1", "e-2"]


def test_what_is_not_safe_is_no_duplicate() -> None:
    """Only the caller says when an event is safe, so a failed write is tried again."""
    ours = intake()
    assert len(ours.take(scan(1), "x").events) == 1
    assert len(ours.take(scan(1), "x").events) == 1
    ours.seen.add("e-1")
    assert ours.take(scan(1), "x").duplicates == 1


def test_seen_ids_are_bounded() -> None:
    """The oldest goes first."""
    seen = Seen(most=2)
    for name in "abc":
        seen.add(name)
    assert [name in seen for name in "abc"] == [False, True, True]


def test_live_events_are_judged_by_when_they_come() -> None:
    """A scan of tomorrow and one of years ago would be dead letters: they are rejected here."""
    now = datetime(2026, 3, 3, tzinfo=UTC)
    (future,) = intake().take(scan(1, "2026-03-04T00:00:00Z"), "x", now).rejected
    (past,) = intake().take(scan(1, "2020-03-04T00:00:00Z"), "x", now).rejected
    assert future.reason == "ahead_of_arrival"
    assert past.reason == "impossible_value"
    assert len(intake().take(scan(1, "2020-03-04T00:00:00Z"), "x").events) == 1


def test_history_was_received_when_it_occurred() -> None:
    """So the worker takes it years later."""
    (out,) = intake(history=True).take(scan(1, "2020-03-04T00:00:00Z"), "x").events
    assert json.loads(out.value)["received_at"] == "2020-03-04T00:00:00Z"


def test_retraction_stops_what_has_not_gone_out() -> None:
    """Within a document it is in time; for what another document said it is too late."""
    path = conformance.FOLDER / "epcis" / "error_declaration.jsonld"
    adapter = conformance.source_of(path).adapter
    taken = Intake(adapter, Seen()).take(path.read_bytes(), "x")
    assert (len(taken.events), taken.retracted, taken.too_late) == (1, 1, 1)


def test_a_first_pass_makes_every_retraction_timely() -> None:
    """Known beforehand, an event is held back although its retraction comes documents later."""
    path = conformance.FOLDER / "table" / "debezium.ndjson"
    adapter = conformance.source_of(path).adapter
    lines = [line for line in path.read_bytes().splitlines() if line != b"null"]
    late = Intake(adapter, Seen())
    timely = Intake(adapter, Seen(), retracted=retractions(adapter, lines))
    assert sum(len(late.take(line, "x").events) for line in lines) == 4
    outcome = [timely.take(line, "x") for line in lines]
    assert sum(len(taken.events) for taken in outcome) == 2  # the same scan twice: not marked safe
    assert sum(taken.retracted for taken in outcome) == 2
    assert sum(taken.too_late for taken in outcome) == 0

"""Every payload of the conformance folder becomes what stands beside it, and all of it is valid."""

import base64
import json
from pathlib import Path

import pytest

from pipeline.adapters.items import Kind, Read, Rejected
from pipeline.adapters.registry import ADAPTERS
from pipeline.ingest.files import documents
from pipeline.ingest.intake import Intake, Seen, encode
from pipeline.records import RawRecord, read_complaints, read_tracking
from tests.pipeline.adapters import conformance

PERSONAL = (
    "jane", "roe", "@", "+1 202", "12025550143", "fifth avenue", "example ave", "example road",
    "john", "tester", "hauptstr", "138 0013", "49 170", "34952", "89101",
)  # fmt: skip
"""What stands in the payloads and must not come out."""


JSON = {".json", ".jsonld"}


@pytest.mark.parametrize("path", conformance.payloads(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_payload_becomes_what_stands_beside_it(path: Path) -> None:
    """Items in order, field by field; ids too, which must never change."""
    found = [conformance.shown(item) for item in conformance.items(path)]
    assert found == conformance.expected(path)


@pytest.mark.parametrize("path", conformance.payloads(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_events_are_valid_and_hold_nothing_personal(path: Path) -> None:
    """The worker's own reader takes each of them; names, streets and numbers stay behind."""
    source = conformance.source_of(path)
    events = [item.event for item in conformance.items(path) if isinstance(item, Read)]
    records = [RawRecord(None, encode(event), n, 0) for n, event in enumerate(events)]
    read = read_tracking if source.adapter.kind is Kind.TRACKING else read_complaints
    assert [letter.detail for letter in read(records, history=True).dead] == []
    text = b"\n".join(record.value or b"" for record in records).decode().casefold()
    assert [word for word in PERSONAL if word in text] == []


@pytest.mark.parametrize("path", conformance.payloads(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_payload_sent_again_yields_nothing_new(path: Path) -> None:
    """A retried webhook and a history sent with each update yield each scan once."""
    source = conformance.source_of(path)
    intake = Intake(source.adapter, Seen())
    found = [
        located.document
        for located in documents(path, source.layout)
        if not isinstance(located.document, Rejected)
    ]
    first = [event for document in found for event in intake.take(document, "x").events]
    for event in first:
        intake.seen.add(event.event_id)
    again = [event for document in found for event in intake.take(document, "x").events]
    assert again == []


def envelopes(payload: bytes) -> dict[str, bytes]:
    """A payload as the data of a CloudEvent: structured, as Base64, and two in a batch."""
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "x"}
    structured = {**event, "data": json.loads(payload)}
    encoded = {**event, "data_base64": base64.b64encode(payload).decode()}
    return {
        "structured": json.dumps(structured).encode(),
        "base64": json.dumps(encoded).encode(),
        "batch": json.dumps([structured, encoded]).encode(),
    }


@pytest.mark.parametrize("form", ["structured", "base64", "batch"])
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_any_payload_may_come_in_a_cloudevent(name: str, form: str) -> None:
    """It is what it is without the envelope; of two in a batch, twice."""
    found = [p for p in conformance.payloads() if p.parent.name == name and p.suffix in JSON]
    assert found or name == "emsevt"
    for path in found:
        source = conformance.source_of(path)
        (located,) = documents(path, source.layout)
        assert isinstance(located.document, bytes)
        plain = list(source.adapter.read(located.document))
        if any(isinstance(item, Rejected) and item.reason == "not_json" for item in plain):
            continue
        wrapped = list(source.adapter.read(envelopes(located.document)[form]))
        assert wrapped == plain * (2 if form == "batch" else 1)


def test_every_adapter_has_payloads() -> None:
    """No adapter is without an example."""
    names = {path.parent.name for path in conformance.payloads()}
    assert names == {*ADAPTERS, "table", "complaint-table"}

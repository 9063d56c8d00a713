"""Broken payloads never crash an adapter and never pass half an event."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.base import Adapter
from pipeline.adapters.items import Kind, Options, Read
from pipeline.adapters.registry import ADAPTERS, adapter_of
from pipeline.ingest.intake import Intake, Seen
from pipeline.records import RawRecord, read_complaints, read_tracking
from tests.pipeline.adapters import conformance

OPTIONS = Options(zone="UTC", carrier="acme", region="unknown", pseudonym_key=b"0123456789abcdef")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, "", " ", "\ud800", "\x00", [], {}, [[]], "x" * 9000,
)  # fmt: skip


def take(adapter: Adapter, document: bytes) -> None:
    """What an adapter makes of a document is valid as a whole, or not there."""
    taken = Intake(adapter, Seen()).take(document, "fuzz")
    read = read_tracking if adapter.kind is Kind.TRACKING else read_complaints
    records = [RawRecord(event.key, event.value, 0, 0) for event in taken.events]
    assert read(records, history=True).dead == []


def samples() -> list[tuple[str, bytes]]:
    """The JSON payloads of the conformance folder."""
    return [
        (path.parent.name, path.read_bytes())
        for path in conformance.payloads()
        if path.parent.name in ADAPTERS and path.suffix in {".json", ".jsonld"}
    ]


def mutations(found: Any) -> Iterator[Any]:
    """A payload with one value replaced by something odd, or one key left out."""
    if isinstance(found, dict):
        for name, inner in found.items():
            yield {key: value for key, value in found.items() if key != name}
            for worse in mutations(inner):
                yield {**found, name: worse}
    elif isinstance(found, list):
        for index, inner in enumerate(found):
            for worse in mutations(inner):
                yield [*found[:index], worse, *found[index + 1 :]]
    yield from ODD


@pytest.mark.parametrize(("name", "payload"), samples(), ids=lambda v: str(v)[:10])
def test_payloads_with_one_odd_value(name: str, payload: bytes) -> None:
    """Whatever is replaced or missing, what comes out is whole."""
    adapter = adapter_of(name, OPTIONS)
    for worse in mutations(json.loads(payload)):
        take(adapter, json.dumps(worse).encode())


def interchanges() -> list[tuple[str, bytes]]:
    """Those in EDIFACT."""
    return [
        (path.parent.name, path.read_bytes())
        for path in conformance.payloads()
        if path.suffix == ".edi"
    ]


@pytest.mark.parametrize(("name", "payload"), samples() + interchanges(), ids=lambda v: str(v)[:10])
def test_payloads_cut_off_and_with_flipped_bytes(name: str, payload: bytes) -> None:
    """Half a body, and bodies with wrong bytes, are no JSON or still whole events."""
    adapter, dice = adapter_of(name, OPTIONS), random.Random(7)
    for end in range(0, len(payload), 97):
        take(adapter, payload[:end])
    for _ in range(100):
        broken = bytearray(payload)
        for _ in range(dice.randint(1, 5)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        take(adapter, bytes(broken))


@pytest.mark.parametrize("name", ADAPTERS)
@settings(max_examples=40, deadline=None)
@given(document=st.binary() | ANYTHING.map(lambda found: json.dumps(found).encode()))
def test_any_bytes(name: str, document: bytes) -> None:
    """Arbitrary bytes and arbitrary JSON come to items, never to an exception."""
    adapter = adapter_of(name, OPTIONS)
    items = list(adapter.read(document))
    assert items
    assert not any(isinstance(item, Read) for item in items)


CELLS = st.none() | st.text() | st.integers() | st.floats() | st.booleans() | st.binary()


@pytest.mark.parametrize("file", ["table/portal.csv", "complaint-table/reviews.csv"])
@settings(deadline=None)
@given(data=st.data())
def test_any_row(file: str, data: st.DataObject) -> None:
    """Cells of any type and text, columns missing: an event that is whole, or a reason."""
    source = conformance.source_of(conformance.FOLDER / file)
    names = {"table/portal.csv": "Sendungsnummer Status Datum Uhrzeit Ort Bundesland Auftrag "
             "Kunde Wert", "complaint-table/reviews.csv": "id uid written province kind problem "
             "waybill"}[file].split()  # fmt: skip
    row = data.draw(st.dictionaries(st.sampled_from(names), CELLS))
    taken = Intake(source.adapter, Seen()).take(row, "fuzz")
    assert len(taken.events) + len(taken.rejected) == 1


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"specversion":"1.0","data":' * 50 + b"1" + b"}" * 50,
        b'{"specversion":"1.0"}',
        b'{"specversion":"1.0","data_base64":"?"}',
        b"[[[[[[[1]]]]]]]",
        b'{"n":' + b"9" * 10_000 + b"}",
        b"\xff\xfe",
        b"",
    ],
    ids=[
        "arrays",
        "objects",
        "envelopes",
        "no-data",
        "bad-base64",
        "nested",
        "digits",
        "utf",
        "none",
    ],
)
def test_documents_made_to_hurt(name: str, document: bytes) -> None:
    """Depth, numbers and encodings are refused with a reason."""
    assert not any(isinstance(item, Read) for item in adapter_of(name, OPTIONS).read(document))

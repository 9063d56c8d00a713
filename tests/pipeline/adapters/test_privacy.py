"""Phones, names, addresses and e-mails never pass, whatever field somebody has put them in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import Complaint, TrackingEvent
from pipeline.adapters.items import Options, Read
from pipeline.adapters.privacy import Pseudonyms, code, identifier, parcel_number, place
from pipeline.adapters.registry import ADAPTERS, adapter_of
from pipeline.ingest.files import documents
from pipeline.ingest.intake import Unknowns, encode
from tests.pipeline.adapters import conformance

HOSTILE = (
    "jane.roe@example.com",
    "Jane Roe <jane.roe@example.com>",
    "+49 170 9988776",
    "(202) 555-0143",
    "12 Main Street, Springfield",
    "4711 Fifth Avenue, Floor 34",
    "邮寄给 张伟 138 0013 8000",
    "Left with Jane Roe, 12 Main Street",
)
KEY = b"a key of sixteen bytes"
REVIEWS = conformance.FOLDER / "complaint-table" / "reviews.csv"


def poisoned(found: Any, poison: str) -> Iterator[Any]:
    """Every way to put a hostile value into one text of a payload."""
    if isinstance(found, str):
        yield poison
    elif isinstance(found, dict):
        for name, inner in found.items():
            for worse in poisoned(inner, poison):
                yield {**found, name: worse}
    elif isinstance(found, list):
        for index, inner in enumerate(found):
            for worse in poisoned(inner, poison):
                yield [*found[:index], worse, *found[index + 1 :]]


def json_payloads() -> list[Any]:
    """One rich payload of each adapter."""
    best: dict[str, tuple[int, Any]] = {}
    for path in conformance.payloads():
        if path.parent.name in ADAPTERS and path.suffix in {".json", ".jsonld", ".ndjson"}:
            text = path.read_text("utf-8")
            first = text if path.suffix != ".ndjson" else text.splitlines()[0]
            size = len(text)
            if size > best.get(path.parent.name, (0, None))[0]:
                best[path.parent.name] = (size, json.loads(first))
    return sorted((name, payload) for name, (_, payload) in best.items())


@pytest.mark.parametrize("poison", HOSTILE)
@pytest.mark.parametrize(("name", "payload"), json_payloads(), ids=lambda v: str(v)[:12])
def test_hostile_values_stay_behind(name: str, payload: Any, poison: str) -> None:
    """Put into any field of a payload, no event holds the value or its parts."""
    adapter = adapter_of(name, Options(pseudonym_key=KEY, region="unknown", carrier="acme"))
    for worse in poisoned(payload, poison):
        for item in adapter.read(json.dumps(worse).encode()):
            if isinstance(item, Read):
                text = encode(item.event).decode()
                assert not [part for part in parts(poison) if part in text], worse
            else:
                assert poison not in str(item)


def table_rows() -> list[tuple[str, dict[str, str]]]:
    """Each mapping of the conformance folder with a row that fills every column."""
    found = []
    for path in (conformance.FOLDER / "table" / "portal.csv", REVIEWS):
        source = conformance.source_of(path)
        row = next(
            located.document
            for located in documents(path, source.layout)
            if isinstance(located.document, dict)
        )
        filled = {name: str(value) or "x" for name, value in row.items()}
        found.append((path.name, filled))
    return found


@pytest.mark.parametrize("poison", HOSTILE)
@pytest.mark.parametrize(("file", "row"), table_rows(), ids=lambda v: str(v)[:12])
def test_hostile_cells_stay_behind(file: str, row: dict[str, str], poison: str) -> None:
    """Tables as well, whatever column is poisoned."""
    folder = conformance.FOLDER / ("table" if file == "portal.csv" else "complaint-table")
    adapter = conformance.source_of(folder / file).adapter
    for name in row:
        for item in adapter.read({**row, name: poison}):
            if isinstance(item, Read):
                text = encode(item.event).decode()
                assert not [part for part in parts(poison) if part in text], name


def parts(poison: str) -> list[str]:
    """What would give a person away: words with digits or an @, and telephone numbers."""
    return [word for word in poison.split() if "@" in word or sum(map(str.isdigit, word)) > 3]


def test_every_json_adapter_is_tried() -> None:
    """The corpus is fed to all of them."""
    assert {name for name, _ in json_payloads()} == set(ADAPTERS)


def test_customers_are_dropped_without_a_key() -> None:
    """No key, no pseudonym: an unkeyed hash could be undone by trying addresses."""
    assert Pseudonyms(None).of("jane.roe@example.com") is None


def test_one_person_is_one_pseudonym() -> None:
    """Spelling does not matter, the key does, and nothing of the person is in it."""
    people = Pseudonyms(KEY)
    once = people.of("Jane.Roe@Example.com ")
    assert once == people.of(None, "", "jane.roe@example.com")
    assert people.of("+49 170 123-45-67") == people.of("+491701234567")
    assert once != Pseudonyms(b"another key of some bytes").of("jane.roe@example.com")
    assert once is not None
    assert once.startswith("c-")
    assert "jane" not in once


@settings(deadline=None)
@given(st.text())
def test_whatever_passes_is_short_and_printable(text: str) -> None:
    """The guards take any text."""
    for guard in (identifier, place, code, parcel_number):
        passed = guard(text)
        assert passed is None or (passed.isprintable() and "@" not in passed)
        assert len(passed or "-") in range(1, 129)


@pytest.mark.parametrize(
    ("guard", "text", "expected"),
    [
        (parcel_number, "9400 1000 0000 0000 0000 00", "9400100000000000000000"),
        (parcel_number, "ab", None),
        (parcel_number, "a/b/c/d", None),
        (identifier, "HUB-2/3", "HUB-2/3"),
        (identifier, "Jane Roe", None),
        (place, "new york", "New York"),
        (place, "NY", "NY"),
        (place, "P.O. Box 12", None),
        (place, "Saint-Étienne", "Saint-Étienne"),
        (code, "Priority Mail", "priority_mail"),
        (code, "call 202 555 0143", None),
        (code, "a" * 65, None),
    ],
)
def test_guards(guard: Any, text: str, expected: str | None) -> None:
    """What an identifier, a place and a code look like."""
    assert guard(text) == expected


def test_unknown_values_are_shown_unless_they_look_personal() -> None:
    """A status with an address in it is counted without being shown."""
    unknowns = Unknowns()
    assert unknowns.see("Beim Zoll", "a:1") == "Beim Zoll"
    assert "example" not in unknowns.see("sent to jane@example.com", "a:2")
    assert "0143" not in unknowns.see("call 202 555 0143", "a:3")


def test_unknown_values_are_bounded() -> None:
    """A source that makes up values cannot fill the memory."""
    unknowns = Unknowns()
    for number in range(1000):
        unknowns.see(f"value {number} " + "x" * 500, f"a:{number}")
    assert len(unknowns.counts) <= 201
    assert unknowns.counts.total() == 1000
    assert all(len(name) <= 80 for name in unknowns.counts)
    assert all(len(places) <= 3 for places in unknowns.examples.values())


def test_text_of_a_complaint_has_no_way_in() -> None:
    """Adapters never set it, and no scan has such a field."""
    for path in conformance.payloads():
        for item in conformance.items(path):
            if isinstance(item, Read) and isinstance(item.event, Complaint):
                assert item.event.text is None
    assert "text" not in TrackingEvent.__struct_fields__

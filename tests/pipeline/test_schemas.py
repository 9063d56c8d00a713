import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from detectors import decisions
from detectors.decisions import Decision
from detectors.events import Category, Milestone
from pipeline import schemas
from pipeline.records import RawRecord, read_complaints, read_tracking
from tests.pipeline.wire import NOON_MS, SCAN

DATA = Path(__file__).parents[1] / "data"
EVENTS = (DATA / "events-v1.ndjson").read_text("utf-8").splitlines()
DECISIONS = (DATA / "decisions-v1.ndjson").read_text("utf-8").splitlines()


def test_the_files_are_what_the_structs_say() -> None:
    """A change of a struct shows as a change of a checked-in schema."""
    assert schemas.stale() == []


def test_the_command_notices_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails on missing, changed and superfluous files; writing mends all three."""
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    (tmp_path / "decision.json").write_text("{}")
    (tmp_path / "gone.json").write_text("{}")
    assert schemas.main(["--check"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 4
    assert schemas.main([]) == 0
    assert schemas.main(["--check"]) == 0
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(schemas.schemas())
    assert schemas.main(["--chekc"]) == 2


def test_the_module_runs_as_a_command() -> None:
    """`python -m pipeline.schemas --check` is what contributors are told to run."""
    command = [sys.executable, "-m", "pipeline.schemas", "--check"]
    assert subprocess.run(command, check=False, cwd=DATA.parents[1]).returncode == 0


def test_a_schema_bounds_what_the_structs_bound() -> None:
    """Limits that only the structs' own checks know are in the schema as well."""
    fields = schemas.schemas()["tracking_event"]["$defs"]["TrackingEvent"]["properties"]
    assert fields["event_id"] == {"type": "string", "maxLength": 4096, "pattern": r"\S"}
    assert fields["declared_value_minor"]["anyOf"][0]["minimum"] == 0
    assert fields["milestone"] == {"$ref": "#/$defs/Milestone"}
    text = schemas.schemas()["complaint"]["$defs"]["Complaint"]["properties"]["text"]
    assert "pattern" not in text["anyOf"][0]


@pytest.mark.parametrize("line", EVENTS)
def test_yesterdays_events_mean_the_same(line: str) -> None:
    """Events as producers write them since version 1 stay readable and keep their meaning."""
    stored = json.loads(line)
    headers = [(name, text.encode()) for name, text in stored.get("headers", {}).items()]
    raw = RawRecord(b"k", json.dumps(stored["value"]).encode(), 0, NOON_MS, headers)
    read = read_tracking if stored["topic"] == "tracking" else read_complaints
    chunk = read([raw])
    assert chunk.dead == []
    assert dict(_set_fields(chunk.events[0])) == stored["means"]
    assert chunk.arrivals.tolist() == [stored["arrival"]]


def test_yesterdays_events_cover_every_shape() -> None:
    """The stored events use every field, milestone and category there is."""
    used: dict[str, set[str]] = {"tracking": set(), "complaints": set()}
    values: set[Any] = set()
    for stored in map(json.loads, EVENTS):
        used[stored["topic"]] |= set(stored["means"])
        values |= {stored["means"].get("milestone"), stored["means"].get("category")}
    for topic, name in (("tracking", "TrackingEvent"), ("complaints", "Complaint")):
        known = getattr(sys.modules["detectors.events"], name).__struct_fields__
        assert used[topic] == set(known)
    assert values == {*Milestone, *Category, None}


@pytest.mark.parametrize("line", DECISIONS)
def test_yesterdays_decisions_mean_the_same(line: str) -> None:
    """Decisions written since version 1 can be read, and are written as they were."""
    decision = msgspec.json.decode(line, type=Decision)
    written = json.loads(msgspec.json.encode(decision))
    before = json.loads(line)
    assert {name: written[name] for name in before} == before


def test_yesterdays_decisions_cover_every_kind_and_reason() -> None:
    """No kind of decision and no reason of one is without a stored example."""
    stored = [json.loads(line) for line in DECISIONS]
    assert {d["kind"] for d in stored} == {
        kind.__struct_config__.tag for kind in get_args(Decision)
    }
    reasons = {
        str(reason)
        for kind in vars(decisions).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind.__name__.endswith("Reason")
        for reason in kind
    }
    assert {d["reason"] for d in stored} == reasons


def test_a_new_field_would_have_to_be_optional() -> None:
    """What version 1 requires is closed: nothing may be added to it, or old producers break."""
    required = {
        name: set(schema["$defs"][title]["required"])
        for name, title, schema in _titled("tracking_event", "complaint")
    }
    assert required == {
        "tracking_event": {"event_id", "parcel_id", "carrier", "milestone", "occurred_at"},
        "complaint": {"complaint_id", "customer_id", "occurred_at", "region"},
    }
    assert required["tracking_event"] < set(SCAN)


def _titled(*names: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in names:
        schema = schemas.schemas()[name]
        yield name, schema["$ref"].rpartition("/")[2], schema


def _set_fields(event: msgspec.Struct) -> Iterator[tuple[str, object]]:
    """What is set, with times in UTC."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat()
        if value is not None:
            yield name, value

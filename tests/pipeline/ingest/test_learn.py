"""A proposal for an unknown export: right where it can be, in doubt where it must be."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.mapping import load_mapping
from pipeline.adapters.items import Options
from pipeline.adapters.registry import table_of
from pipeline.failures import Failure
from pipeline.ingest.guesses import field_of, status_of, time_format
from pipeline.ingest.learn import learned
from pipeline.ingest.run import Rejects, Run
from pipeline.ingest.sources import Opened
from tests.pipeline.adapters.conformance import FOLDER

EXPORT = """Tracking No;Event;Scan Time;Location;Courier;Recipient
AB12345678DE;Elektronisch angekündigt;01.03.2026 18:02;Berlin;DHL;Jane Roe
AB12345678DE;Abgeholt;02.03.2026 08:14;Berlin;DHL;Jane Roe
AB12345678DE;Im Zustellfahrzeug;13.03.2026 08:14;Köln;DHL;Jane Roe
AB12345679DE;Zugestelt;14.03.2026 11:14;Köln;DHL;Jane Roe
AB12345679DE;Quatsch;14.03.2026 11:15;Köln;DHL;Jane Roe
AB12345679DE;An jane@example.com;14.03.2026 11:16;Köln;DHL;Jane Roe
"""


def test_proposal_reads_the_export_once_its_doubts_are_answered(tmp_path: Path) -> None:
    """Columns, format and statuses are found, the zone is asked for, every doubt is told."""
    export, mapping = tmp_path / "export.csv", tmp_path / "export.yaml"
    export.write_text(EXPORT, "utf-8")
    proposal = learned(export)
    assert "zone: CHOOSE/ONE" in proposal
    assert "DOUBT: like 'zugestellt'" in proposal
    assert "Quatsch: other  # DOUBT: 1 rows, no idea" in proposal
    assert "# Not used: Recipient" in proposal
    assert "jane@example.com" not in proposal
    mapping.write_text(proposal.replace("CHOOSE/ONE", "Europe/Berlin"), "utf-8")
    loaded = load_mapping(mapping)
    run = Run(Opened("x", table_of(loaded, Options()), loaded.csv), [export])
    assert len(list(run.events(Rejects(None)))) == 6
    assert not run.report.rejected


def test_codes_of_a_vocabulary_are_recognised() -> None:
    """A column of EMSEVT codes needs no list of values."""
    proposal = learned(FOLDER / "emsevt" / "import_customs.csv")
    assert "vocabulary: emsevt" in proposal
    assert "parcel_id: item_id" in proposal
    assert "carrier: {constant: CARRIER}  # no column names one" in proposal


def test_changes_of_a_database_are_looked_into() -> None:
    """Columns of the row, not of the envelope."""
    proposal = learned(FOLDER / "table" / "debezium.ndjson")
    assert "parcel_id: tracking_no" in proposal
    assert "occurred_at: {column: changed_at, format: epoch_ms}" in proposal


DESK = """Ticket ID;Created at;Requester email;Province;Type;Group;Status;Subject;Order number;Via
1001;04.03.2026 08:10;jane.roe@example.com;Sichuan;late delivery;Shipping;open;Where is my parcel? I have waited for ages;O-77;email
1002;18.03.2026 19:40;jane.roe@example.com;Sichuan;late delivery;Shipping;solved;It is late again and nobody answers the phone;O-78;chat
1003;18.03.2026 19:45;joe.bloggs@example.com;Guizhou;broken;Misc;open;The thing is broken and I want my money back;O-79;email
"""  # noqa: E501


def test_complaints_are_told_from_scans(tmp_path: Path) -> None:
    """An export of a help desk: what people wrote is left out, what is known is mapped."""
    export, mapping = tmp_path / "desk.csv", tmp_path / "desk.yaml"
    export.write_text(DESK, "utf-8")
    proposal = learned(export)
    assert "complaints:  #" in proposal
    assert "# Not used: Status, Subject" in proposal
    assert "DOUBT: Misc, 1 rows" in proposal
    assert "example.com" not in proposal
    mapping.write_text(proposal.replace("CHOOSE/ONE", "Asia/Shanghai"), "utf-8")
    loaded = load_mapping(mapping)
    options = Options(pseudonym_key=b"0123456789abcdef")
    run = Run(Opened("desk", table_of(loaded, options), loaded.csv), [export])
    events = [json.loads(event.value) for event in run.events(Rejects(None))]
    assert not run.report.rejected
    assert [event["issue"] for event in events] == ["late_delivery", "late_delivery", "broken"]
    assert [event.get("category") for event in events] == ["logistics", "logistics", None]
    assert events[0]["customer_id"] == events[1]["customer_id"] != events[2]["customer_id"]
    assert {event["region"] for event in events} == {"Sichuan", "Guizhou"}
    assert events[0]["occurred_at"] == "2026-03-04T00:10:00Z"


def test_complaints_of_the_conformance_folder_are_recognised() -> None:
    """In another language, with categories; the mapping differs from the written one in nothing."""
    proposal = yaml.safe_load(learned(FOLDER / "complaint-table" / "reviews.csv"))
    written = yaml.safe_load((FOLDER / "complaint-table" / "reviews.yaml").read_text("utf-8"))
    guessed = proposal["complaints"]
    assert guessed.pop("occurred_at") == {"column": written["complaints"].pop("occurred_at"),
                                          "format": "iso"}  # fmt: skip
    assert guessed.pop("customer_id") == written["complaints"].pop("customer_id")["column"]
    assert guessed == written["complaints"]


@pytest.mark.parametrize("missing", ["Province", "Ticket ID", "Group"])
def test_what_no_column_holds_is_asked_for(tmp_path: Path, missing: str) -> None:
    """A required field that is not there is named in the proposal, never made up."""
    export = tmp_path / "desk.csv"
    export.write_text(DESK.replace(missing, "Xyzzy"), "utf-8")
    proposal = learned(export)
    told = {"Province": "region: {constant: REGION}", "Ticket ID": "complaint_id: COLUMN",
            "Group": "issue: Type"}[missing]  # fmt: skip
    assert told in proposal
    assert "Xyzzy" in proposal.rpartition("# Not used")[2]


def test_text_that_is_not_utf_8_is_learned_with_its_encoding() -> None:
    """As the portals of carriers write it."""
    proposal = learned(FOLDER / "table" / "portal.csv")
    assert "csv: {delimiter: ;, encoding: cp1252}" in proposal
    assert "DOUBT: it is not UTF-8" in proposal
    assert "parcel_id: Sendungsnummer" in proposal
    assert "DOUBT: days without a time" in proposal


def test_an_empty_file_teaches_nothing(tmp_path: Path) -> None:
    """A header alone."""
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    with pytest.raises(Failure, match="no rows"):
        learned(path)


@pytest.mark.parametrize(
    ("values", "layout", "local", "ambiguous"),
    [
        (["2026-03-01T10:00:00Z"], "iso", False, None),
        (["2026-03-01 10:00:00"], "iso", True, None),
        (["01/02/2026 10:00", "13/02/2026 10:00"], "%d/%m/%Y %H:%M", True, None),
        (["02/13/2026 10:00", "02/01/2026 10:00"], "%m/%d/%Y %H:%M", True, None),
        (["01/02/2026 10:00"], "%d/%m/%Y %H:%M", True, "%m/%d/%Y %H:%M"),
        (["1772442840"], "epoch_s", False, None),
        (["20260301100000"], "%Y%m%d%H%M%S", True, None),
    ],
)
def test_times(values: list[str], layout: str, local: bool, ambiguous: str | None) -> None:
    """The format that reads every value; day and month in doubt where nothing decides."""
    guess = time_format(values)
    assert guess is not None
    assert (guess.format, guess.local, guess.ambiguous) == (layout, local, ambiguous)


@settings(deadline=None)
@given(st.lists(st.text(), max_size=5), st.text())
def test_any_column_is_guessed_or_not(values: list[str], name: str) -> None:
    """No value and no name breaks a guess."""
    assert field_of(name, values).score >= 0
    assert all(status_of(value).why or not status_of(value).milestone for value in values)


@settings(deadline=None)
@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), min_size=2, max_size=5))
def test_any_table_gives_yaml(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """Whatever the cells, what comes out is YAML or a reason."""
    path = tmp_path_factory.mktemp("learn") / "any.csv"
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file).writerows(rows)
    try:
        proposal = learned(path)
    except Failure:
        return
    assert isinstance(yaml.safe_load(proposal), dict)

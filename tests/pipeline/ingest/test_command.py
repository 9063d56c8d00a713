"""`forewarn ingest` over files: events out, a report whose books balance, rejects one can mend."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import application
from tests.pipeline.adapters.conformance import FOLDER
from tests.real_parts import Broker

PORTAL = FOLDER / "table" / "portal.csv"
MAPPING = FOLDER / "table" / "portal.yaml"


def ingest(*words: str | Path) -> Result:
    command = ["ingest", *map(str, words)]
    return CliRunner().invoke(application("ingest"), command)


def test_events_go_to_standard_output_and_the_report_beside_them() -> None:
    """A pipe gets events and nothing else."""
    done = ingest("--from", "shippo", FOLDER / "shippo" / "track_updated.json")
    assert done.exit_code == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["milestone"] for event in events][-1] == "delivered"
    assert "1 read: 5 events written, 0 duplicates, 0 rejected" in done.stderr


def test_rejected_lines_can_be_mended_and_fed_again(tmp_path: Path) -> None:
    """The file of rejects has the header, and mended it yields what was missing, once."""
    rejects = tmp_path / "rejects.csv"
    out = tmp_path / "out.ndjson"
    done = ingest("--from", MAPPING, PORTAL, "--rejects", rejects, "--out", out)
    assert "6 read: 3 events written, 0 duplicates, 3 rejected" in done.stderr
    assert "portal.csv:5: Wert: not an amount" in done.stderr
    text = rejects.read_text("latin-1").replace("viel", "10,00").replace("31.02", "28.02")
    rejects.write_text(text.replace("02.03.2026\n", "02.03.2026;10:00;;;;;;\n"), "latin-1")
    again = ingest("--from", MAPPING, rejects, "--json")
    report = json.loads(again.stderr)
    assert (report["read"], report["written"], report["rejected"]) == (3, 3, {})
    assert report["unknown"] == {"Beim Zoll": 1}


def test_books_balance_over_several_files() -> None:
    """A file fed twice in a run yields nothing the second time."""
    done = ingest("--from", MAPPING, PORTAL, PORTAL, "--json", "--dry-run")
    report = json.loads(done.stdout)
    rejected = sum(reason["count"] for reason in report["rejected"].values())
    assert (report["read"], report["written"], report["duplicates"], rejected) == (12, 3, 3, 6)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    """Only the report."""
    out = tmp_path / "out.ndjson"
    done = ingest("--from", MAPPING, PORTAL, "--dry-run", "--out", out)
    assert done.exit_code == 0
    assert not out.exists()
    assert done.stdout.startswith("6 read: 3 events written")


def test_unknown_values_are_listed_with_where_they_stand() -> None:
    """So that one can add them to a mapping."""
    done = ingest("--from", "easypost", FOLDER / "easypost" / "return.json", "--unknown")
    assert done.stdout.split() == ["1", "teleported", "(return.json:1)"]


def test_standard_input_and_a_zone() -> None:
    """`cat FILE | forewarn ingest --from NAME -`; the zone is that of times without an offset."""
    feed = (FOLDER / "emsevt" / "import_customs.csv").read_bytes()
    command = [sys.executable, "-m", "pipeline.cli", "ingest", "--from", "emsevt", "-"]
    refused = subprocess.run(command, input=feed, capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"no_zone: 10" in refused.stderr
    done = subprocess.run(
        [*command, "--zone", "Europe/Berlin"], input=feed, capture_output=True, check=True
    )
    assert len(done.stdout.splitlines()) == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "aftreship", "x.json"], "no source 'aftreship'"),
        ([], "say what"),
        (["--from", "aftership", "no-such-file.json"], "No such file"),
    ],
)
def test_mistakes_are_explained(words: list[str], said: str) -> None:
    """In words that say what to do."""
    done = ingest(*words)
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


def test_wrong_mapping_is_told_with_line_and_field(tmp_path: Path) -> None:
    """As every configuration."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MAPPING.read_text("utf-8").replace("delivered", "delivred"), "utf-8")
    done = ingest("--from", wrong, PORTAL)
    assert "tracking.milestone" in str(done.exception)
    assert "did you mean `delivered`" in str(done.exception)


def test_events_reach_kafka_under_their_keys(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written counts what the broker has acknowledged."""
    from pipeline.reading import read_to_end
    from pipeline.settings import Settings

    monkeypatch.setenv("FOREWARN_KAFKA__BROKERS", broker.bootstrap)
    monkeypatch.setenv("FOREWARN_KAFKA__PREFIX", name)
    broker.create_topic(f"{name}.tracking", partitions=4)
    done = ingest("--from", MAPPING, PORTAL, "--to", "kafka", "--history")
    assert "3 events written" in done.stderr
    found = list(read_to_end(Settings.load().kafka, f"{name}.tracking"))
    assert len(found) == 3

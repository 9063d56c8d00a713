"""The arithmetic of docs/scaling.md, and that the page shows it."""

from pathlib import Path

import msgspec
import pytest

from benchmarks import scaling
from benchmarks.results import Measurement, Results, Series, read
from benchmarks.rows import state_log, throughput
from tests.benchmarks.samples import sample

ROOT = Path(__file__).parent.parent.parent


def run_of(rate: float) -> Results:
    """A run with every figure that is asked for."""
    rows = [
        ("throughput", f"{throughput.OURS}, {throughput.CPU}", rate),
        ("memory", "1,000 in flight", 900.0),
        ("memory", "10,000,000 in flight", 256.0),
        ("state_log", state_log.WRITTEN, 300.0),
        ("state_log", state_log.KEPT, 2.0),
        ("recovery", "reading and loading a partition", 1.5),
    ]
    made = [
        Measurement(row=row, what="", series=[Series(name, "", [value])])
        for row, name, value in rows
    ]
    return msgspec.structs.replace(sample(), rows=made)


def cells(text: str) -> dict[str, str]:
    """The value of each line of the tables."""
    lines = (line.split("|") for line in text.splitlines() if line.startswith("|"))
    return {line[1].strip(): line[2].strip() for line in lines}


def test_each_step_is_what_its_formula_says() -> None:
    """Checked by hand for 7 billion events a day."""
    found = cells(scaling.rendered(run_of(120_000)))
    assert found["top"] == "324,074"
    assert found["cores"] == "5.4"
    assert found["parcels"] == "6,363,636,364"
    assert found["parcel bytes"] == "256"
    assert found["memory"] == "1,517"
    assert found["workers"] == "32"
    assert found["state log"] == "97.2"
    assert found["load"] == "6"
    assert found["brokers"] == "4"


def test_more_cores_than_memory_decide_where_events_are_dear() -> None:
    """The larger of the two needs counts."""
    assert cells(scaling.rendered(run_of(1000)))["workers"] == "82"


def test_what_was_not_measured_is_marked_with_all_that_follows() -> None:
    """No figure stands where none was found."""
    found = cells(scaling.rendered(None))
    assert {found[name] for name in ("rate", "cores", "memory", "workers", "written")} == {
        scaling.UNMEASURED
    }
    assert found["input"] == "74.5"


def test_the_page_shows_the_last_run() -> None:
    """Tables are written by the command, never by hand."""
    page = (ROOT / scaling.PAGE).read_text("utf-8")
    run = ROOT / "docs" / "performance" / "results.json"
    results = read(run) if run.exists() else None
    assert scaling.replaced(page, results) == page


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written where nobody expects it."""
    with pytest.raises(ValueError, match="needs two lines"):
        scaling.replaced("# Scaling", None)

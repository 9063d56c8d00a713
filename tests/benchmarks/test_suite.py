"""The registry of rows and the command around it."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import suite
from benchmarks.bench import Bench, Form
from benchmarks.feeding import Feed
from benchmarks.peers.programs import programs
from benchmarks.population import measure
from benchmarks.results import Measurement, Verdict, Whose, read
from benchmarks.rows import core
from benchmarks.suite import ROWS, Row, chosen, measured
from benchmarks.traffic import traffic


def bench(folder: Path, cut: int = 1, form: Form = Form.SHORT) -> Bench:
    """Return a bench that says nothing."""
    return Bench(folder, form, cut=cut, console=Console(quiet=True))


def test_rows_have_names_of_their_own() -> None:
    """`--only` means one row each."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert {"throughput", "latency", "recovery", "memory", "parcels_core", "decode"} <= set(names)


def test_rows_are_chosen_by_name_or_by_form() -> None:
    """Those too long for minutes are in the full form, or asked for."""
    short, full = chosen([], Form.SHORT), chosen([], Form.FULL)
    assert set(full) - set(short) == {row for row in ROWS if row.full_only}
    assert [row.name for row in chosen(["quality", "core"], Form.SHORT)] == ["core", "quality"]
    with pytest.raises(ValueError, match="no such row: nonsense"):
        chosen(["nonsense"], Form.SHORT)


def test_a_row_that_fails_says_why_and_does_not_end_the_others(tmp_path: Path) -> None:
    """Its error stands where its figures would."""

    def broken(_: Bench) -> Measurement:
        raise RuntimeError("out of order")

    def well(_: Bench) -> Measurement:
        return Measurement(row="well", what="")

    rows = [
        Row("broken", "", broken, kafka=False),
        Row("far", "", well),
        Row("well", "", well, kafka=False),
    ]
    with bench(tmp_path) as place:
        found = list(measured(rows, place, kafka_installed=False))
    assert [each.row for each in found] == ["broken", "far", "well"]
    assert "out of order" in (found[0].failed or "")
    assert "Apache Kafka" in (found[1].absent or "")
    assert found[1].failed is found[2].failed is found[2].absent is None


def test_sizes_follow_the_form_and_the_cut(tmp_path: Path) -> None:
    """`--quick` divides, and repeats nothing."""
    assert bench(tmp_path).size(short=10, full=100) == 10
    assert bench(tmp_path, form=Form.FULL).size(short=10, full=100) == 100
    assert bench(tmp_path, cut=4).size(short=10, full=100) == 2
    assert bench(tmp_path, cut=4).rounds(short=3, full=5) == 1


def test_every_program_is_there_or_says_what_is_missing() -> None:
    """Peers and limits each have a name of their own."""
    found = programs()
    assert len({program.name for program in found}) == len(found)
    assert {program.whose for program in found} == {Whose.PEER, Whose.LIMIT}
    assert all(program.absent is None or program.absent for program in found)


def test_chunks_hold_every_scan_once_and_in_order() -> None:
    """A partition's chunks are as large as asked for, but for the last."""
    feed = Feed(3)
    blocks = list(traffic(5_000))
    chunks = list(feed.chunks(blocks, 100))
    assert sum(len(chunk.records) for chunk in chunks) == 5_000
    for partition in range(3):
        mine = [chunk.records for chunk in chunks if chunk.partition == partition]
        assert all(len(records) == 100 for records in mine[:-1])
        offsets = [record.offset for records in mine for record in records]
        assert offsets == list(range(len(offsets)))


def test_a_population_is_measured_in_process() -> None:
    """Memory grows with parcels, costs are positive, state records have a size."""
    found = measure(500, 1_000)
    assert found.in_flight == 500
    assert 0 < found.empty_bytes <= found.full_bytes <= found.peak_bytes
    assert all(cost > 0 for cost in (*found.core_us, *found.record_us))
    assert found.record_bytes > 0


def test_the_core_row_measures_every_size_as_often(tmp_path: Path) -> None:
    """Sizes take turns, so their figures stand side by side."""
    with bench(tmp_path, cut=5) as place:
        found = core.run(place)
    assert len({len(series.values) for series in found.series}) == 1
    assert all(found.verdict(goal)[0] is not Verdict.NOT_MEASURED for goal in found.goals)


def test_the_command_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it shows in the terminal is in the JSON as well."""
    path = tmp_path / "run.json"
    argv = ["benchmarks", "--only", "disk", "--quick", "64", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", argv)
    assert command.main() == 0
    run = read(path)
    assert [row.row for row in run.rows] == ["disk"]
    assert run.form == "short, cut by 64"
    assert run.machine.cores >= 1


@pytest.mark.slow
def test_rows_measure_a_real_worker(tmp_path: Path) -> None:
    """Killed, it catches up; its log has bytes; a backlog leads to the decisions of a replay."""
    rows = chosen(["recovery", "state_log", "burst"], Form.SHORT)
    with bench(tmp_path, cut=50) as place:
        found = list(measured(rows, place, kafka_installed=True))
    assert [each.failed for each in found] == [None] * len(rows)
    for each in found:
        assert all(each.verdict(goal)[0] is not Verdict.NOT_MEASURED for goal in each.goals)
        assert all(len(series.values) == 1 for series in each.series)
    burst = found[-1]
    wanted, extra, missing = (
        burst.named(name)
        for name in ("decisions wanted", "decisions not in the replay", "decisions missing")
    )
    assert wanted is not None
    assert extra is not None
    assert missing is not None
    assert wanted.values[0] > 0
    assert extra.values == missing.values == [0.0]


def test_the_command_refuses_names_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt row is no silent success."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "latencies"])
    assert command.main() == 2


def test_the_command_lists_every_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with what it measures."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--list"])
    assert command.main() == 0
    shown = capsys.readouterr().out
    assert all(row.name in shown and row.what in shown for row in suite.ROWS)

"""From a run to the page of documentation and to plots."""

import io
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from benchmarks import report, terminal
from benchmarks.report import BEGIN, END, NoMarkers, rendered, replaced
from benchmarks.results import Results, Verdict
from benchmarks.terminal import cells_of
from tests.benchmarks.samples import SAMPLE, sample

PAGE = f"# Performance\n\nBefore.\n\n{BEGIN}\nold figures\n{END}\n\nAfter.\n"


def test_only_what_is_between_the_markers_is_replaced() -> None:
    """What is written by hand stays; a second time changes nothing."""
    page = replaced(PAGE, sample(), "performance")
    assert page.startswith("# Performance\n\nBefore.\n")
    assert page.endswith("After.\n")
    assert "old figures" not in page
    assert replaced(page, sample(), "performance") == page


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written to the wrong place."""
    with pytest.raises(NoMarkers):
        replaced("# Performance\n", sample(), "performance")


def test_every_figure_goal_and_plot_is_on_the_page() -> None:
    """Medians, ratios, verdicts, versions, absences and what other benchmarks printed."""
    text = rendered(sample(), "performance")
    assert "| Forewarn, everything | 130,000 | 140,000 | 150,000 | events/s |  |" in text
    assert "| Kafka Streams | 65,000 | 70,000 | 75,000 | events/s | 2.00 / 2.00 / 2.00 |" in text
    assert "| Quix Streams | – | its environment is missing | – | events/s |  |" in text
    assert "at least 100,000 | 140,000 | met |" in text
    assert "| **missed** |" in text
    assert "| not measured |" in text
    assert "(performance/throughput.svg)" in text
    assert "Some CPU, 2 cores, 23 GiB" in text
    assert "**A sample, not measured.**" in text
    assert "busy with other work** (load before the row): recovery (9)." in text
    assert "Not measured: Apache Kafka is not installed" in text
    assert "```\nchunk  us\n 1000  9.1\n```" in text


def test_tables_have_as_many_cells_in_every_line() -> None:
    """Markdown shows them as tables."""
    text = rendered(sample(), "performance")
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_the_terminal_shows_the_same_cells() -> None:
    """And whether goals are met."""
    console = Console(width=140, record=True, file=io.StringIO())
    for measurement in sample().rows:
        terminal.show(measurement, console)
    text = console.export_text()
    for cells in cells_of(sample().rows[0]):
        assert cells[0] in text
        assert cells[2] in text
    assert "✓" in text
    assert "✗" in text


def test_the_command_writes_the_page_and_the_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m benchmarks.report` with a page and a folder of plots beside it."""
    pytest.importorskip("matplotlib", reason="make bench installs it")
    page = tmp_path / "performance.md"
    page.write_text(PAGE, "utf-8")
    plots = tmp_path / "performance"
    argv = ["report", "--json", str(SAMPLE), "--page", str(page), "--plots", str(plots)]
    monkeypatch.setattr(sys, "argv", argv)
    assert report.main() == 0
    for measurement in sample().rows:
        for chart in measurement.charts:
            assert f"(performance/{chart.name}.svg)" in page.read_text("utf-8")
            assert (plots / f"{chart.name}.svg").exists()


def drawn(results: Results, folder: Path) -> dict[str, str]:
    """Return the plots of a run, by name, as XML that parses."""
    pytest.importorskip("matplotlib", reason="make bench installs it")
    from benchmarks.plots import draw_all

    files = draw_all(results, folder)
    for path in files:
        ET.parse(path)  # noqa: S314  # written a moment ago
    return {path.stem: path.read_text("utf-8") for path in files}


def test_plots_are_svg_with_text_as_text(tmp_path: Path) -> None:
    """The finding, the names, the unit and the goal can be read and searched."""
    plots = drawn(sample(), tmp_path)
    assert set(plots) == {"throughput", "latency"}
    for word in ("Forewarn judges 140,000", "Kafka Streams", "events/s", "goal 100,000", "peers"):
        assert word in plots["throughput"]
    for word in ("ms after the scan was written", "share of decisions readable, %"):
        assert word in plots["latency"]


def test_the_same_figures_give_the_same_plot(tmp_path: Path) -> None:
    """A page that is made again does not differ for nothing; other figures make another plot."""
    first, second = drawn(sample(), tmp_path / "a"), drawn(sample(), tmp_path / "b")
    assert first == second
    other = msgspec.json.decode(SAMPLE.read_bytes().replace(b"140000", b"90000"), type=Results)
    assert drawn(other, tmp_path / "c")["throughput"] != first["throughput"]


def test_the_sample_has_every_verdict() -> None:
    """So the tests above see them all."""
    found = {
        measurement.verdict(goal)[0] for measurement in sample().rows for goal in measurement.goals
    }
    assert found == set(Verdict)

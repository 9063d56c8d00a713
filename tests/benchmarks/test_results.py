"""Figures of benchmarks: statistics, ratios, goals, and their way through JSON."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.results import (
    Bound,
    Goal,
    Measurement,
    Series,
    Spread,
    Verdict,
    quantile,
    ratios,
    read,
    spread,
    write,
)
from tests.benchmarks.samples import SAMPLE, sample


def test_spread_is_minimum_median_and_maximum() -> None:
    """The order of repetitions plays no part."""
    assert spread([5.0, 1.0, 2.0]) == Spread(1.0, 2.0, 5.0)


def test_nothing_measured_has_no_spread() -> None:
    """No figure is made up where there is none."""
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_ratios_pair_repetition_with_repetition() -> None:
    """A slow minute that hurt both does not show in the ratio, as it does in that of medians."""
    ours, theirs = Series("a", "x", [10.0, 100.0, 20.0]), Series("b", "x", [5.0, 50.0, 10.0])
    assert ratios(ours, theirs) == [2.0, 2.0, 2.0]


def test_ratios_of_other_units_or_other_repetitions_are_refused() -> None:
    """What was not measured in turn is not compared."""
    with pytest.raises(ValueError, match="is not compared with"):
        ratios(Series("a", "x", [1.0]), Series("b", "y", [1.0]))
    with pytest.raises(ValueError, match="not measured in turn"):
        ratios(Series("a", "x", [1.0, 2.0]), Series("b", "x", [1.0]))


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.001, 0.5, 0.99, 0.999, 1.0]),
)
def test_quantile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    """At least the share lies at or below it, and less than the share lies below."""
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


@pytest.mark.parametrize(
    ("goal", "verdict", "found"),
    [
        (Goal("a", Bound.AT_LEAST, 20.0), Verdict.MET, 20.0),
        (Goal("a", Bound.AT_MOST, 19.0), Verdict.MISSED, 20.0),
        (Goal("a", Bound.AT_LEAST, 2.0, over="b"), Verdict.MET, 2.0),
        (Goal("a", Bound.AT_LEAST, 2.0, over="absent"), Verdict.NOT_MEASURED, None),
        (Goal("nobody", Bound.AT_LEAST, 2.0), Verdict.NOT_MEASURED, None),
        (Goal("empty", Bound.AT_LEAST, 2.0), Verdict.NOT_MEASURED, None),
    ],
)
def test_goals_are_about_medians(goal: Goal, verdict: Verdict, found: float | None) -> None:
    """A goal is met by the median, or by the median of ratios; without values it is open."""
    measurement = Measurement(
        row="r",
        what="w",
        series=[
            Series("a", "x", [10.0, 20.0, 90.0]),
            Series("b", "x", [5.0, 10.0, 45.0]),
            Series("empty", "x", [], absent="not installed"),
        ],
    )
    assert measurement.verdict(goal) == (verdict, found)


def test_a_run_survives_its_way_through_json(tmp_path: Path) -> None:
    """Everything that is needed to draw it again is in the file."""
    path = tmp_path / "run.json"
    write(sample(), path)
    assert read(path) == sample()
    assert path.read_text("utf-8") == SAMPLE.read_text("utf-8")


def test_another_format_is_refused(tmp_path: Path) -> None:
    """A file of a later suite is not misread."""
    path = tmp_path / "run.json"
    write(msgspec.structs.replace(sample(), format=99), path)
    with pytest.raises(ValueError, match="format 99"):
        read(path)

"""`python -m benchmarks.stalls` over small worlds."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from benchmarks.stalls.__main__ import main
from benchmarks.stalls.episodes import episodes
from benchmarks.stalls.judged import Judged
from benchmarks.stalls.worlds import WorldResult
from detectors.decisions import Evidence, FeedReason, FeedSilent
from simulator.kinds import WorldKind
from simulator.simulation import simulate


def test_a_run_has_figures_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All detectors are judged in the same world; the figures are written and drawn."""
    pytest.importorskip("matplotlib", reason="make bench installs it")
    words = ["--worlds", "scheduled", "--parcels", "600", "--days", "24"]
    words += ["--variant", "soon=probability=0.01"]
    words += ["--json", str(tmp_path / "r.json"), "--plots", str(tmp_path)]
    assert main(words) == 0
    (result,) = msgspec.json.decode((tmp_path / "r.json").read_bytes(), type=list[WorldResult])
    names = [each.name for each in (result.ours, *result.others)]
    assert names[:3] == ["forewarn", "soon", "oracle"]
    assert "recall" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.svg")} == {
        "stalls-scheduled-1-recall.svg", "stalls-scheduled-1-lead.svg"
    }  # fmt: skip


def test_an_unknown_field_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A variant of a field that does not exist says so."""
    words = ["--worlds", "simple", "--parcels", "50", "--days", "10", "--no-anchors"]
    assert main([*words, "--variant", "x=no_such_field=1"]) == 2
    assert "no_such_field" in capsys.readouterr().out


def _silent(judged: Judged, carrier: str, hours: float) -> FeedSilent:
    at = judged.simulation.world.start + timedelta(hours=hours)
    evidence = Evidence(
        text="", unit="scans", observed=0, segment="", observations=0, model="", config=""
    )
    return FeedSilent(
        decision_id=f"{carrier}{hours}", episode_id=f"{carrier}{hours}",
        subject=f"carrier/{carrier}", decided_at=at, evidence=evidence, carrier=carrier,
        reason=FeedReason.NO_ARRIVALS, silent_since=at,
    )  # fmt: skip


def test_announcements_are_matched_with_what_was_planted() -> None:
    """The time to a silence's announcement is measured, and what nothing explains is false."""
    judged = Judged(simulate(900, 50, 2, kind=WorldKind.SIMPLE))
    silence, world = judged.simulation.plan.silences[0], judged.simulation.world
    name = world.carriers[silence.carrier].name
    right, wrong = silence.began + 0.5, min(s.began for s in judged.simulation.plan.silences) - 40
    said = [_silent(judged, name, right), _silent(judged, name, wrong)]
    feeds = episodes(judged, said)[0]
    assert feeds.planted[0].hours == pytest.approx(0.5)
    assert feeds.planted[1].hours is None
    assert feeds.false == int(wrong >= judged.learned)

"""Logs of other processes: reading, judging, and quantiles that keep their promise."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stalls.event_log import BadFileError, read_log, seconds_of
from benchmarks.stalls.exceedance import judged, pinball
from benchmarks.stalls.logs import forecast_of

HEADER = "CaseID,ActivityID,CompleteTimestamp\n"
START = datetime(2026, 1, 5, tzinfo=UTC)


def written(
    folder: Path, cases: int = 400, slower_from: float = 100.0, factor: float = 4.0
) -> Path:
    """Write a log of three stages in which all is slower from a day on; a third of cases stop."""
    rng = np.random.default_rng(7)
    rows = []
    for case in range(cases):
        day = rng.uniform(0, 200)
        for stage in ("asked", "seen", "answered")[: 2 + (rng.random() < 2 / 3)]:
            rows.append(f"{case},{stage},{START + timedelta(days=day):%Y-%m-%d %H:%M:%S}")
            day += rng.lognormal(0, 0.6) * (factor if day > slower_from else 1)
    path = folder / "log.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n", "utf-8")
    return path


def test_dwells_of_a_log(tmp_path: Path) -> None:
    """A dwell lasts to the next event of its case; the last one has no end."""
    rows = "".join(f"{case},a,2026-01-0{1 + case % 9} 10:00:00\n" for case in range(3, 60))
    path = tmp_path / "log.csv"
    path.write_text(
        f"{HEADER}1,a,2026-01-01 10:00:00\n1,b,2026/01/01 11:00:00.000\n"
        f"1,c,2026-01-01T11:00:30+00:00\n2,a,no time\n{rows}",
        "utf-8",
    )
    log = read_log(path)
    mine = log.case == 0
    assert log.seconds[mine].tolist() == [3600.0, 30.0, np.inf]
    assert log.skipped == 1
    assert [log.names[stage] for stage in log.stage[mine]] == ["a", "b", "c"]
    assert log.before[mine].tolist()[0] == -1
    assert log.judged.sum() == 0


def test_gzip_is_read_by_its_content(tmp_path: Path) -> None:
    """A compressed file is read whatever its name."""
    plain = written(tmp_path)
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_log(packed).began.tolist() == read_log(plain).began.tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no column"),
        ("", "events"),
        (HEADER + "1,a,2026-01-01 10:00:00\n" * 10, "at least"),
        (HEADER + "1,a,yesterday\n" * 90, "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """A file without the columns, with few events or with unreadable rows is said to be so."""
    path = tmp_path / "log.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(BadFileError, match=says):
        read_log(path)


def command(*words: str) -> int:
    """Run the command as it is run by hand."""
    for module in ("matplotlib", "lightgbm", "lifelines"):
        pytest.importorskip(module, reason="make bench installs it")
    from benchmarks.stalls.__main__ import main

    return main(words)


def test_a_missing_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says which file and ends with 2."""
    assert command("--log", str(tmp_path / "none.csv")) == 2
    assert "none.csv" in capsys.readouterr().err


def test_shares_are_kept_when_all_slows_down(tmp_path: Path) -> None:
    """Beyond .9 and .99 are 10 % and 1 % of dwells, though all takes four times as long."""
    log = read_log(written(tmp_path, cases=800))
    forecast = forecast_of(log)
    forecast.run()
    chosen = log.judged
    assert not np.isnan(forecast.in_force[chosen]).any()
    assert 0.085 < forecast.beyond[chosen, 0].mean() < 0.115
    assert 0.005 < forecast.beyond[chosen, 1].mean() < 0.015


def test_a_quantile_is_made_before_the_dwell_ends(tmp_path: Path) -> None:
    """What comes later changes no quantile of a dwell that had ended or passed it."""
    log = read_log(written(tmp_path))
    whole = forecast_of(log)
    whole.run()
    cut = 600
    now = log.began[cut]
    known = log._replace(ended=np.where(log.ended < now, log.ended, np.inf))
    columns = ("began", "ended", "case", "stage", "before", "earlier")
    part = forecast_of(known._replace(**{name: getattr(known, name)[:cut] for name in columns}))
    part.run()
    ended = np.flatnonzero((log.ended < log.began[cut - 60]) & (np.arange(len(log.began)) < cut))
    assert len(ended) > 150
    assert (whole.in_force[ended] == part.in_force[ended]).all()


def test_judging_counts(tmp_path: Path) -> None:
    """Exceedance is a share of judged dwells, in all and by eighths; pinball is in log10."""
    log = read_log(written(tmp_path))
    never = judged(log, np.full((len(log.began), 2), 1e12))
    assert never["exceedance"] == {"0.9": 0.0, "0.99": 0.0}
    assert len(never["eighths"]) == len(never["eighths_of_calendar"]) == 8
    assert sum(each["dwells"] for each in never["eighths_of_calendar"]) == never["dwells"]
    assert pinball(np.array([940.0]), np.array([40.0]), 0.9) == pytest.approx(0.9)


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints ours and every anchor with the same figures; without it there is a table."""
    path = written(tmp_path, cases=60)
    assert command("--log", str(path), "--plots", str(tmp_path), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"forewarn", "stage quantile", "Kaplan-Meier", "LightGBM"} <= rows.keys()
    assert all(row.keys() == rows["forewarn"].keys() for row in rows.values())
    assert {"log-log-9.svg", "log-log-99.svg"} <= {each.name for each in tmp_path.iterdir()}


def test_times() -> None:
    """Times without an offset are UTC."""
    assert seconds_of("1970-01-01 01:00:00") == seconds_of("1970-01-01T02:00:00+01:00") == 3600
    assert seconds_of(None) is seconds_of("soon") is None

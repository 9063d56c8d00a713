"""`forewarn surges score`: counts in, scores out, and what is wrong with a file is said."""

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import application
from pipeline.failures import Failure


def score(tmp_path: Path, text: str, *options: str, bucket: str = "1d") -> Result:
    """Run the command on a file of that text."""
    (tmp_path / "counts.csv").write_text(text, "utf-8")
    words = ["surges", "score", str(tmp_path / "counts.csv"), "--bucket", bucket]
    words += ["--out", str(tmp_path / "scores.csv"), *options]
    return CliRunner().invoke(application("surges"), words)


def rows_of(tmp_path: Path) -> list[dict[str, str]]:
    """Return what was written."""
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts_of(days: int, surge: int) -> str:
    """Return counts of two series by day; one surges from a day on."""
    chance, lines = np.random.default_rng(3), ["series,bucket,count"]
    for day in range(days):
        at = date(2026, 1, 1) + timedelta(days=day)
        lines.append(f"Hubei,{at},{chance.poisson(4.0) + 12 * (day >= surge)}")
        if day >= 5 and (quiet := chance.poisson(0.4)):
            lines.append(f'"Hunan, south",{at},{quiet}')
    return "\n".join(lines) + "\n"


def test_scores_each_bucket_from_first_appearance_on(tmp_path: Path) -> None:
    """A surge scores higher than all before, only there is an alarm, and zeros are filled in."""
    result = score(tmp_path, counts_of(90, 85), "--json")
    assert result.exit_code == 0, result.output
    report, rows = json.loads(result.stdout), rows_of(tmp_path)
    hubei = [row for row in rows if row["series"] == "Hubei"]
    hunan = [row for row in rows if row["series"] == "Hunan, south"]
    assert len(hubei) == 90
    assert [row["bucket"] for row in hunan] == [row["bucket"] for row in hubei][90 - len(hunan) :]
    scores = [float(row["score"]) for row in hubei]
    assert min(scores[86:]) > max(scores[:85])
    assert all(row["alarm"] == "1" for row in hubei[86:])
    assert report["series"] == 2
    assert report["alarms"] == sum(row["alarm"] == "1" for row in rows)
    assert float(hubei[84]["expected"]) == pytest.approx(4, rel=0.3)
    assert float(hubei[86]["p_value"]) < 1e-3


def test_judges_before_it_learns(tmp_path: Path) -> None:
    """What comes later changes nothing that was said."""
    text = counts_of(60, 55)
    score(tmp_path, text)
    whole = rows_of(tmp_path)
    score(tmp_path, "\n".join(text.splitlines()[:50]) + "\n")
    part = rows_of(tmp_path)
    assert part == whole[: len(part)]


def test_a_bucket_missing_for_all_counts_zero(tmp_path: Path) -> None:
    """Days without any line are days of nothing, as if they had been written."""
    score(tmp_path, "series,bucket,count\nA,2026-01-01,3\nA,2026-01-04,2\n")
    missing = rows_of(tmp_path)
    lines = "A,2026-01-01,3\nA,2026-01-02,0\nA,2026-01-03,0\nA,2026-01-04,2\n"
    score(tmp_path, "series,bucket,count\n" + lines)
    assert missing == rows_of(tmp_path)
    assert len(missing) == 4


@pytest.mark.parametrize(
    ("bucket", "first", "second", "third"),
    [
        ("1h", "2026-01-01T00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T03:00Z"),
        ("1h", "2026-01-01T00:00+08:00", "2025-12-31T17:00Z", "2026-01-01T03:00+08:00"),
        ("1w", "2026-W01", "2026-W02", "2026-W04"),
        ("1w", "2026-01-04", "2026-01-11", "2026-01-25"),
    ],
)
def test_buckets_as_iso_8601_has_them(
    tmp_path: Path, bucket: str, first: str, second: str, third: str
) -> None:
    """Hours, days and weeks are read in the forms in use, and echoed."""
    text = f"series,bucket,count\nA,{first},3\nA,{second},2\nA,{third},2\n"
    result = score(tmp_path, text, bucket=bucket)
    assert result.exit_code == 0, result.output
    said = [row["bucket"] for row in rows_of(tmp_path)]
    assert (len(said), said[0], said[1], said[3]) == (4, first, second, third)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "line 1: no column series, bucket, count in the header"),
        ("series,bucket\n", "line 1: no column count"),
        ("series,bucket,count\n", "holds no counts"),
        ("series,bucket,count\nA,2026-01-02,1\nA,2026-01-01,1\n", "line 3: 2026-01-01 after"),
        ("series,bucket,count\nA,2026-01-02,1\nA,2026-01-02,1\n", "line 3: 'A' counts twice"),
        ("series,bucket,count\nA,2026-01-02,-1\n", "line 2: a count lies between 0"),
        ("series,bucket,count\nA,2026-01-02,1.5\n", "line 2: '1.5' is no whole number"),
        ("series,bucket,count\nA,2nd of May,1\n", "line 2: '2nd of May' is no date"),
        ("series,bucket,count\n,2026-01-02,1\n", "line 2: a series has no name"),
        ("series,bucket,count\nA,2026-01-02\n", "line 2: too few columns"),
        ("series,bucket,count\nA,2026-01-02,1\nA,2026-01-02T06:00,1\n", "line 3: 2026-01-02T06"),
        ("series,bucket,count\nA,0001-01-01,1\nA,9026-01-02,1\n", "line 3: 3,29"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, lines: str, said: str) -> None:
    """A broken file is refused in words that name the line."""
    result = score(tmp_path, lines)
    assert isinstance(result.exception, Failure)
    assert said in str(result.exception)


def test_another_width_is_refused(tmp_path: Path) -> None:
    """Widths are an hour, a day or a week."""
    assert score(tmp_path, "series,bucket,count\n", bucket="5m").exit_code == 2

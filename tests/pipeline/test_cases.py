"""`forewarn test`: cases pass, and each way to be wrong is shown where it is written."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from configs.load import POLICIES, SHIPPED
from pipeline.cli import application

STALL = """
    background:
      - parcels: 80
        scans:
          - {at: 0 h, milestone: picked_up, region: R01}
          - {at: 20 h, milestone: arrived, region: R07}
          - {at: 30 h, milestone: delivered, region: R07}
    parcels: {P1: {customer: C1, scans: [{at: 0 h, milestone: picked_up, region: R01}]}}
    until: 72 h
"""


def tried(folder: Path, cases: str, *words: str | Path) -> tuple[int, str]:
    file = folder / "mine.yaml"
    file.write_text(f"cases:\n{cases}", "utf-8")
    result = CliRunner().invoke(application("test"), ["test", str(file), *map(str, words)])
    return result.exit_code, result.output + str(result.exception or "")


def test_the_shipped_cases_pass() -> None:
    """What the shipped policies are said to do, they do."""
    result = CliRunner().invoke(application("test"), ["test", "--json"])
    report = json.loads(result.output)
    assert report["ok"], [case for case in report["cases"] if not case["ok"]]
    assert len(report["cases"]) >= 10


def test_what_is_missing_is_shown(tmp_path: Path) -> None:
    """A wanted decision that is not made, with its line."""
    code, said = tried(
        tmp_path,
        "  - name: never\n    decisions: [{kind: stall.opened, reason: no_pickup, parcel_id: P1}]\n"
        "    expect:\n      - {kind: stall.opened, about: P1}\n"
        "      - {kind: customs.overdue, about: P1, between: [1 h, 2 d]}\n",
    )
    assert code == 1
    assert f"FAILED {tmp_path / 'mine.yaml'}:2: never" in said
    assert "    - customs.overdue P1 between 1 h and 48 h" in said
    assert "0 of 1 cases" in said


def test_what_is_said_and_not_expected_is_shown(tmp_path: Path) -> None:
    """An empty expectation means nothing may fire."""
    code, said = tried(tmp_path, f"  - name: silent{STALL}    expect: []\n")
    assert code == 1
    assert "    + stall.opened P1 no_movement at " in said


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("between: [1 h, 2 h]", "- stall.opened P1 between 1 h and 2 h"),
        ("asks: {amount_minor: 800}", "+ stall.opened P1 asks for amount_minor: 500"),
        ("asks: {hold: quiet_hours}", "+ stall.opened P1 asks for hold: none"),
        ("asks: nothing", "+ stall.opened P1 asks for a remedy"),
        ("reason: no_pickup", "- stall.opened P1 no_pickup"),
    ],
)
def test_what_is_different_is_shown(tmp_path: Path, expected: str, said: str) -> None:
    """Time, remedy and reason."""
    code, output = tried(
        tmp_path,
        f"  - name: other{STALL}    expect: [{{kind: stall.opened, about: P1, {expected}}}]\n",
    )
    assert code == 1
    assert said in output


def test_quiet_hours_hold_in_virtual_time(tmp_path: Path) -> None:
    """A decision in the night of the recipient waits for the morning."""
    text = (SHIPPED / POLICIES).read_text("utf-8")
    policies = text.replace("# quiet_hours:", "quiet_hours:")
    assert policies != text
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / POLICIES).write_text(policies, "utf-8")
    case = (
        "  - name: night\n"
        "    decisions: [{kind: stall.opened, reason: no_pickup, at: 2026-03-02T23:30:00+08:00}]\n"
        "    expect: [{kind: stall.opened, asks: {hold: quiet_hours,\n"
        "              not_before: 2026-03-03T08:00:00+08:00}}]\n"
    )
    assert tried(tmp_path, case, "--config", tmp_path / "config") == (
        0, "1 of 1 cases are as expected.\n",
    )  # fmt: skip


BESIDE = """  - name: a
    background: [{{{}, scans: [{{at: 0 h, milestone: label_created}}]}}]
    parcels: {{P1: {{scans: [{{at: 0 h, milestone: picked_up}}]}}}}
    until: {}
    expect: []"""
"""A case with a background; to be filled with what it is and how long the case lasts."""


@pytest.mark.parametrize("goes", ["every: 0 h, goes_on: false", "every: 2 min"])
def test_a_background_goes_on_within_its_bound(tmp_path: Path, goes: str) -> None:
    """One that stops may start all at once; one that goes on may be busy for days."""
    assert tried(tmp_path, BESIDE.format(goes, "4 d") + "\n")[0] == 0


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("  - {name: a, expect: []}", "needs parcels, complaints or decisions"),
        ("  - {name: a, decisions: [{kind: stall.open}], expect: []}", "kind must be one of"),
        ("  - {name: a, decisions: [{kind: feed.silent, milestone: x}], expect: []}",
         "feed.silent has no field 'milestone'"),
        (BESIDE.format("every: 0 h", "2 d"), "more than 5000 parcels beside"),
        (BESIDE.format("every: 1 min", "4 d"), "more than 5000 parcels beside"),
        ("  - {name: a, decisions: [{kind: stall.opened, reason: x}], expect: []}", "Invalid enum"),
        ("  - {name: a, complaints: [{at: 3, customer: C1}], expect: []}", "must be a span"),
        ("  - {name: a, complaints: [{at: 3 h, customer: C1}], expect: [{knd: x}]}", "unknown key"),
    ],
)  # fmt: skip
def test_mistakes_in_cases_are_told_with_their_line(tmp_path: Path, case: str, said: str) -> None:
    """A case that cannot be meant is an error of the file, not a failed case."""
    code, output = tried(tmp_path, f"{case}\n")
    assert code != 0
    assert "mine.yaml:2" in output
    assert said in output


def test_a_directory_without_cases(tmp_path: Path) -> None:
    """Nothing to try is no success."""
    shutil.copy(SHIPPED / POLICIES, tmp_path / POLICIES)
    result = CliRunner().invoke(application("test"), ["test", "--config", str(tmp_path)])
    assert result.exit_code != 0
    assert "no cases" in str(result.exception)


def test_what_scans_say_of_a_parcel_reaches_the_policies(tmp_path: Path) -> None:
    """From the scan to the rule: whether it is fragile, with where it is delivered beside it."""
    policies = yaml.safe_load((SHIPPED / POLICIES).read_text("utf-8"))
    remedy = {"template": "stall_apology", "coupon": {"amount_minor": 700, "validity_days": 30}}
    rule = {
        "name": "handle-with-care",
        "when": {"kind": "stall.opened", "fragile": True},
        "remedy": remedy | {"campaign": "stalls"},
    }
    config = tmp_path / "config"
    config.mkdir()
    (config / POLICIES).write_text(
        yaml.safe_dump(policies | {"policies": [rule, *policies["policies"]]}), "utf-8"
    )
    said = "customer: C1, fragile: {}, address_hash: 1f00ab5c9d7e"
    for fragile, asked in (("true", "handle-with-care"), ("false", "stalled-parcel")):
        stall = STALL.replace("customer: C1", said.format(fragile)).replace("P1:", "P9:")
        wanted = f"{{kind: stall.opened, about: P9, asks: {{rule: {asked}}}}}"
        expected = f"    expect:\n      - {wanted}\n"
        code, text = tried(tmp_path, f"  - name: care{stall}{expected}", "--config", config)
        assert code == 0, text

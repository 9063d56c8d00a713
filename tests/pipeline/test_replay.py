"""The replay drives the worker's tasks from files and says how well they did."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from configs.load import load_config
from detectors.decisions import Decision, SignoffAbnormal, StallCleared, StallOpened
from pipeline.cli import application
from pipeline.replay import Replayed, replay
from simulator.files import Compression, write_simulation
from simulator.simulation import simulate

_config = load_config()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world small enough to be replayed often."""
    folder = tmp_path_factory.mktemp("small")
    write_simulation(simulate(parcels=150, days=9, seed=4), folder)
    return folder


@pytest.fixture(scope="module")
def whole(small: Path) -> Replayed:
    """What the small world comes to in two partitions and large chunks."""
    return _replay(small)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The scorecard of a world large enough to be learned."""
    folder = tmp_path_factory.mktemp("world")
    write_simulation(simulate(parcels=2500, days=30, seed=11), folder)
    return _run(
        "--tracking", folder / "tracking.ndjson", "--complaints", folder / "complaints.ndjson",
        "--truth", folder / "truth.ndjson", "--decisions", folder / "decisions.ndjson",
        "--partitions", 1, "--json",
    )  # fmt: skip


def _run(*words: object) -> dict[str, Any]:
    run = CliRunner().invoke(application("replay"), ["replay", *map(str, words)])
    assert run.exit_code == 0, run.output
    read: dict[str, Any] = json.loads(run.stdout)
    return read


def _replay(folder: Path, partitions: int = 2, chunk: int = 4000) -> Replayed:
    tracking, complaints = folder / "tracking.ndjson", folder / "complaints.ndjson"
    return replay(_config, [tracking], [complaints], partitions, chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 170])
def test_chunks_do_not_show(small: Path, whole: Replayed, chunk: int) -> None:
    """However records are cut into chunks, the decisions are the same."""
    cut = _replay(small, chunk=chunk)
    assert msgspec.json.encode(cut.decisions) == msgspec.json.encode(whole.decisions)
    assert (cut.parcels, cut.through, cut.records) == (150, whole.through, whole.records)


def test_more_partitions_learn_as_well(small: Path) -> None:
    """Parcels are judged alike in two partitions and in five: all know the same."""
    kinds = (StallOpened, StallCleared, SignoffAbnormal)
    eager = {"parcels": {"late_cost": 0.5, "min_observations": 10}}
    config = replace(_config, detectors=type(_config.detectors).model_validate(eager))
    files = [small / "tracking.ndjson"], [small / "complaints.ndjson"]
    some, others = (
        [each for each in replay(config, *files, count).decisions if isinstance(each, kinds)]
        for count in (2, 5)
    )
    assert some
    assert msgspec.json.encode(some) == msgspec.json.encode(others)


def test_decisions_are_in_order_and_made_once(whole: Replayed) -> None:
    """By time and id, no id twice, none after the end of the data."""
    order = [(each.decided_at, each.decision_id) for each in whole.decisions]
    assert order == sorted(order)
    assert order
    assert len({decision_id for _, decision_id in order}) == len(order)
    assert order[-1][0].timestamp() <= whole.through


def test_packing_and_splitting_files_change_nothing(
    small: Path, whole: Replayed, tmp_path: Path
) -> None:
    """A file cut in two, one of them packed, gives what the whole one gives."""
    lines = (small / "tracking.ndjson").read_bytes().splitlines(keepends=True)
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"".join(lines[:500]))
    second.write_bytes(b"".join(lines[500:]))
    packed = write_simulation(simulate(150, 9, 4), tmp_path, Compression.ZSTD)
    split = replay(_config, [second, first], [packed[1]], 2)
    assert msgspec.json.encode(split.decisions) == msgspec.json.encode(whole.decisions)


def test_bad_lines_become_dead_letters_and_change_nothing(
    small: Path, whole: Replayed, tmp_path: Path
) -> None:
    """Every line is a record; what cannot be read is written with its reason, the rest judged."""
    tracking = tmp_path / "tracking.ndjson"
    lines = (small / "tracking.ndjson").read_bytes().splitlines(keepends=True)
    bad = [b"not json\n", b'{"event_id":"x"}\n', b"\xff\xfe\n"]
    tracking.write_bytes(b"".join([bad[0], *lines[:99], bad[1], *lines[99:], bad[2]]))
    decisions, dead = tmp_path / "decisions.ndjson", tmp_path / "dead.ndjson"
    card = _run(
        "--tracking", tracking, "--complaints", small / "complaints.ndjson",
        "--decisions", decisions, "--dead-letters", dead, "--partitions", 2, "--json",
    )  # fmt: skip
    assert card["records"]["tracking"] == len(lines) + len(bad)
    assert card["dead_letters"] == {"missing_field": 1, "not_json": 1, "not_utf8": 1}
    letters = [json.loads(line) for line in dead.read_text("utf-8").splitlines()]
    assert {letter["input"] for letter in letters} == {"tracking"}
    assert {letter["value"] for letter in letters} == {"not json", '{"event_id":"x"}', None}
    want = [msgspec.json.encode(each) for each in whole.decisions]
    assert decisions.read_bytes().splitlines() == want
    assert all(msgspec.json.decode(line, type=Decision) for line in want)


def test_planted_trouble_is_found(card: dict[str, Any]) -> None:
    """On a world of its own the shipped configuration finds trouble and cries wolf seldom."""
    stalls = card["stalls"]
    assert stalls["hits"]["planted"] >= 20
    assert stalls["hits"]["recall"] >= 0.25
    assert stalls["false_in_1000"] <= 60
    assert stalls["warned_before"] >= stalls["complained"] / 2
    assert stalls["hours_won"] > 6
    assert card["signoffs"]["recall"] >= 0.4
    assert card["surges"]["recall"] == 1
    assert card["surges"]["delay_hours"] < 24
    assert card["repeat_complainers"]["recall"] >= 0.9


def test_the_books_of_a_replay_balance(card: dict[str, Any]) -> None:
    """A simulated world has no dead letters, and every stall that cleared had opened."""
    assert card["dead_letters"] == {}
    opened = sum(card["decisions"]["stall.opened"].values())
    cleared = sum(card["decisions"]["stall.cleared"].values())
    assert opened >= cleared > 0


def test_a_person_can_read_the_scorecard(small: Path, tmp_path: Path) -> None:
    """Without --json it prints tables, with and without the truth."""
    words = ["replay", "--tracking", str(small / "tracking.ndjson"), "--partitions", "1"]
    words += ["--decisions", str(tmp_path / "d.ndjson")]
    run = CliRunner().invoke(application("replay"), words)
    assert run.exit_code == 0, run.output
    assert "parcels flagged" in run.stdout
    words += ["--truth", str(small / "truth.ndjson")]
    run = CliRunner().invoke(application("replay"), words)
    assert "abnormal sign-offs" in run.stdout
    assert "99th percentile" in run.stdout


def test_an_empty_file_is_no_failure(tmp_path: Path) -> None:
    """Nothing in, nothing out."""
    empty = tmp_path / "tracking.ndjson"
    empty.touch()
    card = _run("--tracking", empty, "--decisions", tmp_path / "d", "--json")
    assert card["through"] is None
    assert (tmp_path / "d").read_bytes() == b""


def test_nothing_to_read_is_wrong_usage(tmp_path: Path) -> None:
    """The command says which options are wanted."""
    words = ["replay", "--decisions", str(tmp_path / "d")]
    run = CliRunner().invoke(application("replay"), words)
    assert run.exit_code == 2
    assert "--tracking" in run.output

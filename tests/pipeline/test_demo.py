"""The demo: what it counts, and that it runs to its end and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from configs.load import load_config
from detectors.decisions import ClearedReason, StallCleared, StallOpened
from pipeline.demo import prepare
from pipeline.demo_summary import render, summarise
from pipeline.demo_watch import Seen, read_metrics
from pipeline.failures import Failure
from pipeline.ledger import State
from pipeline.remedies import Reason
from simulator.trouble import Kind
from simulator.truth import Truth
from tests.pipeline.test_explain import MONDAY, entries, opened

ROOT = Path(__file__).parent.parent.parent


def cleared(parcel: str) -> StallCleared:
    began = opened(parcel)
    kept = {name: getattr(began, name) for name in ("episode_id", "subject", "evidence")}
    return StallCleared(
        decision_id=f"c-{parcel}",
        decided_at=began.decided_at + timedelta(hours=5),
        parcel_id=parcel,
        carrier="swift",
        milestone=began.milestone,
        occurred_at=began.occurred_at,
        reason=ClearedReason.MOVED,
        stall_reason=began.reason,
        opened_at=began.decided_at,
        **kept,
    )


def seen() -> Seen:
    """Two stalls, one of them over; one coupon given, one refused."""
    seen = Seen()
    for decision in (opened("P1"), opened("P1"), opened("P2"), cleared("P2")):
        seen.see_decision(msgspec.json.encode(decision))
    given = entries("P1", (State.RESERVED, None), (State.ISSUED, None))
    refused = entries("P2", (State.REFUSED, Reason.EPISODE_OVER))
    for entry in [*given, *refused]:
        seen.see_entry(entry)
    return seen


def test_what_is_seen_is_counted_once() -> None:
    """A decision read twice is one; an ended stall is open no more; money is summed."""
    now = seen()
    assert now.kinds == {"stall.opened": 2, "stall.cleared": 1}
    assert [d.subject for d in now.open(StallOpened)] == ["parcel/swift/P1"]
    assert (now.coupons(), now.spent_minor()) == (1, 500)
    assert now.unsettled() == 1  # the customer has not been told yet


def test_the_summary_compares_with_what_was_planted() -> None:
    """Found against planted, time won over the complaint, money against budget, reasons."""
    began = MONDAY + timedelta(hours=1)
    truth = Truth(
        kind=Kind.STUCK,
        subject="parcel/swift/P1",
        parcel_id="P1",
        carrier="swift",
        began_at=began,
        p99_at=began + timedelta(hours=20),
        judged_until=began + timedelta(hours=60),
        complained_at=began + timedelta(hours=49),
    )
    summary = summarise(
        seen(),
        [truth],
        load_config().policies,
        parcels=100,
        scans=900,
        complaints=10,
        seconds=9.1,
        through=MONDAY + timedelta(days=10),
        dead_letters=0,
        books=[],
    )
    assert (summary.stalls.hits.planted, summary.stalls.hits.found) == (1, 1)
    assert (summary.stalls.hits.false, summary.stalls.hours_won) == (1, 20.0)
    assert (summary.money.coupons, summary.money.most_a_day_minor) == (1, 500)
    assert summary.money.withheld == {"refused: episode over": 1}
    assert summary.example == "swift/P1"
    page = "\n".join(render(summary))
    assert "1 of 1 planted were flagged in time" in page
    assert "1 of 1 customers who complained were told before, 20 h earlier" in page
    assert "1 worth ¥5.00; the most on one day was ¥5.00 of ¥20,000.00" in page
    assert "1 remedies have no outcome" in page
    balanced = msgspec.structs.replace(summary, unsettled=0)
    assert "balance: ledger = Redis = provider" in render(balanced)[-1]
    broken = msgspec.structs.replace(summary, unsettled=0, books=["paid_twice: rem_1: 2 coupons"])
    assert "DO NOT BALANCE: paid_twice" in render(broken)[-1]


def test_the_workers_metrics_say_how_far_it_is() -> None:
    """Events of both streams, the lag of all inputs, and the slowest clock."""
    state = read_metrics(
        'forewarn_events_total{input="tracking"} 40.0\n'
        'forewarn_events_total{input="complaints"} 2.0\n'
        'forewarn_events_total{input="counts"} 500.0\n'
        'forewarn_input_lag_records{input="counts",partition="0"} 3.0\n'
        'forewarn_clock_timestamp_seconds{input="tracking",partition="0"} 2000.0\n'
        'forewarn_clock_timestamp_seconds{input="tracking",partition="1"} 1000.0\n'
        'forewarn_dead_letters_total{input="tracking",reason="not_json"} 1.0\n'
    )
    assert (state.events, state.lag_records, state.dead_letters) == (42, 3, 1)
    assert state.clock is not None
    assert state.clock.timestamp() == 1000
    assert read_metrics('forewarn_clock_timestamp_seconds{partition="0"} -Inf\n').clock is None


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """The demo writes into an empty folder or its own, and refuses any other."""
    prepare(tmp_path / "new")
    prepare(tmp_path / "new")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(Failure, match="choose another with --keep"):
        prepare(tmp_path)


def processes_of(folder: Path) -> list[int]:
    """Ids of processes that work with a folder, or were started by one that does."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            opened_files = [str(fd.readlink()) for fd in (entry / "fd").iterdir()]
        except OSError:
            continue  # gone meanwhile, or not ours to look at
        if any(path.startswith(str(folder)) for path in opened_files):
            found.append(int(entry.name))
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A small demo in its own process, with its folder at `tmp_path / "demo"`."""
    yield from running_demo(tmp_path, seconds=6)


@pytest.fixture
def long_demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The same, slow enough to be interrupted before it ends, however busy the machine is."""
    yield from running_demo(tmp_path, seconds=120)


def running_demo(tmp_path: Path, *, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a demo whose stream takes about so many seconds; it does not outlive the test."""
    words = ["--parcels", "500", "--days", "14", "--seconds", str(seconds), "--json"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("FOREWARN_")}
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "demo", *words, "--keep", str(tmp_path / "demo")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def wait_for_stream(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the worker has said that it recovered a partition."""
    deadline = time.monotonic() + 90
    log = folder / "worker.log"
    while not (log.exists() and "partition recovered" in log.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_the_demo_runs_to_its_end(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    """Without a terminal it ends by itself, the books balance, the files are there, nobody runs."""
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, err
    summary = json.loads(out)
    assert (summary["parcels"], summary["unsettled"], summary["books"]) == (500, 0, [])
    assert summary["dead_letters"] == 0
    assert "streaming: " in err
    folder = tmp_path / "demo"
    names = {"decisions.ndjson", "ledger.ndjson", "tracking.ndjson", "truth.ndjson", "worker.log"}
    assert names <= {path.name for path in folder.iterdir()}
    assert processes_of(folder) == []


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(
    long_demo: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM stop broker, Valkey and every process of ours."""
    wait_for_stream(tmp_path / "demo", long_demo)
    assert len(processes_of(tmp_path / "demo")) >= 5
    long_demo.send_signal(number)
    _, err = long_demo.communicate(timeout=60)
    assert long_demo.returncode == 130
    assert "Traceback" not in err
    assert processes_of(tmp_path / "demo") == []


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_dead_child_ends_the_demo(long_demo: subprocess.Popen[str], tmp_path: Path) -> None:
    """When the worker dies, the demo says so with its log, exits with 1, and stops the rest."""
    folder = tmp_path / "demo"
    wait_for_stream(folder, long_demo)
    for process in processes_of(folder):
        if b"pipeline.cli\0worker" in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    _, err = long_demo.communicate(timeout=60)
    assert long_demo.returncode == 1
    assert "error: worker ended with -9" in err
    assert processes_of(folder) == []

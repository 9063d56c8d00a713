"""Killed, frozen and torn from its partition in mid-chunk, the worker loses and doubles nothing."""

import json
import random
import threading
from pathlib import Path

import pytest

from benchmarks.supervised import Supervised
from pipeline.stops import Fenced
from tests.pipeline.stage import SESSION_SECONDS, Stage, decide, events
from tests.real_parts import Broker

SLOW_SECONDS = 0.4


@pytest.fixture
def stage(kafka: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(kafka.bootstrap, name, tmp_path)
    stage.create()
    return stage


def _torment(workers: list[Supervised], dice: random.Random) -> None:
    for deed in ("kill", "freeze", "kill"):
        victim = dice.choice(workers)
        if deed == "kill":
            while not victim.kill():  # between two starts there is nobody to kill
                threading.Event().wait(0.1)
        else:
            victim.freeze(SESSION_SECONDS + 2)
        threading.Event().wait(dice.uniform(1, 3))


@pytest.mark.slow
def test_two_workers_killed_and_frozen(stage: Stage) -> None:
    """SIGKILL, and SIGSTOP for longer than the session: each decision exactly once."""
    scans = events(60_000)
    feeding = threading.Thread(target=stage.feed, args=(scans, 0.15))
    with stage.supervised("A") as a, stage.supervised("B") as b:
        feeding.start()
        _torment([a, b], random.Random(1))
        feeding.join()
        stage.until_decided(decide(scans))
        ends = {a.stop(), b.stop()}
    assert ends == {0}, "both stop gracefully in the end"
    assert -9 in a.exits + b.exits, "nobody was killed: the test proves nothing"
    assert stage.decided() == decide(scans)


@pytest.mark.slow
def test_a_partition_revoked_in_mid_chunk(stage: Stage) -> None:
    """A second worker joins while the first is in the middle of slow chunks."""
    scans = events(12_000)
    stage.feed(scans)
    slowly = {"FOREWARN_TEST_SLOW_SECONDS": str(SLOW_SECONDS)}
    with stage.worker(**slowly) as first:
        stage.until(stage.decided, first)
        with stage.worker(**slowly) as second:
            stage.until_decided(decide(scans), first)
            assert second.stop() == 0
        assert first.stop() == 0
    recovered = stage.log.read_text().count("partition recovered")
    assert recovered > 4, "no partition moved: the test proves nothing"
    assert '"kept": true' in stage.log.read_text(), "what stays is not recovered anew"
    assert stage.decided() == decide(scans)


@pytest.mark.slow
def test_a_zombie_in_mid_chunk_is_fenced(stage: Stage, tmp_path: Path) -> None:
    """One that was frozen with a chunk in its hands wakes up, may not commit it, and says so."""
    scans = events(12_000)
    stage.feed(scans)
    with stage.supervised("A") as zombie:
        stage.until(stage.decided)
        freezing = threading.Thread(target=zombie.freeze, args=(SESSION_SECONDS + 8,))
        freezing.start()
        with stage.worker() as heir:
            stage.until_decided(decide(scans), heir)
            stage.feed(events(2_000, first=12_000))
            freezing.join()
            scans += events(2_000, first=12_000)
            stage.until_decided(decide(scans), heir)
            log = tmp_path / "A.log"
            stage.until(lambda: zombie.exits or log.read_text().count("partitions assigned") > 1)
            ends = list(zombie.exits)
    assert ends in ([], [Fenced.exit_code]), "it was fenced, or learned in time that it was out"
    assert stage.decided() == decide(scans)


@pytest.mark.slow
def test_a_worker_with_a_name_comes_back_unnoticed(stage: Stage) -> None:
    """Restarted within the session, it has its partitions again and the other is not disturbed."""
    scans = events(40_000)
    feeding = threading.Thread(target=stage.feed, args=(scans, 0.15))
    feeding.start()
    stage.environment["FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS"] = "30"  # slower than any start
    with (
        stage.worker(FOREWARN_KAFKA__INSTANCE="a") as first,
        stage.supervised("b", FOREWARN_KAFKA__INSTANCE="b") as second,
    ):
        other = stage.folder / "b.log"
        stage.until(lambda: (_share(stage.log), _share(other)) == (2, 2), first)
        before = other.read_text().count("partitions assigned")
        assert first.stop() == 0
        first.start()
        feeding.join()
        stage.until_decided(decide(scans))
        assert other.read_text().count("partitions assigned") == before
        assert second.stop() == 0
    assert stage.decided() == decide(scans)


def _share(log: Path) -> int:
    """How many partitions a worker was assigned last."""
    text = log.read_text() if log.exists() else ""
    lines = [json.loads(line) for line in text.splitlines() if "partitions assigned" in line]
    return len(lines[-1]["partitions"]) if lines else 0

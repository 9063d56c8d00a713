"""The real worker with models that partitions share, against the replay of the same records."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from benchmarks.supervised import Supervised
from configs.load import load_config
from detectors.decisions import Decision
from pipeline.processes import Child
from pipeline.replay import replay
from simulator.files import write_simulation
from simulator.simulation import simulate
from tests.pipeline.stage import Event, Stage
from tests.real_parts import Broker

WORKER = [sys.executable, "-m", "pipeline.cli", "worker"]


@pytest.fixture
def stage(kafka: Broker, name: str, tmp_path: Path) -> Stage:
    stage = Stage(kafka.bootstrap, name, tmp_path)
    stage.create()
    return stage


def _world(stage: Stage) -> list[Decision]:
    """Write a small world into the topics and return what its replay decides."""
    folder = stage.folder / "world"
    world = simulate(parcels=2500, days=8, seed=4)
    write_simulation(world, folder)
    producer = Producer(
        {
            "bootstrap.servers": stage.kafka.brokers,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            # Without it a batch that is tried again comes after those behind it.
            "enable.idempotence": True,
        }
    )
    for source, (key, value, _) in world.records():
        producer.produce(stage.kafka.topic(source), value, key)
        producer.poll(0)
    assert producer.flush(60) == 0
    files = ([folder / "tracking.ndjson"], [folder / "complaints.ndjson"])
    return replay(load_config(), *files, stage.kafka.partitions).decisions


def _worker(stage: Stage, name: str, **more: str) -> Child:
    log = stage.folder / f"{name}.log"
    environment = {**stage.environment, **more}
    return Child("worker", WORKER, log=log, environment=environment, stop_seconds=40)


def _supervised(stage: Stage, name: str) -> Supervised:
    return Supervised(name, WORKER, environment=stage.environment, log=stage.folder / f"{name}.log")


def _said(stage: Stage) -> list[bytes]:
    """Return committed decisions as bytes, without the order of partitions."""
    return sorted(stage.values("decisions"), key=lambda value: _when(json.loads(value)))


def _when(decision: dict[str, str]) -> tuple[str, str]:
    return decision["decided_at"], decision["decision_id"]


def _wanted(decisions: list[Decision]) -> list[bytes]:
    written = [msgspec.json.encode(each) for each in decisions]
    return sorted(written, key=lambda value: _when(json.loads(value)))


def _differences(said: Iterable[bytes], wanted: Iterable[bytes]) -> str:
    """Return what was said and not wanted and the other way round, a line each; empty for none."""
    came, due = Counter(said), Counter(wanted)
    lines = [("said", each) for each in (came - due).elements()]
    lines += [("wanted", each) for each in (due - came).elements()]
    lines.sort(key=lambda line: (*_when(json.loads(line[1])), line[0]))
    return "\n".join(f"{side:7}{value.decode()}" for side, value in lines)


def test_the_worker_decides_what_the_replay_decides(stage: Stage) -> None:
    """Four partitions that teach each other: byte for byte the decisions of the replay."""
    wanted = _wanted(_world(stage))
    assert len(wanted) > 100
    with _worker(stage, "worker") as child:
        stage.until(lambda: len(stage.values("decisions")) >= len(wanted), child)
        assert child.stop() == 0, child.log_tail()
    assert not (differences := _differences(_said(stage), wanted)), differences
    assert stage.letters() == []


@pytest.mark.slow
def test_two_workers_one_of_them_killed_decide_the_same(stage: Stage) -> None:
    """Partitions of two processes teach each other; a crash in mid-epoch leaves no trace."""
    wanted = _wanted(_world(stage))
    with _supervised(stage, "A") as a, _supervised(stage, "B") as b:
        stage.until(lambda: len(stage.values("decisions")) >= len(wanted) // 4)
        a.kill()
        stage.until(lambda: len(stage.values("decisions")) >= len(wanted))
        assert {a.stop(), b.stop()} == {0}
    assert -9 in a.exits
    assert not (differences := _differences(_said(stage), wanted)), differences


def test_scans_that_wait_hold_up_neither_a_rebalance_nor_a_stop(stage: Stage) -> None:
    """While three partitions have nothing to say, the scans of one wait; the worker does not."""
    stage.feed([Event(number, "P1") for number in range(0, 5000, 100)])
    for_ever = {"FOREWARN_IDLE_SECONDS": "600"}
    with _worker(stage, "first", **for_ever) as first:
        stage.until(lambda: stage.values("lessons"), first)
        with _worker(stage, "second", **for_ever) as second:
            log = stage.folder / "second.log"
            stage.until(lambda: "partition recovered" in log.read_text(), second)
            assert second.stop() == 0
        assert first.stop() == 0
    for name in ("first", "second"):
        assert "took too long" not in (stage.folder / f"{name}.log").read_text()
    assert stage.values("counts") == []
    with _worker(stage, "third") as third:
        stage.until(lambda: stage.values("counts"), third)

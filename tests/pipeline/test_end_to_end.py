"""Simulator, real worker, real issuer: one stall, one remedy, one clearing."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from configs.load import load_config
from detectors.decisions import Decision, StallCleared, StallOpened, StallWorsened
from pipeline.policy import judge
from pipeline.processes import Child
from pipeline.remedies import RemedyRequest
from pipeline.replay import replay
from simulator.files import write_simulation
from simulator.simulation import Simulation, simulate
from tests.pipeline.delivering import Delivering, delivering
from tests.pipeline.stage import Stage
from tests.real_parts import Broker, RedisServer

FOREWARN = [sys.executable, "-m", "pipeline.cli"]


def chosen(decisions: Sequence[Decision]) -> tuple[StallOpened, StallCleared]:
    """Return a stall that is paid for and ends, of a parcel nothing else is said of."""
    policies = load_config().policies
    stalls = [d for d in decisions if isinstance(d, StallOpened | StallWorsened | StallCleared)]
    count = Counter(d.subject for d in decisions)
    ends = {d.episode_id: d for d in stalls if isinstance(d, StallCleared)}
    for opened in stalls:
        cleared = ends.get(opened.episode_id)
        if isinstance(opened, StallOpened) and cleared and count[opened.subject] == 2:
            if cleared.decided_at - opened.decided_at < timedelta(hours=12):
                continue
            wish = judge(opened, policies)
            if isinstance(wish, RemedyRequest) and not wish.hold and not wish.refuse:
                return opened, cleared
    raise AssertionError("the world has no such stall")


def feed(work: Delivering, world: Simulation, since: float, until: float) -> None:
    """Write what arrives from a time on and before another one, seconds since the epoch."""
    producer = Producer(
        {
            "bootstrap.servers": work.kafka.brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    for source, (key, value, arrival_ms) in world.records():
        if since <= arrival_ms / 1000 < until:
            producer.produce(work.kafka.topic(source), value, key)
            producer.poll(0)
    assert producer.flush(60) == 0


def explained(delivering: Delivering, subject: str) -> str:
    """Return what `forewarn explain` says of a parcel."""
    command = [*FOREWARN, "explain", subject.removeprefix("parcel/"), "--kafka"]
    environment = {**os.environ, **delivering.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_stall_one_explanation_one_remedy_one_clearing(
    kafka: Broker, redis_server: RedisServer, name: str, tmp_path: Path
) -> None:
    """A parcel falls silent: it is flagged, its customer is given a coupon, it moves, all once."""
    world = simulate(parcels=2000, days=8, seed=4)
    write_simulation(world, tmp_path / "world")
    files = ([tmp_path / "world/tracking.ndjson"], [tmp_path / "world/complaints.ndjson"])
    opened, cleared = chosen(replay(load_config(), *files, 2).decisions)
    stage = Stage(kafka.bootstrap, name, tmp_path)

    def said(kind: type[Any]) -> list[Any]:
        found = [msgspec.json.decode(value, type=Decision) for value in stage.values("decisions")]
        return [d for d in found if isinstance(d, kind) and d.subject == opened.subject]

    with delivering(tmp_path, kafka.bootstrap, redis_server.url, name) as work:
        stage.kafka = work.kafka
        environment = {**stage.environment, "FOREWARN_KAFKA__PARTITIONS": "2"}
        feed(work, world, 0.0, cleared.decided_at.timestamp())
        log = tmp_path / "worker.log"
        worker = Child("worker", [*FOREWARN, "worker"], log=log, environment=environment)
        with worker, work.process():
            stage.until(lambda: said(StallOpened), worker)
            stage.until(lambda: work.states().get(opened.parcel_id) == "issued", worker)
            feed(work, world, cleared.decided_at.timestamp(), inf)
            stage.until(lambda: said(StallCleared), worker)
            assert worker.stop() == 0, worker.log_tail()
        assert said(StallOpened) == [opened]
        assert said(StallCleared) == [cleared]
        told = explained(work, opened.subject)
        given = [row for row in work.given() if opened.parcel_id in str(row)]
        notices = [row for row in work.given("notifications") if opened.parcel_id in str(row)]
    assert len(given) == len(notices) == 1
    reason = opened.reason.value.replace("_", " ")
    assert told.count(f"* stall.opened: {reason}") == told.count("* stall.cleared: ") == 1
    assert opened.evidence.text in told
    assert cleared.evidence.text in told
    assert told.count("+ given: ") == 1

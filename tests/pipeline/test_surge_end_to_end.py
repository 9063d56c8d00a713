"""A region's complaints rise: one episode, one alert, the same with any number of partitions."""

import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import load_config
from detectors.decisions import (
    CapacityAlert,
    CapacityClosed,
    CapacityUpdated,
    Decision,
    SurgeClosed,
    SurgeOpened,
    SurgeUpdated,
)
from pipeline.processes import Child
from pipeline.replay import replay
from tests.pipeline.delivering import Delivering, delivering
from tests.pipeline.stage import Stage
from tests.real_parts import Alertmanager, Broker, RedisServer

BEGIN: Final = 1_772_409_600
"""Monday 2026-03-02 00:00 UTC."""
DAY: Final = 24
REGIONS: Final = [f"R{n:02d}" for n in range(12)]
HIT: Final = "R03"
RISES, CALM_AGAIN, END = 21 * DAY, 24 * DAY, 28 * DAY
KINDS: Final = (
    SurgeOpened, SurgeUpdated, SurgeClosed, CapacityAlert, CapacityUpdated, CapacityClosed,
)  # fmt: skip
FOREWARN: Final = [sys.executable, "-m", "pipeline.cli"]


@cache
def complaints(seed: int = 1) -> list[tuple[float, str, bytes]]:
    """Two complaints an hour and region, in one of them three and seven times as many for a while.

    Each with its time in seconds and its customer, in order.
    """
    random = np.random.default_rng(seed)
    said: list[tuple[float, str]] = []
    for hour in range(END):
        for region in REGIONS:
            boost = 1.0
            if region == HIT and RISES <= hour < CALM_AGAIN:
                boost = 3.0 if hour < RISES + DAY else 7.0
            times = BEGIN + (hour + random.random(random.poisson(2 * boost))) * 3600
            said += [(float(at), region) for at in times]
    told = []
    for number, (at, region) in enumerate(sorted(said)):
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        fields = {
            "complaint_id": f"c{number}", "customer_id": f"C{number}", "region": region,
            "category": "logistics", "occurred_at": moment, "received_at": moment,
        }  # fmt: skip
        told.append((at, f"C{number}", json.dumps(fields).encode()))
    return told


def of_regions(decisions: list[Decision]) -> list[tuple[str, str, str]]:
    """Return what is said of regions: kind, decision and episode, in order of time."""
    return [
        (type(d).__name__, d.decision_id, d.episode_id) for d in decisions if isinstance(d, KINDS)
    ]


def replayed(folder: Path, partitions: int, seed: int = 1) -> list[Decision]:
    """Return what so many partitions decide, without Kafka."""
    lines = folder / f"complaints-{seed}.ndjson"
    lines.write_bytes(b"\n".join(value for _, _, value in complaints(seed)))
    return replay(load_config(), [], [lines], partitions).decisions


@given(partitions=st.integers(2, 12), seed=st.integers(1, 3))
@settings(max_examples=4, deadline=None)
def test_partitions_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, partitions: int, seed: int
) -> None:
    """Many partitions say of regions what one says: the same decisions, with the same ids."""
    folder = tmp_path_factory.mktemp("partitions")
    alone = of_regions(replayed(folder, 1, seed))
    assert {"SurgeOpened", "CapacityAlert", "CapacityUpdated"} <= {kind for kind, _, _ in alone}
    assert of_regions(replayed(folder, partitions, seed)) == alone


def feed(work: Delivering, since: float, until: float) -> None:
    """Write the complaints from a time on and before another one, seconds since the epoch."""
    producer = Producer(
        {
            "bootstrap.servers": work.kafka.brokers, "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )  # fmt: skip
    for at, customer, value in complaints():
        if since <= at < until:
            producer.produce(work.kafka.topic("complaints"), value, customer)
            producer.poll(0)
    assert producer.flush(60) == 0


def listed(alertmanager: Alertmanager) -> dict[str, dict[str, Any]]:
    """Return the alerts of the region, by name."""
    with urlopen(f"{alertmanager.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)
    mine = [one for one in found if one["labels"].get("region") == HIT]
    assert len({one["labels"]["alertname"] for one in mine}) == len(mine), "an alert of each name"
    return {one["labels"]["alertname"]: one for one in mine}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("partitions", [1, 8])
def test_one_episode_one_alert_updated_and_resolved(
    kafka: Broker, redis_server: RedisServer, alertmanager: Alertmanager, name: str,
    tmp_path: Path, partitions: int,
) -> None:  # fmt: skip
    """Kafka, worker, deliver and Alertmanager: it fires, says more when it is worse, and ends."""
    expected = replayed(tmp_path, 1)
    wanted = of_regions(expected)
    alert = max(d.decided_at for d in expected if isinstance(d, CapacityAlert)).timestamp() + 1800
    worst = max(d.decided_at for d in expected if isinstance(d, CapacityUpdated)).timestamp() + 1800
    stage = Stage(kafka.bootstrap, name, tmp_path)

    def said() -> list[Decision]:
        found = [msgspec.json.decode(value, type=Decision) for value in stage.values("decisions")]
        return sorted(found, key=lambda d: (d.decided_at, d.decision_id))

    def firing(kind: type[Any]) -> bool:
        """Tell whether Alertmanager shows the last decision of a kind."""
        told = [d.decision_id for d in said() if isinstance(d, kind)]
        shown = listed(alertmanager).get("ForewarnCapacity")
        return bool(told and shown and shown["annotations"]["decision_id"] == told[-1])

    url = {"FOREWARN_ALERTMANAGER__URL": alertmanager.url}
    with delivering(
        tmp_path, kafka.bootstrap, redis_server.url, name, partitions=partitions, **url
    ) as work:
        stage.kafka = work.kafka
        environment = {**stage.environment, "FOREWARN_KAFKA__PARTITIONS": str(partitions)}
        log = tmp_path / "worker.log"
        worker = Child("worker", [*FOREWARN, "worker"], log=log, environment=environment)
        with worker, work.process():
            feed(work, 0, alert)
            stage.until(lambda: firing(CapacityAlert), worker)
            feed(work, alert, worst)
            stage.until(lambda: firing(CapacityUpdated), worker)
            assert set(listed(alertmanager)) == {"ForewarnCapacity", "ForewarnSurge"}
            feed(work, worst, BEGIN + END * 3600)
            stage.until(lambda: of_regions(said()) == wanted, worker)
            stage.until(lambda: not listed(alertmanager), worker)
            assert worker.stop() == 0, worker.log_tail()
        assert of_regions(said()) == wanted
    kinds = [kind for kind, _, _ in wanted]
    assert kinds.count("SurgeOpened") == kinds.count("CapacityAlert") == 1
    assert kinds.count("SurgeClosed") == kinds.count("CapacityClosed") == 1

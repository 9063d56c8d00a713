"""`forewarn simulate` writes files, or records as any producer would."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from typer.testing import CliRunner

from pipeline.cli import application
from pipeline.partition import partition_of
from simulator.simulation import simulate
from tests.real_parts import Broker

_PARTITIONS = 3


def _all(broker: Broker, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(_PARTITIONS)])
        messages: list[Message] = []
        while len(messages) < count:
            got = consumer.consume(count, timeout=20)
            assert got, f"only {len(messages)} of {count} records came"
            messages += got
    finally:
        consumer.close()
    assert not [message.error() for message in messages if message.error()]
    return messages


def test_records_are_keyed_stamped_and_partitioned_as_the_worker_expects(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record lies where its key's hash says, stamped with its arrival, in order."""
    for stream in ("tracking", "complaints"):
        broker.create_topic(f"{name}.{stream}", _PARTITIONS, retention_ms="-1")
    monkeypatch.setenv("FOREWARN_KAFKA__BROKERS", broker.bootstrap)
    monkeypatch.setenv("FOREWARN_KAFKA__PREFIX", name)
    words = ["simulate", "--parcels", "80", "--days", "12", "--seed", "9", "--kafka", "--json"]
    run = CliRunner().invoke(application("simulate"), words)
    assert run.exit_code == 0, run.output
    described = json.loads(run.stdout)
    want = list(simulate(80, 12, 9).tracking_records())
    assert described["tracking_events"] == len(want)
    messages = _all(broker, f"{name}.tracking", len(want))
    found = [(m.key(), m.value(), m.timestamp()[1]) for m in messages]
    assert sorted(found) == sorted(want)
    for partition in range(_PARTITIONS):
        mine = [m.value() for m in messages if m.partition() == partition]
        assert mine == [v for key, v, _ in want if partition_of(key, _PARTITIONS) == partition]


def test_files_and_a_summary(tmp_path: Path) -> None:
    """With --out the four files are written and named."""
    words = ["simulate", "--parcels", "50", "--days", "10", "--out", str(tmp_path), "--gzip"]
    run = CliRunner().invoke(application("simulate"), words)
    assert run.exit_code == 0, run.output
    written = {"tracking.ndjson.gz", "complaints.ndjson.gz", "truth.ndjson", "world.json"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert "tracking.ndjson.gz" in run.stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--out", "x", "--gzip", "--zstd"],
        ["--out", "x", "--speed", "5"],
        ["--out", "x", "--start", "2026-03-03"],
        ["--out", "x", "--parcels", "0"],
    ],
)
def test_wrong_usage_is_told(words: list[str]) -> None:
    """Nowhere to write, two packings, a speed for files, a start in mid-week: exit code 2."""
    run = CliRunner().invoke(application("simulate"), ["simulate", *words])
    assert run.exit_code == 2

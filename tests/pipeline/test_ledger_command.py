"""`forewarn ledger` from end to end: a person looks, decides, exports, rebuilds and verifies."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from configs.load import SHIPPED
from pipeline.ledger_command import ledger_app
from tests.pipeline.delivering import Delivering, delivering, stall
from tests.real_parts import Broker, RedisServer

pytestmark = pytest.mark.slow
WORD = ["--who", "Li Wei", "--why", "called the customer"]


@pytest.fixture
def parts(
    tmp_path: Path,
    broker: Broker,
    redis_server: RedisServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Delivering]:
    """Nothing is given without a person's word."""
    config = tmp_path / "config"
    config.mkdir()
    data = yaml.safe_load((SHIPPED / "policies.yaml").read_text("utf-8"))
    data["authority"]["automatic_minor"] = 1
    (config / "policies.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    (config / "detectors.yaml").write_bytes((SHIPPED / "detectors.yaml").read_bytes())
    with delivering(
        tmp_path, broker.bootstrap, redis_server.url, name, FOREWARN_CONFIG=str(config)
    ) as made:
        for variable, value in made.environment.items():
            if variable.startswith("FOREWARN_"):
                monkeypatch.setenv(variable, value)
        yield made


def run(*words: str) -> Result:
    return CliRunner().invoke(ledger_app, list(words))


def told(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_person_decides(parts: Delivering, tmp_path: Path) -> None:
    """Approved is given, rejected is refused, both keep who and why; the books balance."""
    parts.decide(stall(1), stall(2), stall(3))
    with parts.process():
        parts.wait_for({"P1": "held", "P2": "held", "P3": "held"})
        assert {row["parcel_id"] for row in told("list", "--state", "held")} == {"P1", "P2", "P3"}
        assert told("approve", "P1", *WORD)[0]["state"] in {"reserved", "issued"}
        [rejected] = told("reject", "P2", *WORD)
        assert rejected["state"] == "refused"
        parts.wait_for({"P1": "issued", "P2": "refused", "P3": "held"})
        [shown] = told("show", "P1")
        assert "Li Wei: called the customer" in {event["who"] for event in shown["history"]}
        assert run("show", "P1").stdout.count("Li Wei") == 1
        assert run("list").exit_code == 0
        late = run("approve", "P3", *WORD, "--expires-hours", "0.01", "--wait", "0")
        assert late.exit_code == 1, "nobody waited for it"
        parts.wait_for({"P1": "issued", "P2": "refused", "P3": "issued"})
        assert told("rebuild") == {"rebuilt": True}
        verified = told("verify", "--provider", f"{parts.provider_url}/coupons")
        assert verified["differences"] == []
        assert verified["issued"] == 2
    file = tmp_path / "out.csv"
    assert run("export", "--csv", str(file)).exit_code == 0
    with file.open(encoding="utf-8-sig", newline="") as stream:
        assert {row["parcel_id"] for row in csv.DictReader(stream)} == {"P1", "P2", "P3"}


def test_what_cannot_be_ruled(parts: Delivering) -> None:
    """An unknown name, nothing that waits, an empty reason: a sentence each, and exit code 1."""
    parts.decide(stall(1))
    with parts.process():
        parts.wait_for({"P1": "held"})
        told("reject", "P1", *WORD)
    for words, said in (
        (["show", "P9"], "no remedy for P9"),
        (["approve", "P9", *WORD], "no remedy for P9"),
        (["approve", "P1", *WORD], "nothing waits"),
    ):
        result = run(*words)
        assert result.exit_code == 1
        assert said in str(result.exception)
    assert "FOREWARN_KAFKA__PREFIX" in os.environ
    assert run("verify", "--provider", "ftp://x").exit_code == 1

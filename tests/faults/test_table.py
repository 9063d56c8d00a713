"""The short form of `make faults`: every attack once, and that the verifier sees what is wrong."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import rows
from tests.faults.parts import BUDGETS, shared
from tests.faults.rows.programs import former_is_at_hand
from tests.faults.table import ROWS, Outcome, run_rows
from tests.faults.verify import Truth, read_list
from tests.real_parts import kafka_is_installed, missing

SEEDS = (1,)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_attack_once(tmp_path: Path) -> None:
    """No coupon is doubled, lost or beyond a budget, whatever fails."""
    if not kafka_is_installed():
        missing("Apache Kafka", "java and Kafka's jars; .ci/run fetches them")
    assert rows.ALL
    beyond = set() if os.geteuid() == 0 else {"broker-disk-full"}  # it mounts a small disk
    beyond |= set() if former_is_at_hand() else {"program-changed"}
    chosen = [one for one in ROWS.values() if one.name not in beyond]

    async def run() -> list[Outcome]:
        async with shared(tmp_path) as parts:
            return [outcome async for outcome in run_rows(parts, chosen, SEEDS)]

    outcomes = asyncio.run(run())
    assert [outcome for outcome in outcomes if not outcome.good] == []
    assert sum(outcome.found for outcome in outcomes) > 500


REQUEST = {
    "parcel_id": "P1",
    "amount_minor": 500,
    "decided_at": "2026-03-02T12:00:00Z",
    "campaign": "stalls",
}


def truth_of(tmp_path: Path, states: dict[str, str], given: Sequence[tuple[str, str]]) -> Truth:
    """What a verifier makes of a ledger with these states and a list of (key, parcel)."""
    file = tmp_path / "list.ndjson"
    lines = [
        {
            "list": "coupons",
            "key": key,
            "reference": "c",
            "body": {"parcel_id": parcel, "reason": "no_movement", "amount_minor": 500},
        }
        for key, parcel in given
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    truth = Truth.of(dict.fromkeys(states, REQUEST), states)
    read_list(truth, file)
    return truth


def test_the_verifier_sees_a_double(tmp_path: Path) -> None:
    """Two keys for one parcel, or one key twice, are a coupon too many."""
    for given in ([("a", "P1"), ("b", "P1")], [("a", "P1"), ("a", "P1")]):
        assert truth_of(tmp_path, {"a": "issued", "b": "issued"}, given).doubled == 1


def test_the_verifier_sees_what_is_lost(tmp_path: Path) -> None:
    """Issued and not given is lost; given and not promised is worse; an open end is no end."""
    truth = truth_of(tmp_path, {"a": "issued", "b": "refused", "c": "unknown"}, [("b", "P2")])
    assert truth.lost() == ["a"]
    assert truth.unpromised() == ["b"]
    assert truth.unfinished == ["c"]


def test_the_verifier_sees_what_is_overspent(tmp_path: Path) -> None:
    """What is given, and what the ledger holds, is measured against every budget."""
    limits = BUDGETS | {"campaigns": {"stalls": {"total_minor": 500}}}
    given = [("a", "P1"), ("b", "P2")]
    assert truth_of(tmp_path, {"a": "issued", "b": "issued"}, given).overspent(limits) == 500
    assert truth_of(tmp_path, {"a": "issued", "b": "parked"}, []).overspent(limits) == 500
    assert truth_of(tmp_path, {"a": "issued", "b": "refused"}, []).overspent(limits) == 0

"""The ring with the real cores: a task recovered in mid-stream goes on as if nothing was."""

import msgspec
import pytest

from configs.load import load_config
from pipeline.partition import partition_of
from pipeline.records import RawRecord
from pipeline.ring import Ring
from pipeline.task import Input, Outcome, Task
from simulator.simulation import simulate

CHUNK = 150


@pytest.fixture(scope="module")
def records() -> list[RawRecord]:
    """The tracking records of one partition."""
    mine: list[RawRecord] = []
    for stream, (key, value, arrival_ms) in simulate(1500, 12, 3).records():
        if stream == "tracking" and partition_of(key, 4) == 0:
            mine.append(RawRecord(key, value, len(mine), arrival_ms))
    return mine


def _ring() -> Ring:
    return Ring(pages=2, least_page_bytes=1024)


def _decisions(outcomes: list[Outcome]) -> list[bytes]:
    return [msgspec.json.encode(each) for outcome in outcomes for each in outcome.decisions]


def _counts(outcomes: list[Outcome]) -> list[bytes]:
    return [msgspec.json.encode(each) for outcome in outcomes for each in outcome.counts]


def test_a_task_recovered_at_every_chunk_is_the_same_task(records: list[RawRecord]) -> None:
    """Growing rings, a crash after each chunk: the same decisions, counts and bytes of state."""
    config = load_config()
    steady, ring, log = Task(0, 4, config), _ring(), dict[bytes, bytes]()
    reborn = Task(0, 4, config)
    whole, broken = [], []
    for start in range(0, len(records), CHUNK):
        chunk = records[start : start + CHUNK]
        whole.append(steady.absorb(Input.TRACKING, chunk))
        reborn, ring = Task(0, 4, config), _ring()
        ring.recover(log, reborn)
        broken.append(reborn.absorb(Input.TRACKING, chunk))
        write = ring.write(reborn)
        log |= dict(write.values)
        for key in write.tombstones:
            log.pop(key, None)
    assert ring.pages > 2, "the ring did not grow: the test proves too little"
    assert _decisions(broken) == _decisions(whole)
    assert _decisions(whole), "nothing was decided: the test proves nothing"
    assert _counts(broken) == _counts(whole)
    assert [reborn.dump(page, 8) for page in range(8)] == [
        steady.dump(page, 8) for page in range(8)
    ]

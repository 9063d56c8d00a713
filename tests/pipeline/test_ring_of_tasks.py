"""The ring with the real cores: a task recovered in mid-stream goes on as if nothing was."""

import msgspec
import pytest

from configs.load import load_config
from pipeline.partition import partition_of
from pipeline.records import RawRecord
from pipeline.ring import Ring
from pipeline.task import Input, Outcome, Task
from simulator.simulation import simulate

CHUNK = 600
PARTITIONS = 2
EVERY = 3
Call = tuple[Input, list[RawRecord], Outcome]


@pytest.fixture(scope="module")
def steady() -> Task:
    """The task of the first of two partitions, before its first record."""
    return Task(0, PARTITIONS, load_config())


@pytest.fixture(scope="module")
def calls(steady: Task) -> list[Call]:
    """What it absorbs while it and the task of the other partition teach each other."""
    tasks = [steady, Task(1, PARTITIONS, load_config())]
    scans: list[list[RawRecord]] = [[] for _ in tasks]
    for stream, (key, value, arrival_ms) in simulate(1500, 12, 3).records():
        if stream == "tracking":
            mine = scans[partition_of(key, PARTITIONS)]
            mine.append(RawRecord(key, value, len(mine), arrival_ms))
    told: list[list[RawRecord]] = [[] for _ in tasks]
    calls: list[Call] = []
    while tasks[0].offsets[Input.TRACKING] < len(scans[0]) - CHUNK:
        for task in tasks:
            for source, log in ((Input.LESSONS, told), (Input.TRACKING, scans)):
                begin = task.offsets[source] + 1
                records = log[task.partition][begin : begin + CHUNK]
                outcome = task.absorb(source, records)
                if task is steady:
                    calls.append((source, records, outcome))
                for targets, lesson in outcome.lessons:
                    for heard in (told[target] for target in targets):
                        value = msgspec.msgpack.encode(lesson)
                        heard.append(RawRecord(None, value, len(heard), 0))
    return calls


def _ring() -> Ring:
    return Ring(pages=2, least_page_bytes=1024)


def _decisions(outcomes: list[Outcome]) -> list[bytes]:
    return [msgspec.json.encode(each) for outcome in outcomes for each in outcome.decisions]


def _counts(outcomes: list[Outcome]) -> list[bytes]:
    return [msgspec.json.encode(each) for outcome in outcomes for each in outcome.counts]


def test_a_task_recovered_in_mid_stream_is_the_same_task(steady: Task, calls: list[Call]) -> None:
    """Growing rings, one crash after another: the same decisions, counts, lessons and state."""
    config = load_config()
    reborn, ring, log = Task(0, PARTITIONS, config), _ring(), dict[bytes, bytes]()
    broken = []
    for number, (source, records, _) in enumerate(calls):
        if number % EVERY == 0:
            reborn, ring = Task(0, PARTITIONS, config), _ring()
            ring.recover(log, reborn)
        broken.append(reborn.absorb(source, records))
        write = ring.write(reborn)
        log |= dict(write.values)
        for key in write.tombstones:
            log.pop(key, None)
    whole = [outcome for _, _, outcome in calls]
    assert ring.pages > 2, "the ring did not grow: the test proves too little"
    assert _decisions(broken) == _decisions(whole)
    assert _decisions(whole), "nothing was decided: the test proves nothing"
    assert _counts(broken) == _counts(whole)
    assert [outcome.lessons for outcome in broken] == [outcome.lessons for outcome in whole]
    assert [reborn.dump(page, 8) for page in range(8)] == [
        steady.dump(page, 8) for page in range(8)
    ]

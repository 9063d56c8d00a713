"""A task takes records once, and sends what follows where it belongs."""

from dataclasses import replace

import msgspec
import pytest

from configs.load import Config, load_config
from detectors.base import Cell, Counts, Lesson, Metric
from detectors.flow import REGIONS_PARTITION
from detectors.lessons import DELAY
from pipeline.partition import partition_of
from pipeline.records import RawRecord
from pipeline.task import (
    Input,
    Outcome,
    Task,
    flow_partition,
    read_counts,
    read_lessons,
    sources_of,
)
from tests.pipeline.counting import counting_config
from tests.pipeline.stage import events

PARTITIONS = 4


def hourly() -> Config:
    """Return the shipped configuration with epochs of an hour."""
    config = load_config()
    parcels = config.parcels.model_copy(update={"epoch_seconds": 3600})
    return replace(config, detectors=config.detectors.model_copy(update={"parcels": parcels}))


def task() -> Task:
    return Task(1, PARTITIONS, counting_config())


def scans(count: int, first: int = 0) -> list[RawRecord]:
    return [
        RawRecord(scan.key, scan.value, first + place, 0)
        for place, scan in enumerate(events(count, first))
    ]


def test_records_are_taken_once() -> None:
    """Records at or below the offset reached change nothing, a chunk may overlap."""
    once, twice = task(), task()
    first = once.absorb(Input.TRACKING, scans(2000))
    again = twice.absorb(Input.TRACKING, scans(1500))
    assert not twice.absorb(Input.TRACKING, scans(1500))
    rest = twice.absorb(Input.TRACKING, scans(2000))
    assert first.decisions
    assert again.decisions + rest.decisions == first.decisions
    assert once.offsets == twice.offsets
    assert once.offsets[Input.TRACKING] == 1999
    assert once.dump(0, 1) == twice.dump(0, 1)


def test_every_flow_partition_hears_how_far_a_source_has_come() -> None:
    """A chunk over many minutes is one record for each partition; cells go to their series' own."""
    counts = task().absorb(Input.TRACKING, scans(5000)).counts
    assert [p for p, _ in counts] == list(range(PARTITIONS))
    assert {record.source for _, record in counts} == {"parcels/1"}
    assert len({record.through for _, record in counts}) == 1
    home = partition_of(b"swift", PARTITIONS)
    for p, record in counts:
        assert bool(record.cells) == (p == home)
    cells = counts[home][1].cells
    assert len({(c.metric, c.series, c.bucket, c.late_at) for c in cells}) == len(cells)


@pytest.mark.parametrize("cut", [1, 7, 600])
def test_how_minutes_are_bundled_does_not_show(cut: int) -> None:
    """Flow adds up the same, whether a source's minutes come in one record or in many."""

    def added(size: int) -> list[bytes]:
        source, flow = task(), task()
        records = scans(2400)
        for start in range(0, len(records), size):
            outcome = source.absorb(Input.TRACKING, records[start : start + size])
            for p, counts in outcome.counts:
                if p == partition_of(b"swift", PARTITIONS):
                    offset = flow.offsets[Input.COUNTS] + 1
                    value = msgspec.json.encode(counts)
                    flow.absorb(Input.COUNTS, [RawRecord(None, value, offset, 0)])
        return flow.dump(0, 1)

    assert added(cut) == added(2400)


def test_a_bad_record_is_a_dead_letter_of_its_input() -> None:
    """The others are judged, and the offset passes the bad one."""
    records = scans(10)
    records[3] = records[3]._replace(value=b"{")
    one = task()
    outcome = one.absorb(Input.TRACKING, records)
    ((source, letter),) = outcome.dead
    assert (source, letter.record, letter.reason) == (Input.TRACKING, records[3], "not_json")
    assert one.offsets[Input.TRACKING] == 9


def test_counts_that_cannot_be_read_are_dead_letters() -> None:
    """Only tasks write partial counts; whoever else does breaks nothing."""
    good = Counts(source="parcels/0", through=60, cells=(Cell(Metric.SCANS, "swift", 0, 1),))
    records = [
        RawRecord(None, msgspec.json.encode(good), 0, 0),
        RawRecord(None, None, 1, 0),
        RawRecord(None, b'{"source":1}', 2, 0),
    ]
    chunk = read_counts(records)
    assert chunk.events == [good]
    assert [letter.record.offset for letter in chunk.dead] == [1, 2]
    assert {letter.reason for letter in chunk.dead} == {"not_counts"}


def test_sources_are_the_cores_of_every_partition() -> None:
    """Flow waits for all of these."""
    assert sources_of(2) == ["parcels/0", "parcels/1", "complaints/0", "complaints/1"]


HOUR = 72_000
"""So many of the scans of the stage make an hour."""


def tell(outcome: Outcome, tasks: list[Task]) -> Outcome:
    """Let the lessons of an outcome come to the tasks, and what follows from them; return that."""
    follows = Outcome()
    for targets, lesson in outcome.lessons:
        for target in targets:
            one = tasks[target]
            record = RawRecord(
                None, msgspec.msgpack.encode(lesson), one.offsets[Input.LESSONS] + 1, 0
            )
            follows.add(one.absorb(Input.LESSONS, [record]))
    return tell(follows, tasks) if follows.lessons else follows


def test_scans_wait_for_lessons() -> None:
    """Two partitions keep within DELAY epochs of each other; what waits is taken up later."""
    config = hourly()
    tasks = [Task(number, 2, config) for number in range(2)]
    first = [event for hour in range(9) for event in scans(3, hour * HOUR)]
    first = [record._replace(offset=place) for place, record in enumerate(first)]
    first[-4] = first[-4]._replace(value=b"{")
    outcome = tasks[0].absorb(Input.TRACKING, first)
    assert tasks[0].offsets[Input.TRACKING] == -1
    assert tasks[0].latest > tasks[0].clock(Input.TRACKING), "whoever is idle may follow"
    tell(outcome, tasks)
    dead = 0
    for hour in range(9):
        now = 1_700_000_000.0 + 3600 * hour
        tell(tasks[1].advance(Input.TRACKING, now), tasks)
        outcome = tasks[0].absorb(Input.TRACKING, first)
        dead += len(outcome.dead)
        tell(outcome, tasks)
        tell(tasks[0].absorb(Input.TRACKING, first), tasks)
        hours = min(hour + DELAY, 9)
        assert tasks[0].offsets[Input.TRACKING] == 3 * hours - 1
        assert dead == (hours > 7), "what cannot be read waits with its neighbours"
    assert tasks[0].latest == float("-inf")


def test_how_often_scans_wait_does_not_show() -> None:
    """A partition that had to wait at every epoch is as one that never had to."""
    config = hourly()
    records = [
        record._replace(offset=place)
        for place, record in enumerate(
            record for hour in range(8) for record in scans(40, hour * HOUR)
        )
    ]
    states = []
    for ahead in (0, 50):
        tasks = [Task(number, 2, config) for number in range(2)]
        for hour in range(12):
            for task in (tasks[1], tasks[0]) if ahead else tasks:
                now = 1_700_000_000.0 + 3600 * (hour + ahead)
                if task is tasks[1]:
                    tell(task.advance(Input.TRACKING, now), tasks)
                else:
                    tell(task.absorb(Input.TRACKING, records), tasks)
        assert tasks[0].offsets[Input.TRACKING] == len(records) - 1
        end = 1_700_000_000.0 + 3600 * 70
        while tasks[0].clock(Input.TRACKING) < end:
            for task in tasks:
                tell(task.advance(Input.TRACKING, end), tasks)
        states.append(tasks[0].dump(0, 1)[0])
    assert states[0] == states[1]


def test_lessons_that_cannot_be_read_are_dead_letters() -> None:
    """Only tasks write lessons; whoever else does breaks nothing."""
    good = Lesson("parcels/0", 0, 0, 0, 3600, ())
    broken = msgspec.msgpack.encode(
        Lesson("parcels/0", 0, 0, 0, 3600, ((["a"], b"\xff\xff\0\0", b"\1\0\0\0"),))  # type: ignore[arg-type]
    )
    values = [msgspec.msgpack.encode(good), None, b"{}", broken]
    records = [RawRecord(None, value, offset, 0) for offset, value in enumerate(values)]
    chunk = read_lessons(records)
    assert chunk.events == [good]
    assert [letter.record.offset for letter in chunk.dead] == [1, 2, 3]
    assert {letter.reason for letter in chunk.dead} == {"not_lessons"}


@pytest.mark.parametrize("metric", [m for m in Metric if m is not Metric.SCANS])
def test_regions_are_judged_in_one_place(metric: Metric) -> None:
    """Whatever is counted of a region goes to one partition of flow; scans go by carrier."""
    homes = {flow_partition(metric, f"R{n}\x1flogistics", 8) for n in range(50)}
    assert homes == {REGIONS_PARTITION}
    assert len({flow_partition(Metric.SCANS, f"carrier{n}", 8) for n in range(50)}) == 8

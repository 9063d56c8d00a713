"""Looking at processes from outside: metrics, logs, processor time, memory, rates."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.usage import used
from benchmarks.watching import (
    Course,
    Look,
    Metrics,
    NotDone,
    Rate,
    cpu_seconds,
    logged_done,
    measure,
    peak_bytes,
    resident_bytes,
)
from pipeline.processes import Child

TEXT = """\
# HELP forewarn_events_total Records absorbed.
forewarn_events_total{input="tracking"} 120.0
forewarn_events_total{input="complaints"} 3.0
forewarn_input_lag_records{input="tracking",partition="1"} 7.0
forewarn_input_lag_records{input="tracking",partition="11"} 5.0
forewarn_assigned_partitions 4.0
"""


def test_metrics_are_summed_by_name_and_labels() -> None:
    """A partition is not taken for another whose number begins like it."""
    metrics = Metrics(TEXT)
    assert metrics.total("forewarn_events_total") == 123
    assert metrics.total("forewarn_events_total", input="tracking") == 120
    assert metrics.total("forewarn_input_lag_records", partition="1") == 7
    assert metrics.total("forewarn_assigned_partitions") == 4
    assert metrics.total("forewarn_unknown") == 0
    assert metrics
    assert not Metrics("")


def test_the_last_line_of_progress_counts(tmp_path: Path) -> None:
    """Whatever else a peer writes into its log."""
    log = tmp_path / "log"
    log.write_text("")
    assert logged_done(log) == 0
    log.write_text("done 5\nWARN something\ndone 1234\nnot done 7\n")
    assert logged_done(log) == 1234


def test_processor_time_and_memory_are_those_of_the_process() -> None:
    """Both grow with what the process does."""
    before = cpu_seconds(os.getpid())
    ballast = bytearray(os.urandom(1 << 20) * 64)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        ballast[0] ^= 1
    assert cpu_seconds(os.getpid()) > before
    assert len(ballast) <= resident_bytes() <= peak_bytes()


def test_a_command_is_charged_for_what_it_used() -> None:
    """Its output comes back; a failure is an error."""
    cost = used([sys.executable, "-c", "print(sum(range(3_000_000)))"])
    assert cost.output.strip() == "4499998500000"
    assert cost.cpu_seconds > 0
    assert cost.peak_bytes > 1 << 20


def test_a_process_that_ends_early_is_no_rate(tmp_path: Path) -> None:
    """What it wrote last is in the message."""
    argv = [sys.executable, "-c", "print('out of order')"]
    with Child("peer", argv, log=tmp_path / "log") as child:
        child.wait(30)
        with pytest.raises(NotDone, match="out of order"):
            measure({child: lambda: 0}, 100)


def test_a_rate_is_that_after_the_first_tenth() -> None:
    """A process that starts slowly and then works steadily is not blamed for its start."""
    course = Course(1000, most_seconds=60)
    looks = [Look(0, 0, 0), Look(8, 50, 4), Look(9, 200, 5), Look(10, 600, 6), Look(11, 1000, 7)]
    rates = [course.take(look) for look in looks]
    assert rates == [None] * 4 + [Rate(400, 400, 1000)]


def test_a_slow_process_is_cut_off_at_its_rate() -> None:
    """It counts from ten seconds after its first event, and not for longer than it was given."""
    course = Course(1_000_000, most_seconds=15)
    rates = [course.take(Look(second, 100 * second, second / 2)) for second in range(40)]
    assert next(second for second, rate in enumerate(rates) if rate) == 28
    assert rates[28] == Rate(100, 200, 2800)


def test_standing_still_is_noticed() -> None:
    """The time of the last progress is that of the look that showed it."""
    course = Course(1000, most_seconds=60)
    for look in (Look(1, 0, 0), Look(2, 7, 1), Look(9, 7, 1)):
        course.take(look)
    assert (course.done, course.moved_at) == (7, 2)

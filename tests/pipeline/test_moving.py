"""Tasks moved to other partitions in mid-stream go on as those that always had as many."""

from collections import Counter
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from configs.load import load_config
from detectors.base import Metric, StateError
from detectors.dealing import read_table
from detectors.decisions import (
    CustomerHighCare,
    CustomsOverdue,
    Decision,
    SignoffAbnormal,
    SignoffReason,
    StallCleared,
    StallOpened,
)
from detectors.flow import VERSION
from detectors.table import unpack
from pipeline.new_state import dealt
from pipeline.task import Input
from simulator.simulation import simulate
from tests.pipeline.moving import Partitions, Sent

LEARNED = {SignoffReason.WITHOUT_OUT_FOR_DELIVERY, SignoffReason.IMPLAUSIBLY_SOON}
"""What these say depends on what their partition has seen, so it differs with their number."""
END_SECONDS = 75 * 86_400


@lru_cache(maxsize=1)
def stream() -> list[Sent]:
    """Scans and complaints of some hundred parcels."""
    return [
        (Input(stream), key, value) for stream, (key, value, _) in simulate(1500, 9, 5).records()
    ]


@lru_cache(maxsize=8)
def undisturbed(partitions: int) -> Partitions:
    """The run that always had so many partitions."""
    run = Partitions(partitions, load_config())
    run.feed(stream())
    finish(run)
    return run


def finish(run: Partitions) -> None:
    """Let so much time pass that all that waits falls due and every parcel is forgotten."""
    run.settle()
    run.advance(Input.TRACKING, run.tasks[0].clock(Input.TRACKING) + END_SECONDS)


def certain(decisions: list[Decision]) -> Counter[str]:
    """The decisions that no model has a part in."""
    return Counter(
        each.decision_id
        for each in decisions
        if isinstance(each, CustomsOverdue | CustomerHighCare)
        or (isinstance(each, SignoffAbnormal) and each.reason not in LEARNED)
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    before=st.integers(1, 5),
    after=st.integers(1, 7),
    share=st.floats(0.02, 0.98),
)
@example(before=4, after=6, share=0.5)
@example(before=3, after=1, share=0.7)
def test_moved_in_mid_stream(before: int, after: int, share: float) -> None:
    """Nothing is decided twice, no episode is lost, and counts add up to the same."""
    sent = stream()
    cut = int(len(sent) * share)
    run = Partitions(before, load_config())
    run.feed(sent[:cut])
    run.settle()
    parcels = run.parcels()
    run.move(after)
    assert run.parcels() == parcels
    run.feed(sent[cut:])
    finish(run)
    wanted = undisturbed(after)
    assert certain(run.decisions) == certain(wanted.decisions)
    assert run.counted == wanted.counted
    opened = Counter(each.episode_id for each in run.decisions if isinstance(each, StallOpened))
    ended = Counter(each.episode_id for each in run.decisions if isinstance(each, StallCleared))
    assert set(opened.values()) <= {1}
    assert opened == ended
    if min(before, after) > 1:  # partitions that share what they learn open nearly the same
        usual = {each.episode_id for each in wanted.decisions if isinstance(each, StallOpened)}
        assert len(usual & set(opened)) >= 0.99 * len(usual | set(opened))


def test_the_cases_are_worth_something() -> None:
    """The undisturbed run has decisions of every kind that is compared."""
    run = undisturbed(6)
    kinds = Counter(type(each) for each in run.decisions)
    for kind in (StallOpened, StallCleared, CustomerHighCare, CustomsOverdue):
        assert kinds[kind] > 5, kinds
    assert kinds[SignoffAbnormal] > 0
    assert len(certain(run.decisions)) > 10
    assert {metric for metric, _ in run.counted} == set(Metric)


def keys(flow: bytes) -> list[tuple[str, list[str]]]:
    """The keys of each of flow's tables."""
    tables = map(read_table, unpack(VERSION, flow)[1])
    return [(table.name, table.keys) for table in tables]


def test_there_and_back_again() -> None:
    """P to N to P partitions: every parcel, customer and series as it was, byte for byte."""
    run = Partitions(4, load_config())
    run.feed(stream()[: len(stream()) // 2])
    run.settle()
    parcels, states = run.parcels(), [task.dump(0, 1) for task in run.tasks]
    run.move(6)
    run.move(4)
    assert run.parcels() == parcels
    for state, task in zip(states, run.tasks, strict=True):
        again = task.dump(0, 1)
        assert unpack(1, again[1])[1][0] == unpack(1, state[1])[1][0], "customers"
        assert keys(again[2]) == keys(state[2])
        assert task.clock(Input.COUNTS) > 0


def test_what_a_stall_was_opened_with_ends_it() -> None:
    """Stalls open when the partitions change are cleared by the new ones, each once."""
    sent = stream()
    run = Partitions(4, load_config())
    run.feed(sent[: len(sent) * 6 // 10])
    run.settle()
    opened = {each.episode_id for each in run.decisions if isinstance(each, StallOpened)}
    ended = {each.episode_id for each in run.decisions if isinstance(each, StallCleared)}
    open_then = opened - ended
    assert open_then, "nothing was open: the test proves nothing"
    before = len(run.decisions)
    run.move(6)
    assert len(run.decisions) == before
    run.feed(sent[len(sent) * 6 // 10 :])
    finish(run)
    later = [each.episode_id for each in run.decisions[before:] if isinstance(each, StallCleared)]
    assert all(later.count(episode) == 1 for episode in open_then)


def test_partitions_that_have_not_come_equally_far_are_refused() -> None:
    """Clocks must have met, or a deadline could fire early or twice."""
    run = Partitions(4, load_config())
    run.feed(stream()[:3000])
    with pytest.raises(StateError, match="equally far"):
        list(dealt([task.dump(0, 1) for task in run.tasks], 6, run.config))


def test_partitions_without_a_record_move() -> None:
    """A new system, or one without complaints, has state worth nothing and moves all the same."""
    run = Partitions(3, load_config())
    run.move(5)
    run.feed([each for each in stream()[:4000] if each[0] is Input.TRACKING])
    run.move(2)
    run.feed(stream()[4000:8000])
    run.settle()
    assert run.parcels()

"""A parcel's life, said in any vocabulary and read again, is the same up to what it cannot say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import Milestone, TrackingEvent
from pipeline.adapters.items import Options, Read
from pipeline.adapters.registry import adapter_of
from pipeline.adapters.table import VOCABULARIES
from tests.pipeline.adapters.writers import Said, codes, written

START = datetime(2026, 3, 1, tzinfo=UTC)
LIVES = st.lists(st.tuples(st.sampled_from(Milestone), st.integers(1, 90_000)), max_size=12)


@pytest.mark.parametrize("name", VOCABULARIES)
@settings(deadline=None)
@given(life=LIVES)
def test_what_can_be_said_comes_back(name: str, life: list[tuple[Milestone, int]]) -> None:
    """Milestones and times, in order; nothing is missing but what the vocabulary cannot say."""
    said, at = [], START
    for milestone, seconds in life:
        at += timedelta(seconds=seconds)
        said.append(Said(milestone, at))
    sayable = VOCABULARIES[name].says()
    read = [
        (item.event.milestone, item.event.occurred_at)
        for item in adapter_of(name, Options()).read(written(name, said))
        if isinstance(item, Read) and isinstance(item.event, TrackingEvent)
    ]
    assert read == [(each.milestone, each.at) for each in said if each.milestone in sayable]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_milestone_in_reach_is_said(name: str) -> None:
    """The writers leave nothing out, so the test above looks at all of it."""
    assert codes(name).keys() == VOCABULARIES[name].says()

"""The ledger's fold refuses the impossible; the books compare what three parties say."""

from collections.abc import Sequence

import msgspec
import pytest

from pipeline.books import Cache, Disagreement, expected_cache, reconcile
from pipeline.ledger import (
    RESERVING,
    TRANSITIONS,
    Book,
    BrokenLedger,
    RemedyEntry,
    State,
    decode_entry,
    encode_entry,
    fold,
)
from tests.pipeline.delivering import NOON
from tests.pipeline.issuing import request
from tests.pipeline.test_policy import SHIPPED_POLICIES

REQUEST = request(SHIPPED_POLICIES, 1)
WAYS: dict[State, Sequence[State]] = {
    State.RESERVED: (State.RESERVED,),
    State.SENT: (State.RESERVED, State.SENT),
    State.UNKNOWN: (State.RESERVED, State.UNKNOWN),
    State.ISSUED: (State.RESERVED, State.ISSUED),
    State.REFUSED: (State.REFUSED,),
    State.HELD: (State.HELD,),
    State.PARKED: (State.RESERVED, State.PARKED),
}
"""How a remedy gets into each state."""


def entry(state: State) -> RemedyEntry:
    return RemedyEntry(remedy_id=REQUEST.remedy_id, state=state, at=NOON, request=REQUEST)


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_transitions(before: State, after: State) -> None:
    """Only the transitions of the table are folded; repeating a state changes nothing."""
    book = fold(entry(state) for state in WAYS[before])
    if after is before or after in TRANSITIONS[before]:
        book.apply(entry(after))
        assert book.accounts[REQUEST.remedy_id].state is after
    else:
        with pytest.raises(BrokenLedger):
            book.apply(entry(after))


@pytest.mark.parametrize("state", list(State))
def test_money_of_a_state(state: State) -> None:
    """Reserved and spent follow the state, in every budget of the remedy."""
    book = fold(entry(step) for step in WAYS[state])
    budgets = expected_cache([book]).budgets
    times = ("2026-03-02", "2026-03")
    places = ("global", "region/R01", "campaign/stalls")
    taken = {f"{place}/{time}": 500 for place in places for time in times}
    taken |= {"campaign/stalls": 500, "remedies/2026-03-02": 1}
    reserved, spent = int(state in RESERVING), int(state is State.ISSUED)
    assert budgets == {key: (reserved * much, spent * much) for key, much in taken.items()}


def test_a_first_entry_needs_its_request() -> None:
    """A remedy that begins in the middle is a broken ledger."""
    with pytest.raises(BrokenLedger):
        Book().apply(msgspec.structs.replace(entry(State.RESERVED), request=None))


def test_entries_survive_the_wire() -> None:
    """An entry is read as it was written; anything else is a broken ledger."""
    assert decode_entry(encode_entry(entry(State.HELD))) == entry(State.HELD)
    for value in (b"", b"{}", b'{"type":"remedy"}'):
        with pytest.raises(BrokenLedger):
            decode_entry(value)


@pytest.mark.parametrize(
    ("states", "redis", "coupons", "found"),
    [
        (WAYS[State.ISSUED], None, ["R"], []),
        (WAYS[State.ISSUED], None, [], [Disagreement.IN_LEDGER_NOT_PAID]),
        (WAYS[State.ISSUED], None, ["R", "R"], [Disagreement.PAID_TWICE]),
        (WAYS[State.REFUSED], None, ["R"], [Disagreement.PAID_NOT_IN_LEDGER]),
        (WAYS[State.PARKED], None, ["R"], []),
        (WAYS[State.PARKED], None, [], []),
        ((), None, ["R"], [Disagreement.PAID_NOT_IN_LEDGER]),
        (
            WAYS[State.HELD],
            Cache({}, {"campaign/stalls": (5, 0)}),
            [],
            [Disagreement.REDIS_STATE, Disagreement.REDIS_BUDGET],
        ),
    ],
)
def test_reconcile(
    states: Sequence[State], redis: Cache | None, coupons: list[str], found: list[Disagreement]
) -> None:
    """Every kind of disagreement is found, and nothing else."""
    book = fold(entry(state) for state in states)
    keys = [REQUEST.remedy_id for _ in coupons]
    cache = expected_cache([book]) if redis is None else redis
    assert [difference.what for difference in reconcile([book], cache, keys)] == found

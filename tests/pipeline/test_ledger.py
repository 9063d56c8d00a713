"""The ledger's fold refuses the impossible; the books compare what three parties say."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.books import Cache, Disagreement, expected_cache, reconcile
from pipeline.ledger import (
    RESERVING,
    TRANSITIONS,
    Book,
    BrokenLedger,
    NotificationEntry,
    RemedyEntry,
    State,
    Told,
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


@st.composite
def ledgers(draw: st.DrawFn) -> list[RemedyEntry | NotificationEntry]:
    """Some remedies' entries, each by the table of transitions, shuffled into one another."""
    states: dict[int, State | None] = {}
    entries: list[RemedyEntry | NotificationEntry] = []
    for number in draw(st.lists(st.integers(0, 4), max_size=30)):
        before = states.get(number)
        wish = request(SHIPPED_POLICIES, number)
        ways = sorted(TRANSITIONS[before])
        if before is State.ISSUED:
            told = draw(st.sampled_from(sorted(Told)))
            entries.append(
                NotificationEntry(remedy_id=wish.remedy_id, told=told, at=NOON, attempts=1)
            )
        elif ways:
            after = states[number] = draw(st.sampled_from(ways))
            first = wish if before is None else None
            attempts = draw(st.integers(0, 3))
            entries.append(
                RemedyEntry(
                    remedy_id=wish.remedy_id,
                    state=after,
                    at=NOON,
                    request=first,
                    attempts=attempts,
                    doubt=draw(st.booleans()),
                    body="{}" if after is State.RESERVED else None,
                )
            )
    return entries


@given(entries=ledgers(), data=st.data())
def test_the_fold_over_restarts(
    entries: list[RemedyEntry | NotificationEntry], data: st.DataObject
) -> None:
    """However often a process starts again, and reads its last entries twice: the same book.

    Each life reads the ledger from its beginning over the wire, applies what it writes itself, and
    may have told itself something already that it then reads back.
    """
    whole = fold(entries)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(entries)), max_size=4)))]
    for cut, end in zip(cuts, [*cuts[1:], len(entries)], strict=True):
        life = fold(decode_entry(encode_entry(entry)) for entry in entries[:cut])
        again = data.draw(st.integers(0, 1))
        for entry in [*entries[max(cut - again, 0) : cut], *entries[cut:end]]:
            life.apply(entry)
        life.offset = end
        assert books_equal(life, fold(entries[:end]))
    assert {scope for scope, minor in whole.reserved_minor.items() if minor < 0} == set()


def books_equal(one: Book, other: Book) -> bool:
    """All of it, also what is kept to find accounts quickly."""
    return (
        one.accounts == other.accounts
        and one.alerts == other.alerts
        and +one.reserved_minor == +other.reserved_minor
        and +one.spent_minor == +other.spent_minor
        and {a.request.remedy_id for a in one.open()} == {a.request.remedy_id for a in other.open()}
        and {a.request.remedy_id for a in one.held()} == {a.request.remedy_id for a in other.held()}
        and one.offset == other.offset
    )


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

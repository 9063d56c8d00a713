"""A person's word: what it lifts, what it frees, and that it counts once and not for ever."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from configs.policy_schema import Policies
from pipeline.ledger import State, Told
from pipeline.remedies import Reason, RemedyRequest, Ruling, Verdict
from sinks.base import Refused, RefusedReason, Unknown, UnknownReason
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON
from tests.pipeline.issuing import World, request
from tests.pipeline.test_money import SMALL, outcomes, world_of
from tests.pipeline.test_policy import changed
from tests.real_parts import RedisServer


def word(wish: RemedyRequest, verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Ruling:
    fields: dict[str, Any] = {
        "remedy_id": wish.remedy_id,
        "subject": wish.subject,
        "verdict": verdict,
        "who": "Li Wei",
        "why": "called the customer",
        "decided_at": NOON,
        "expires_at": NOON + timedelta(hours=24),
    }
    return Ruling(**(fields | changes))


def held(policies: Policies, number: int, **changes: Any) -> RemedyRequest:
    wish = request(policies, number)
    return msgspec.structs.replace(wish, hold=Reason.OVER_AUTHORITY, **changes)


def test_approved_once(redis_server: RedisServer, name: str) -> None:
    """What is held is given on a person's word, who is in the ledger; again it changes nothing."""
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies) as (world, run):
        wish = held(policies, 1)
        run(world.issuers[0].work([wish]))
        assert outcomes(world) == {"P1": ("held", Reason.OVER_AUTHORITY)}
        for _ in range(2):
            run(world.issuers[0].work([word(wish)]))
            world.issuers[0] = world.owner(0)
        assert outcomes(world) == {"P1": ("issued", None)}
        assert b"Li Wei" in b"".join(world.logs[0].entries)
        assert len(messages(world)) == 1


def messages(world: World) -> list[str]:
    assert isinstance(world.coupons, MemorySink)
    return list(world.coupons.messages)


def test_a_word_does_not_raise_a_budget(redis_server: RedisServer, name: str) -> None:
    """An approved remedy goes through budgets like any other."""
    budgets: dict[str, Any] = {**SMALL["budgets"], "global_per_day_minor": 499}
    policies = changed(**(SMALL | {"budgets": budgets}))
    with world_of(redis_server.url, name, policies) as (world, run):
        wish = held(policies, 1)
        run(world.issuers[0].work([wish]))
        run(world.issuers[0].work([word(wish)]))
        assert outcomes(world) == {"P1": ("refused", Reason.BUDGET_GLOBAL)}


def test_expired(redis_server: RedisServer, name: str) -> None:
    """A word that is read too late has no effect."""
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies) as (world, run):
        wish = held(policies, 1)
        run(world.issuers[0].work([wish]))
        world.pass_time(25 * 3600)
        run(world.issuers[0].work([word(wish)]))
        assert outcomes(world)["P1"][0] == "held"


def test_approved_at_night(redis_server: RedisServer, name: str) -> None:
    """A person's word does not wake the customer: it is given when the night ends, and then is."""
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies) as (world, run):
        wish = held(policies, 1, not_before=NOON + timedelta(hours=8))
        run(world.issuers[0].work([wish]))
        run(world.issuers[0].work([word(wish)]))
        assert outcomes(world) == {"P1": ("held", Reason.QUIET_HOURS)}
        world.pass_time(8 * 3600)
        run(world.issuers[0].work([]))
        assert outcomes(world) == {"P1": ("issued", None)}


@pytest.mark.parametrize(
    ("verdict", "after"),
    [
        (Verdict.APPROVE, ("issued", None)),
        (Verdict.FOUND, ("issued", None)),
        (Verdict.REJECT, ("refused", Reason.REJECTED_BY_PERSON)),
    ],
)
def test_parked(
    redis_server: RedisServer, name: str, verdict: Verdict, after: tuple[str, str | None]
) -> None:
    """What is parked is asked again with the same key and body, or settled without asking."""
    silent = MemorySink([Unknown(UnknownReason.TIMED_OUT, "")] * 3)
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies, coupons=silent) as (world, run):
        wish = request(policies, 1)
        run(world.issuers[0].work([wish]))
        for _ in range(4):
            world.pass_time(10)
            run(world.issuers[0].work([]))
        assert outcomes(world)["P1"][0] == "parked"
        run(world.issuers[0].work([word(wish, verdict)]))
        assert outcomes(world) == {"P1": after}
        assert len(silent.attempts) == (4 if verdict is Verdict.APPROVE else 3)
        assert len({(m.key, m.body) for m in silent.attempts}) == 1
        reserved = sum(book.reserved_minor["campaign/stalls"] for book in world.books())
        assert reserved == 0


def test_refused_after_doubt(redis_server: RedisServer, name: str) -> None:
    """A provider that may have given it and then refuses it is not believed: a person looks."""
    lost = (Unknown(UnknownReason.TIMED_OUT, ""), True)
    sink = MemorySink([lost, Refused(RefusedReason.REJECTED, "never heard of it")])
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies, coupons=sink) as (world, run):
        run(world.issuers[0].work([request(policies, 1)]))
        world.pass_time(10)
        run(world.issuers[0].work([]))
        assert outcomes(world) == {"P1": ("parked", Reason.REFUSED_AFTER_DOUBT)}


def test_busy_leaves_no_doubt(redis_server: RedisServer, name: str) -> None:
    """After a 429, which comes instead of the effect, a refusal is a refusal."""
    busy = Unknown(UnknownReason.BUSY, "429", 3.0)
    sink = MemorySink([busy, Refused(RefusedReason.REJECTED, "no such customer")])
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies, coupons=sink) as (world, run):
        run(world.issuers[0].work([request(policies, 1)]))
        world.pass_time(2)
        assert not world.issuers[0].due(), "Retry-After is obeyed"
        world.pass_time(2)
        run(world.issuers[0].work([]))
        assert outcomes(world) == {"P1": ("refused", Reason.PROVIDER_REFUSED)}


def test_asked_once(redis_server: RedisServer, name: str) -> None:
    """A provider that cannot repeat is asked once: unclear, or a crash in mid-call, is parked."""
    sink = MemorySink([Unknown(UnknownReason.TIMED_OUT, "")])
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies, coupons=sink, repeats=False) as (world, run):
        wish = request(policies, 1)
        run(world.issuers[0].work([wish, request(policies, 2)]))
        assert outcomes(world)["P1"] == ("parked", Reason.SENT_AND_LOST)
        assert outcomes(world)["P2"] == ("issued", None)
        run(world.issuers[0].work([word(wish)]))
        assert outcomes(world)["P1"][0] == "parked", "not even on a person's word"
        run(world.issuers[0].work([word(wish, Verdict.FOUND, reference="c_1")]))
        assert outcomes(world)["P1"] == ("issued", None)
        assert len(sink.attempts) == 2


def test_gone_switches_off(redis_server: RedisServer, name: str) -> None:
    """After a 410 nothing is sent until the process is started again; nothing is parked for it."""
    sink = MemorySink([Unknown(UnknownReason.GONE, "410")])
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies, coupons=sink) as (world, run):
        run(world.issuers[0].work([request(policies, 1)]))
        for number in range(2, 12):
            world.pass_time(3600)
            run(world.issuers[0].work([request(policies, number)]))
        assert len(sink.attempts) == 1
        states = {state for state, _ in outcomes(world).values()}
        assert states <= {State.RESERVED, State.UNKNOWN, State.REFUSED}
        world.issuers[0] = world.owner(0)
        run(world.issuers[0].work([]))
        assert State.ISSUED in {state for state, _ in outcomes(world).values()}


GONE = Unknown(UnknownReason.GONE, "410")


def test_gone_is_remembered_beyond_the_process(redis_server: RedisServer, name: str) -> None:
    """Whoever starts after a 410 sends one message and no more while the answer is 410."""
    sink = MemorySink([GONE] * 12)
    policies = changed()
    with world_of(redis_server.url, name, policies, coupons=sink) as (world, run):
        run(world.issuers[0].work([request(policies, number) for number in range(5)]))
        sent = len(sink.attempts)
        for start in range(1, 4):
            world.issuers[0] = world.owner(0)
            for _ in range(3):
                run(world.issuers[0].work([]))
            assert len(sink.attempts) == sent + start
        sink.script([])
        world.issuers[0] = world.owner(0)
        for _ in range(2):
            run(world.issuers[0].work([]))
        assert {state for state, _ in outcomes(world).values()} == {State.ISSUED}
        assert len(sink.messages) == 5


@pytest.mark.parametrize("which", ["notices", "actions"])
def test_gone_before_the_customer_is_told(redis_server: RedisServer, name: str, which: str) -> None:
    """Where messages or upgrades go to nobody, nothing is given up: it waits, and is sent once."""
    sink = MemorySink([GONE] * 12)
    policies = changed()
    with world_of(redis_server.url, name, policies, **{which: sink}) as (world, run):
        run(world.issuers[0].work([request(policies, number) for number in range(2)]))
        sent = len(sink.attempts)
        for start in range(1, 4):
            world.issuers[0] = world.owner(0)
            for _ in range(4):
                world.pass_time(3600)
                run(world.issuers[0].work([]))
            assert len(sink.attempts) == sent + start
        sink.script([])
        world.issuers[0] = world.owner(0)
        for _ in range(3):
            world.pass_time(3600)
            run(world.issuers[0].work([]))
        assert len(sink.messages) == 2
        assert {account.told for book in world.books() for account in book.accounts.values()} == {
            Told.DELIVERED
        }

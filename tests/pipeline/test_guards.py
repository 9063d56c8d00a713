"""What keeps money from going where it should not: each guard with its recorded reason."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from configs.condition_schema import Kind
from configs.policy_schema import Policies
from detectors.decisions import (
    CareReason,
    ClearedReason,
    CustomerHighCare,
    FeedReason,
    FeedSilent,
    StallReason,
)
from pipeline.alerts import alert_of
from pipeline.books import read_cache, reconcile
from pipeline.ledger import Entry
from pipeline.ledger_view import rows
from pipeline.policy import judge
from pipeline.remedies import EpisodeEnded, Reason
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON, cleared, stall
from tests.pipeline.issuing import Log, MemoryLedger, World, request
from tests.pipeline.test_money import SMALL, outcomes, world_of
from tests.pipeline.test_policy import changed, like_stall
from tests.real_parts import RedisServer


def became(world: World, wishes: list[Any]) -> list[tuple[str, Reason | None]]:
    """State and reason of each request."""
    accounts = {k: a for book in world.books() for k, a in book.accounts.items()}
    found = [accounts[wish.remedy_id] for wish in wishes]
    return [(str(account.state), account.reason) for account in found]


def test_once_a_policy_window(redis_server: RedisServer, name: str) -> None:
    """A parcel that stalls again for the same reason gets nothing more within the window."""
    policies = changed()
    with world_of(redis_server.url, name, policies) as (world, run):
        wishes = [
            request(policies, 1, episode_id=f"e{days}", at=NOON + timedelta(days=days))
            for days in (0, 13, 14)
        ]
        other = request(policies, 1, episode_id="e1", reason=StallReason.NO_PICKUP)
        for lane, wish in enumerate((*wishes, other)):
            run(world.issuers[lane % 2].work([wish]))
        assert became(world, wishes) == [
            ("issued", None), ("refused", Reason.GIVEN_BEFORE), ("issued", None),
        ]  # fmt: skip
        assert became(world, [other]) == [("issued", None)]


def test_address_and_day_caps(redis_server: RedisServer, name: str) -> None:
    """Many accounts at one door share a cap; a day has so many remedies and no more."""
    caps = SMALL["caps"] | {
        "address": {"window_days": 30, "remedies": 2, "amount_minor": 9000},
        "remedies_per_day": 4,
    }
    policies = changed(caps=caps)
    with world_of(redis_server.url, name, policies) as (world, run):
        for n in range(8):
            door = "1f00ab5c9d7e" if n < 4 else None
            run(world.issuers[n % 2].work([request(policies, n, address_hash=door)]))
        run(world.issuers[0].work([request(policies, 8, at=NOON + timedelta(days=1))]))
        found = outcomes(world)
        assert [found[f"P{n}"] for n in range(9)] == [
            *[("issued", None)] * 2, *[("refused", Reason.ADDRESS_CAP)] * 2,
            *[("issued", None)] * 2, *[("refused", Reason.DAY_CAP)] * 2, ("issued", None),
        ]  # fmt: skip
        cache = run(read_cache(world.client, world.prefix))
        assert reconcile(world.books(), cache, None) == []


def test_budget_of_a_month(redis_server: RedisServer, name: str) -> None:
    """A month's budget holds over its days; the next month has its own."""
    budgets = SMALL["budgets"] | {"global_per_month_minor": 1000}
    policies = changed(budgets=budgets)
    with world_of(redis_server.url, name, policies) as (world, run):
        for n, days in enumerate((0, 1, 2, 31)):
            at = NOON + timedelta(days=days)
            run(world.issuers[n % 2].work([request(policies, n, at=at)]))
        found = outcomes(world)
        assert found["P2"] == ("refused", Reason.BUDGET_GLOBAL)
        assert [found[f"P{n}"][0] for n in (0, 1, 3)] == ["issued"] * 3


def test_an_incident_holds_what_it_explains(redis_server: RedisServer, name: str) -> None:
    """While a facility is an incident its remedies wait, in all lanes and after FLUSHALL."""
    policies = changed()
    silent = like_stall(
        FeedSilent, subject="facility/swift/hub-1", reason=FeedReason.NO_ARRIVALS, silent_since=NOON
    )
    incident = msgspec.structs.replace(alert_of(silent, Kind.FEED, None), silent_carrier=None)
    assert incident.stuck_facility == incident.holds_back == "swift/hub-1"
    with world_of(redis_server.url, name, policies) as (world, run):
        run(world.issuers[0].work([incident]))
        run(world.issuers[1].work([request(policies, 1), request(policies, 2)]))
        run(world.client.flushdb())
        elsewhere = request(policies, 11, carrier="atlas")
        run(world.issuers[1].work([request(policies, 6), elsewhere]))
        over = msgspec.structs.replace(incident, firing=False)
        run(world.issuers[0].work([over]))
        run(world.issuers[1].work([request(policies, 16)]))
        held, issued = ("held", Reason.FACILITY_INCIDENT), ("issued", None)
        assert outcomes(world) == {
            "P1": held, "P2": issued, "P6": held, "P11": issued, "P16": issued,
        }  # fmt: skip


def care(policies: Policies, customer: str, order: str | None = None) -> Any:
    """What the policies ask for a repeat complainer."""
    return judge(
        like_stall(CustomerHighCare, subject=f"customer/{customer}", customer_id=customer,
                   order_id=order, reason=CareReason.SAME_ISSUE_TWICE, issue="late", region="R01",
                   complaint_ids=("a", "b"), episode_id=f"care-{customer}"),
        policies,
    )  # fmt: skip


def test_high_care_is_a_persons_first(redis_server: RedisServer, name: str) -> None:
    """Across lanes and after FLUSHALL, nothing goes to a customer whom a person looks after."""
    policies = changed()
    with world_of(redis_server.url, name, policies) as (world, run):
        run(world.issuers[0].work([care(policies, "C1")]))
        run(world.issuers[1].work([request(policies, 1), request(policies, 2)]))
        run(world.client.flushdb())
        later = NOON + timedelta(days=31)
        soon = request(policies, 3, customer_id="C1")
        run(world.issuers[1].work([soon, request(policies, 4, customer_id="C1", at=later)]))
        found = outcomes(world)
        assert found["P1"] == found["P3"] == ("held", Reason.HIGH_CARE)
        assert found["P2"] == found["P4"] == ("issued", None)


def test_who_decides_what_is_held(redis_server: RedisServer, name: str) -> None:
    """The list of what is held says whose word each remedy waits for."""
    refund = {"template": "apology", "refund": {"amount_minor": 2000}}
    policies = changed(
        policies=[{"name": "refunds", "when": {"kind": "stall.opened"}, "remedy": refund},
                  {"name": "care", "when": {"kind": "customer.high_care"},
                   "remedy": {"template": "high_care", "person_first": "complaints_lead"}}],
        breaker={"window_minutes": 60, "carrier_requests": 2, "facility_requests": 500},
    )  # fmt: skip
    with world_of(redis_server.url, name, policies) as (world, run):
        run(world.issuers[0].work([care(policies, "C1")]))
        run(world.issuers[0].work([request(policies, n) for n in (1, 2, 3)]))
        found = {row.subject: (row.reason, row.waits_for) for row in rows(world.books())}
    assert found == {
        "customer/C1": ("person_first", "complaints_lead"),
        "parcel/swift/P1": ("high_care", "agent"),
        "parcel/swift/P2": ("over_authority", "specialist"),
        "parcel/swift/P3": ("carrier_flood", "operations"),
    }


def test_complaints_count_for_money_with_an_observed_stall_only(
    redis_server: RedisServer, name: str
) -> None:
    """10,000 complaints of invented orders bring nothing; one about a stalled parcel does."""
    paid = {"name": "paid", "when": {"kind": "customer.high_care"},
            "remedy": {"template": "apology", "coupon": {"amount_minor": 300}}}  # fmt: skip
    policies = changed(policies=[*stalled_rules(), paid])
    with world_of(redis_server.url, name, policies) as (world, run):
        run(world.issuers[0].work([request(policies, 1)]))
        wishes = [
            care(policies, "C1", "O1"),  # its own order, whose parcel stalled
            care(policies, "C2", "O1"),  # another's order
            care(policies, "C3", "O3"),  # an order nothing is known of
            care(policies, "C4"),  # no order at all
        ]
        run(world.issuers[1].work(wishes))
        assert became(world, wishes) == [
            ("issued", None), *[("refused", Reason.UNPROVEN_COMPLAINT)] * 3,
        ]  # fmt: skip


def stalled_rules() -> list[dict[str, Any]]:
    """The shipped rule for stalled parcels alone."""
    (rule,) = [r for r in changed().policies if r.name == "stalled-parcel"]
    return [rule.model_dump(mode="json", exclude_none=True, exclude_defaults=True)]


class Hearing(MemoryLedger):
    """Something is read while it writes."""

    def __init__(self, log: Log, hear: Callable[[], None]) -> None:
        super().__init__(log)
        self._hear = hear

    async def append(self, entries: Sequence[Entry], through: int | None = None) -> int:
        self._hear()
        return await super().append(entries, through)


def test_checked_again_just_before_sending(redis_server: RedisServer, name: str) -> None:
    """An arrival that is read while the reservation is made stops the coupon."""
    policies, coupons = changed(), MemorySink()
    with world_of(redis_server.url, name, policies, coupons=coupons) as (world, run):
        issuer = world.issuers[0]
        ended = judge(cleared(stall(1), ClearedReason.DELIVERED), policies)
        assert isinstance(ended, EpisodeEnded)
        issuer._ledger = Hearing(world.logs[0], lambda: issuer.endings.see(ended))
        run(issuer.work([request(policies, 1), request(policies, 2)]))
        assert outcomes(world) == {
            "P1": ("refused", Reason.PARCEL_DELIVERED), "P2": ("issued", None),
        }  # fmt: skip
        assert coupons.messages.keys() == {request(policies, 2).remedy_id}
        assert sum(book.reserved_minor["campaign/stalls"] for book in world.books()) == 0

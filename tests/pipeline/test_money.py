"""Money against a model: any order of requests, answers, crashes and losses of Redis."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from configs.policy_schema import Policies
from detectors.decisions import ClearedReason, FeedReason, FeedResumed, FeedSilent
from pipeline.books import expected_cache, read_cache, reconcile
from pipeline.ledger import ENDED, State
from pipeline.policy import judge
from pipeline.remedies import EpisodeEnded, Reason
from pipeline.stops import Fenced
from sinks.base import Message, Outcome, Refused, RefusedReason, Unknown, UnknownReason
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON, cleared, stall
from tests.pipeline.issuing import Crash, World, request
from tests.pipeline.test_policy import changed, like_stall
from tests.real_parts import RedisServer

MONTH = re.compile(r"\d{4}-\d{2}")
GLOBAL, REGION, CAMPAIGN = 4000, 2000, 6000
SMALL: dict[str, Any] = {
    "budgets": {
        "global_per_day_minor": GLOBAL,
        "region_per_day_minor": REGION,
        "campaigns": {
            "stalls": {"total_minor": CAMPAIGN},
            "customs": {"total_minor": 1},
            "delays": {"total_minor": 1},
        },
    },
    "caps": {
        "customer": {"window_days": 30, "remedies": 3, "amount_minor": 1000},
        "order": {"window_days": 30, "remedies": 9, "amount_minor": 9000},
    },
    "breaker": {"window_minutes": 60, "carrier_requests": 500, "facility_requests": 500},
}


class FickleSink(MemorySink):
    """Answers as told for the next call, then accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.next: str = "accepts"

    async def deliver(self, message: Message) -> Outcome:
        what, self.next = self.next, "accepts"
        if what == "refuses" and message.key not in self.messages:
            return Refused(RefusedReason.REJECTED, "no")
        if what == "lost":
            return Unknown(UnknownReason.TIMED_OUT, "lost before")
        outcome = await super().deliver(message)
        return Unknown(UnknownReason.TIMED_OUT, "lost after") if what == "late" else outcome


class Money(RuleBasedStateMachine):
    """Two lanes, one small budget."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = Redis.from_url(self.url)
        self.policies: Policies = changed(**SMALL)
        self.coupons = FickleSink()
        self.world = World(self.client, uuid4().hex, self.policies, coupons=self.coupons)
        self.wanted = 0
        self.run(self.world.keep_ready())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.loop.close()

    @rule(
        numbers=st.lists(st.integers(0, 40), max_size=5),
        answer=st.sampled_from(["accepts", "refuses", "lost", "late"]),
    )
    def ask(self, numbers: list[int], answer: str) -> None:
        self.coupons.next = answer
        for lane in (0, 1):
            mine = [self.wish(n) for n in numbers if n % 2 == lane]
            self.run(self.world.issuers[lane].work(mine, through=1))

    def wish(self, number: int) -> Any:
        return request(self.policies, number, customer_id=f"C{number // 3}")

    @rule(number=st.integers(0, 40), at=st.integers(0, 25))
    def crash(self, number: int, at: int) -> None:
        """Dies at any of its calls to ledger, Redis or sinks, before or after the effect."""
        lane = number % 2
        doomed = self.world.owner(lane, crash_at=at)
        self.world.issuers[lane] = doomed
        with suppress(Crash):
            self.run(doomed.work([self.wish(number)], through=1))
        self.world.issuers[lane] = self.world.owner(lane)

    @rule()
    def forget(self) -> None:
        self.loop.run_until_complete(self.client.flushdb())

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def within_budgets(self) -> None:
        """Reserved + spent stay within every budget, in the ledger and in Redis."""
        limits = {"global": GLOBAL, "region": REGION, "campaign": CAMPAIGN, "remedies": 10**5}
        redis = self.run(read_cache(self.client, self.world.prefix))
        for budgets in (expected_cache(self.world.books()).budgets, redis.budgets):
            for scope, (reserved, spent) in budgets.items():
                assert reserved >= 0
                if not MONTH.fullmatch(scope.rpartition("/")[2]):  # no limit here
                    assert reserved + spent <= limits[scope.split("/")[0]], scope

    @invariant()
    def paid_once_and_promised(self) -> None:
        """Every coupon was promised; nothing that was refused is paid."""
        accounts = {k: a for book in self.world.books() for k, a in book.accounts.items()}
        for key in self.coupons.messages:
            assert accounts[key].state in {
                State.RESERVED,
                State.UNKNOWN,
                State.ISSUED,
                State.PARKED,
            }

    def finish(self) -> None:
        for _ in range(8):
            self.world.pass_time(10)
            for issuer in self.world.issuers:
                self.run(issuer.work([]))
        self.run(self.world.keep_ready())
        books = self.world.books()
        cache = self.run(read_cache(self.client, self.world.prefix))
        assert reconcile(books, cache, list(self.coupons.messages)) == []
        assert {a.state for book in books for a in book.accounts.values()} <= ENDED


class FinishedMoney(Money):
    """At the end every request has ended and the books balance."""

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            super().teardown()


def test_money_in_any_order(redis_server: RedisServer) -> None:
    """Budgets hold at every moment, nothing is paid twice, and at the end the books balance."""
    FinishedMoney.url = redis_server.url
    run_state_machine_as_test(
        FinishedMoney,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.generate],  # shrinking this takes minutes and says little more
            suppress_health_check=list(HealthCheck),
        ),
    )


@contextmanager
def world_of(url: str, name: str, policies: Policies, **fields: Any) -> Iterator[tuple[World, Any]]:
    """A world and a way to run its coroutines."""
    with asyncio.Runner() as runner:
        client = Redis.from_url(url)
        try:
            yield World(client, name, policies, **fields), runner.run
        finally:
            runner.run(client.aclose())


def outcomes(world: World) -> dict[str, tuple[str, str | None]]:
    """State and reason of every remedy, by parcel."""
    return {
        str(account.request.parcel_id): (str(account.state), account.reason)
        for book in world.books()
        for account in book.accounts.values()
    }


def test_customer_cap(redis_server: RedisServer, name: str) -> None:
    """A customer gets ¥10 in the window, across lanes, and again after it."""
    policies = changed(**SMALL)
    with world_of(redis_server.url, name, policies) as (world, run):
        later = NOON + timedelta(days=31)
        wishes = [request(policies, n, customer_id="C1") for n in range(3)]
        for lane, wish in ((0, wishes[0]), (1, wishes[1]), (0, wishes[2])):
            run(world.issuers[lane].work([wish]))
        run(world.issuers[1].work([request(policies, 9, customer_id="C1", at=later)]))
        assert outcomes(world) == {
            "P0": ("issued", None),
            "P1": ("issued", None),
            "P2": ("refused", Reason.CUSTOMER_CAP),
            "P9": ("issued", None),
        }


def test_flood_is_held(redis_server: RedisServer, name: str) -> None:
    """More requests of one carrier than the breaker allows wait for a person."""
    breaker = {"window_minutes": 60, "carrier_requests": 3, "facility_requests": 500}
    policies = changed(breaker=breaker)
    with world_of(redis_server.url, name, policies) as (world, run):
        for number in range(5):
            run(world.issuers[number % 2].work([request(policies, number)]))
        run(world.issuers[0].work([request(policies, 5, carrier="atlas")]))
        found = outcomes(world)
        assert [found[f"P{n}"][0] for n in range(6)] == ["issued"] * 3 + ["held"] * 2 + ["issued"]
        assert found["P4"] == ("held", Reason.CARRIER_FLOOD)


def test_silent_feed_holds(redis_server: RedisServer, name: str) -> None:
    """While a carrier's feed is silent its coupons are held in every lane; also after FLUSHALL."""
    policies = changed()

    def feed(kind: Any, reason: FeedReason) -> Any:
        return judge(
            like_stall(kind, subject="carrier/swift", reason=reason, silent_since=NOON), policies
        )

    with world_of(redis_server.url, name, policies) as (world, run):
        run(world.issuers[0].work([feed(FeedSilent, FeedReason.NO_ARRIVALS)]))
        run(world.issuers[1].work([request(policies, 1)]))
        run(world.client.flushdb())
        run(world.issuers[1].work([request(policies, 2), request(policies, 3, carrier="atlas")]))
        run(world.issuers[0].work([feed(FeedResumed, FeedReason.ARRIVALS_AGAIN)]))
        run(world.issuers[1].work([request(policies, 4)]))
        assert outcomes(world) == {
            "P1": ("held", Reason.FEED_SILENT),
            "P2": ("held", Reason.FEED_SILENT),
            "P3": ("issued", None),
            "P4": ("issued", None),
        }


def test_quiet_hours_hold_and_release(redis_server: RedisServer, name: str) -> None:
    """Held in quiet hours, issued at their end, once; refused if the parcel arrived meanwhile."""
    quiet = {"begin": "11:00", "end": "13:00"}
    policies = changed(quiet_hours=quiet, recipients={"time_zone": "UTC"})
    with world_of(redis_server.url, name, policies) as (world, run):
        first = world.issuers[0]
        run(first.work([request(policies, 1), request(policies, 2)]))
        assert outcomes(world)["P1"] == ("held", Reason.QUIET_HOURS)
        ended = judge(cleared(stall(2), ClearedReason.DELIVERED, hours=0.5), policies)
        assert isinstance(ended, EpisodeEnded)
        first.endings.see(ended)
        run(first.work([ended]))
        world.pass_time(3600)
        successor = world.issuers[0] = world.owner(0)
        assert successor.due()
        run(successor.work([]))
        assert outcomes(world) == {
            "P1": ("issued", None),
            "P2": ("refused", Reason.PARCEL_DELIVERED),
        }


def test_silent_provider_parks(redis_server: RedisServer, name: str) -> None:
    """A provider that never answers is asked with one key and body, then a person is."""
    silent = MemorySink([Unknown(UnknownReason.TIMED_OUT, "")] * 3)
    policies = changed()
    with world_of(redis_server.url, name, policies, coupons=silent) as (world, run):
        run(world.issuers[0].work([request(policies, 1)]))
        assert not world.issuers[0].due()
        for _ in range(4):
            world.pass_time(10)
            run(world.issuers[0].work([]))
        assert outcomes(world) == {"P1": ("parked", Reason.PROVIDER_SILENT)}
        assert len(silent.attempts) == 3
        assert len({(m.key, m.body) for m in silent.attempts}) == 1
        assert sum(b.reserved_minor["campaign/stalls"] for b in world.books()) == 500


def test_failed_notification_pays_nothing_again(redis_server: RedisServer, name: str) -> None:
    """A message that cannot be delivered is tried again, alone."""
    notices = MemorySink([Unknown(UnknownReason.UNREACHABLE, "")] * 2)
    coupons = MemorySink()
    policies = changed()
    with world_of(redis_server.url, name, policies, coupons=coupons, notices=notices) as (w, run):
        for _ in range(4):
            run(w.issuers[0].work([request(policies, 1)]))
            w.pass_time(10)
        assert len(coupons.attempts) == 1
        assert [len(notices.messages), len(notices.attempts)] == [1, 3]


def test_zombie_cannot_touch_its_successors_money(redis_server: RedisServer, name: str) -> None:
    """A former owner that wakes up is fenced before it reserves or rebuilds."""
    policies = changed()
    with world_of(redis_server.url, name, policies) as (world, run):
        zombie = world.issuers[0]
        run(zombie.work([request(policies, 1)]))
        world.issuers[0] = world.owner(0)
        run(world.keep_ready())
        for wishes in ([request(policies, 2)], []):
            with pytest.raises(Fenced):
                run(zombie.work(wishes, through=5))
        run(world.client.flushdb())
        with pytest.raises(Fenced):
            run(zombie.keep_ready())
        assert outcomes(world) == {"P1": ("issued", None)}
        assert list(world.books()[0].accounts) == [request(policies, 1).remedy_id]


def test_written_into_a_running_server(redis_server: RedisServer, name: str) -> None:
    """An old snapshot written key by key into the same server is found at the next look."""
    policies = changed()
    with world_of(redis_server.url, name, policies) as (world, run):

        async def keys() -> dict[bytes, Any]:
            found = [key async for key in world.client.scan_iter(match="{" + name + "}*")]
            return {key: await world.client.dump(key) for key in found}

        async def restore(old: dict[bytes, Any]) -> None:
            for key in await keys():
                await world.client.delete(key)
            for key, value in old.items():
                await world.client.restore(key, 0, value)

        for lane in (0, 1):
            run(world.issuers[lane].work([request(policies, lane)]))
        old = run(keys())
        for lane in (0, 1):
            run(world.issuers[lane].work([request(policies, 2 + lane)]))
        run(restore(old))
        cache = run(read_cache(world.client, name))
        assert reconcile(world.books(), cache, None), "it is behind"
        run(world.keep_ready())
        assert reconcile(world.books(), run(read_cache(world.client, name)), None) == []

"""Reservations in a real Redis against a model: reserve, confirm, release, crash, lose, rebuild.

The model is what the ledger says and plain sums; every verdict of the scripts is foretold by it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from pipeline.books import expected_cache, read_cache, reconcile
from pipeline.budget import NotReady, RedisReservations, Verdict, Waiting
from pipeline.claims import Limits
from pipeline.ledger import Book, RemedyEntry, State
from pipeline.remedies import Reason, RemedyRequest
from tests.pipeline.delivering import NOON
from tests.pipeline.issuing import request
from tests.pipeline.test_policy import changed
from tests.real_parts import RedisServer

LIMIT = 3000
POLICIES = changed(
    budgets={
        "global_per_day_minor": 10**9,
        "region_per_day_minor": 10**9,
        "campaigns": {
            "stalls": {"total_minor": LIMIT},
            "customs": {"total_minor": 1},
            "delays": {"total_minor": 1},
        },
    },
    caps={
        "customer": {"window_days": 30, "remedies": 2, "amount_minor": 10**6},
        "order": {"window_days": 30, "remedies": 99, "amount_minor": 10**6},
    },
)
LANES = 2
OPEN = {State.RESERVED, State.UNKNOWN, State.SENT}
HOLDS = {*OPEN, State.PARKED, State.ISSUED}


class Reserving(RuleBasedStateMachine):
    """Two owners, one budget for six coupons, customers who may have two."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = Redis.from_url(self.url)
        self.prefix = uuid4().hex
        self.limits = Limits(POLICIES)
        self.books = [Book() for _ in range(LANES)]
        self.lanes = [self.owner(lane) for lane in range(LANES)]
        self.ready = [False] * LANES
        """Whether Redis holds a lane as its ledger has it, as far as the model knows."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.loop.close()

    def owner(self, lane: int) -> RedisReservations:
        return RedisReservations(
            self.client,
            self.prefix,
            partition=lane,
            partitions=LANES,
            token=uuid4().hex,
            limits=self.limits,
        )

    # ------------------------------------------------------------------ the model

    def accounts(self) -> dict[str, Any]:
        return {k: a for book in self.books for k, a in book.accounts.items()}

    def used(self) -> int:
        return sum(a.request.amount_minor for a in self.accounts().values() if a.state in HOLDS)

    def foretell(self, wish: RemedyRequest, taken: Counter[str]) -> tuple[Verdict, Reason | None]:
        """What the script must say; `taken` is what this batch has taken before."""
        if wish.remedy_id in self.accounts() or taken[wish.remedy_id]:
            return Verdict.ALREADY, None
        given = sum(
            a.state in HOLDS and a.request.customer_id == wish.customer_id
            for a in self.accounts().values()
        )
        if given + taken[str(wish.customer_id)] >= 2:
            return Verdict.REFUSED, Reason.CUSTOMER_CAP
        if self.used() + taken["minor"] + wish.amount_minor > LIMIT:
            return Verdict.REFUSED, Reason.BUDGET_CAMPAIGN
        return Verdict.RESERVED, None

    # ------------------------------------------------------------------ what happens

    @rule(
        lane=st.integers(0, LANES - 1),
        numbers=st.lists(st.integers(0, 14), min_size=1, max_size=4),
        crash=st.booleans(),
    )
    def reserve(self, lane: int, numbers: list[int], crash: bool) -> None:
        """Reserve; a crash after it loses the answer before the ledger has it."""
        wishes = [self.wish(number) for number in numbers if number % LANES == lane]
        claims = [self.limits.claim(wish) for wish in wishes]
        if not all(self.ready):
            with pytest.raises(NotReady):
                self.run(self.lanes[lane].reserve(claims, self.books[lane].offset))
            return
        taken: Counter[str] = Counter()
        wanted = []
        for wish in wishes:
            verdict, reason = self.foretell(wish, taken)
            wanted.append((verdict, reason))
            if verdict is not Verdict.ALREADY:
                taken[wish.remedy_id] += 1
            if verdict is Verdict.RESERVED:
                taken[str(wish.customer_id)] += 1
                taken["minor"] += wish.amount_minor
        assert self.run(self.lanes[lane].reserve(claims, self.books[lane].offset)) == wanted
        if crash:
            self.take_over(lane)
            return
        states = {Verdict.RESERVED: State.RESERVED, Verdict.REFUSED: State.REFUSED}
        entries = [
            RemedyEntry(
                remedy_id=wish.remedy_id,
                state=states[verdict],
                reason=reason,
                at=NOON,
                request=wish,
            )
            for wish, (verdict, reason) in zip(wishes, wanted, strict=True)
            if verdict is not Verdict.ALREADY
        ]
        self.write(lane, entries)

    def wish(self, number: int) -> RemedyRequest:
        return request(POLICIES, number, customer_id=f"C{number // 4}")

    @rule(data=st.data(), state=st.sampled_from(sorted(State)))
    @precondition(lambda self: any(a.state in OPEN for a in self.accounts().values()))
    def settle(self, data: st.DataObject, state: State) -> None:
        """Confirm, release, or leave open what was reserved."""
        if state in {State.RESERVED, State.HELD, State.SENT}:
            return
        open_ = sorted(k for k, a in self.accounts().items() if a.state in OPEN)
        key = data.draw(st.sampled_from(open_))
        lane = next(n for n, book in enumerate(self.books) if key in book.accounts)
        self.write(lane, [RemedyEntry(remedy_id=key, state=state, at=NOON)])

    def write(self, lane: int, entries: list[RemedyEntry]) -> None:
        """Ledger first, then Redis."""
        book, before = self.books[lane], self.books[lane].offset
        for entry in entries:
            book.apply(entry)
        book.offset += len(entries)
        moves = [self.limits.account(book.accounts[entry.remedy_id]) for entry in entries]
        follow = self.lanes[lane].settle(
            moves, silent=[], speaking=[], offset=before, reached=book.offset
        )
        if self.ready[lane]:
            self.run(follow)
        else:
            with pytest.raises(NotReady):
                self.run(follow)

    @rule(lane=st.integers(0, LANES - 1))
    def take_over(self, lane: int) -> None:
        """A new owner, which has only the ledger."""
        self.lanes[lane] = self.owner(lane)
        self.ready[lane] = False
        # The former owner's mark still stands, so the other lane may go on: what the former one
        # reserved is still counted.
        self.rebuild(lane)

    @rule()
    def forget(self) -> None:
        """FLUSHALL."""
        self.loop.run_until_complete(self.client.flushdb())
        self.ready = [False] * LANES

    @rule(lane=st.integers(0, LANES - 1))
    def rebuild(self, lane: int) -> None:
        parts: list[int] = []
        self.run(self.lanes[lane].rebuild(self.books[lane], parts.append))
        self.ready[lane] = True
        if self.books[lane].accounts:
            assert parts[-1] == len(self.books[lane].accounts), "progress is told to the end"

    # ------------------------------------------------------------------ what holds

    @invariant()
    def within_budget(self) -> None:
        """In the ledger, and in Redis, at every moment."""
        assert self.used() <= LIMIT
        cache = self.run(read_cache(self.client, self.prefix))
        for reserved, spent in cache.budgets.values():
            assert reserved >= 0
            assert spent >= 0
        reserved, spent = cache.budgets.get("campaign/stalls", (0, 0))
        assert reserved + spent <= LIMIT

    @invariant()
    def redis_is_the_fold(self) -> None:
        """When every lane is ready, Redis is what the ledgers say."""
        if all(self.ready):
            cache = self.run(read_cache(self.client, self.prefix))
            assert reconcile(self.books, cache, None) == []
            assert cache.states == expected_cache(self.books).states


def test_reservations_as_the_model(redis_server: RedisServer) -> None:
    """Every verdict is the model's, budgets hold at every moment, a rebuild forgets nothing."""
    Reserving.url = redis_server.url
    run_state_machine_as_test(
        Reserving,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_eviction_is_refused(redis_server: RedisServer, name: str) -> None:
    """A Redis that may forget any key when it is full holds no money."""

    async def run() -> None:
        client = Redis.from_url(redis_server.url)
        await client.config_set("maxmemory-policy", "allkeys-lru")
        lane = RedisReservations(
            client, name, partition=0, partitions=1, token="t", limits=Limits(POLICIES)
        )
        try:
            with pytest.raises(NotReady, match="noeviction"):
                await lane.rebuild(Book(), lambda _: None)
        finally:
            await client.config_set("maxmemory-policy", "noeviction")
        await lane.rebuild(Book(), lambda _: None)
        await client.aclose()

    asyncio.run(run())


def test_the_shared_clock(redis_server: RedisServer, name: str) -> None:
    """The time all lanes share is that of Redis, to the second."""

    async def run() -> None:
        client = Redis.from_url(redis_server.url)
        lane = RedisReservations(
            client, name, partition=0, partitions=2, token="t", limits=Limits(POLICIES)
        )
        first, second = await lane.time(), await lane.time()
        assert timedelta(0) <= second - first < timedelta(minutes=1)
        await lane.rebuild(Book(), lambda _: None)
        claim = Limits(POLICIES).claim(request(POLICIES, 1))
        with pytest.raises(Waiting):  # the other lane is not there yet
            await lane.reserve([claim], 0)
        await client.aclose()

    asyncio.run(run())

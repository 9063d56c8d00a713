"""From requests to coupons and messages, one lane (partition) at a time.

A round takes some records and whatever is due again, and goes through these steps in order; a
process may be killed at any of them and its successor goes on from the ledger:

1. reserve in Redis: budgets, caps, floods; or learn why not;
2. RESERVED, HELD and REFUSED to the ledger, awaited. From here on the ledger asks for the rest;
3. ask the provider, each time with the same key and the same body (pipeline/asking.py);
4. ISSUED, REFUSED, UNKNOWN or PARKED to the ledger, in one transaction with the offset of the
   requests, then the same in Redis;
5. tell the customer, and write down that it was done.

Whenever Redis is gone or differs the lane stops, asks the broker whether it still owns its ledger,
rebuilds its part of Redis and goes on. Nothing is guessed and nothing is lost meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec
import structlog

from pipeline.alert_news import alert_entries
from pipeline.asking import Asker
from pipeline.budget import (
    NotReady,
    Reservations,
    Silence,
    Verdict,
    Waiting,
)
from pipeline.claims import Claim, Limits
from pipeline.endings import Endings
from pipeline.ledger import Account, AlertEntry, Book, Entry, RemedyEntry, State
from pipeline.messages import coupon_body
from pipeline.money_metrics import REBUILT, RULINGS, count_outcome, spent_on
from pipeline.outlet import Outlet
from pipeline.patience import STANDARD, Patience
from pipeline.promises import Promises
from pipeline.remedies import EpisodeEnded, OperationsAlert, Reason, RemedyRequest, Ruling, Wish
from pipeline.rulings import Ruled, rule

_LOG: Final = structlog.get_logger(__name__)
_STATES: Final = {
    Verdict.RESERVED: State.RESERVED,
    Verdict.HELD: State.HELD,
    Verdict.REFUSED: State.REFUSED,
}


class Ledger(Protocol):
    """The ledger partition of a lane, to write to."""

    async def append(self, entries: Sequence[Entry], through: int | None = None) -> int:
        """Write entries, and the requests' next offset, in one transaction and wait for it.

        Returns the offset after the last entry; raises `Fenced` when the lane is another's.
        """
        ...

    async def confirm_owner(self) -> None:
        """Ask the broker; raises `Fenced` when the lane is another's."""
        ...


class Issuer:
    """Issues the remedies of one lane.

    Parameters
    ----------
    book
        The fold of the lane's ledger; kept up to date here.
    ledger, reservations
        Truth and cache.
    limits
        What requests take.
    coupons, notifications
        Where money and messages go.
    promises
        Keeps what messages promise, and writes them.
    now
        Wall clock, for entries.
    clock
        The clock quiet hours end on: wall time that all lanes share, or in a demo that of the data.
    monotonic, sleep
        Time for back-off.
    learn
        Told what the shared clock, that of Redis, says.
    """

    def __init__(
        self,
        *,
        book: Book,
        ledger: Ledger,
        reservations: Reservations,
        limits: Limits,
        coupons: Outlet,
        notifications: Outlet,
        promises: Promises,
        now: Callable[[], datetime],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: Patience = STANDARD,
        learn: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self.book, self.endings = book, Endings()
        self._ledger, self._reservations, self._limits = ledger, reservations, limits
        self._now, self._monotonic, self._sleep = now, monotonic, sleep
        self._clock, self._learn = clock, learn
        self._patience, self._repeats = patience, coupons.repeats
        self._asker = Asker(
            book,
            coupons=coupons,
            notices=notifications,
            promises=promises,
            patience=patience,
            now=now,
            monotonic=monotonic,
            still_mine=self._still_mine,
        )
        self._owned_at, self._asking = monotonic(), asyncio.Lock()
        self._stale = True
        self.waiting_for_redis = True

    async def work(self, wishes: Sequence[Wish], through: int | None = None) -> list[AlertEntry]:
        """Do one round; `through` is the offset after `wishes`, committed with their outcomes.

        Returns the alerts that changed. Raises `Fenced` when the lane is another's.
        """
        news = [wish for wish in wishes if isinstance(wish, OperationsAlert)]
        alerts = alert_entries(news, self.book, self._now())
        over = self._over(wishes)
        rulings = {wish.remedy_id: wish for wish in wishes if isinstance(wish, Ruling)}
        ruled = [self._ruled(ruling) for ruling in rulings.values()]
        promises = await self._reserve(self._claims(wishes, ruled))
        ordered = [one.entry for one in ruled if one.entry is not None]
        await self._write([*alerts, *over, *ordered, *promises], known=len(promises))
        await self._write(self._overtaken(promises))
        await self._ask(through)
        await self._tell()
        for wish in wishes:
            if isinstance(wish, EpisodeEnded):
                self.endings.forget(wish)
        return alerts

    async def keep_ready(self) -> None:
        """See that Redis holds this lane, rebuild it otherwise: other lanes wait for it."""
        if not self._stale:
            await self._follow([], self.book.offset)
        if not self._stale:
            await self._look_at_the_clock()
        if self._stale:
            await self._rebuild_once()

    async def resolve(self, alerts: Sequence[OperationsAlert]) -> list[AlertEntry]:
        """Write down that alerts are over."""
        entries = [AlertEntry(alert=alert, at=self._now()) for alert in alerts]
        await self._write(entries)
        return entries

    def due(self) -> bool:
        """Whether something is to be tried again now."""
        return bool(
            self._asker.lost()
            or self._asker.to_ask()
            or self._asker.to_tell()
            or any(True for _ in self._released())
        )

    # ------------------------------------------------------------------ 1: what is wished for

    def _over(self, wishes: Sequence[Wish]) -> list[RemedyEntry]:
        """Refuse what is held for an episode that has ended, or for a parcel that arrived."""
        if not any(isinstance(wish, EpisodeEnded) for wish in wishes):
            return []
        ended = ((account, self.endings.reason(account.request)) for account in self.book.held())
        return [
            self._entry(account.request, State.REFUSED, reason)
            for account, reason in ended
            if reason is not None
        ]

    def _overtaken(self, promises: Sequence[RemedyEntry]) -> list[RemedyEntry]:
        """Refuse what has just been reserved and, as was read meanwhile, comes too late.

        Only of these it is certain that nobody has asked the provider yet.
        """
        fresh = [
            self.book.accounts[entry.remedy_id].request
            for entry in promises
            if entry.state is State.RESERVED
        ]
        late = ((request, self.endings.reason(request)) for request in fresh)
        return [
            self._entry(request, State.REFUSED, reason)
            for request, reason in late
            if reason is not None
        ]

    def _ruled(self, ruling: Ruling) -> Ruled:
        ruled = rule(
            ruling,
            self.book,
            self._limits,
            now=self._now(),
            clock=self._clock(),
            repeats=self._repeats,
        )
        RULINGS.labels(ruling.verdict, ruled.effect).inc()
        _LOG.info(
            "a person's word",
            remedy=ruling.remedy_id,
            verdict=ruling.verdict,
            who=ruling.who,
            effect=ruled.effect,
        )
        return ruled

    def _claims(
        self, wishes: Sequence[Wish], ruled: Sequence[Ruled]
    ) -> list[tuple[RemedyRequest, Claim, Ruling | None]]:
        fresh: dict[str, RemedyRequest] = {}
        for wish in wishes:
            if isinstance(wish, RemedyRequest) and wish.remedy_id not in self.book.accounts:
                fresh.setdefault(wish.remedy_id, wish)
        claims: list[tuple[RemedyRequest, Claim, Ruling | None]] = [
            (request, self._limits.claim(request), None) for request in fresh.values()
        ]
        claims += [
            (account.request, self._limits.claim(account.request, again=True), None)
            for account in self._released()
        ]
        claims += [one.claim for one in ruled if one.claim is not None]
        return [(request, self._ended(request, claim), word) for request, claim, word in claims]

    def _ended(self, request: RemedyRequest, claim: Claim) -> Claim:
        reason = self.endings.reason(request)
        return claim if reason is None else msgspec.structs.replace(claim, refuse=reason)

    def _released(self) -> Iterable[Account]:
        """Accounts whose quiet hours are over."""
        clock = self._clock()
        for account in self.book.held():
            until = account.request.not_before
            if account.reason is Reason.QUIET_HOURS and until is not None and until <= clock:
                yield account

    async def _look_at_the_clock(self) -> None:
        try:
            self._learn(await self._reservations.time())
        except NotReady as error:
            self._distrust(error)

    # ------------------------------------------------------------------ 1: Redis

    async def _reserve(
        self, claims: Sequence[tuple[RemedyRequest, Claim, Ruling | None]]
    ) -> list[RemedyEntry]:
        if not claims:
            return []
        verdicts = await self._verdicts([claim for _, claim, _ in claims])
        return [
            self._promise(request, _STATES[verdict], reason, word)
            for (request, _, word), (verdict, reason) in zip(claims, verdicts, strict=True)
            if verdict is not Verdict.ALREADY
        ]

    async def _verdicts(self, claims: Sequence[Claim]) -> list[tuple[Verdict, Reason | None]]:
        while True:
            await self._until_ready()
            try:
                with spent_on("redis"):
                    verdicts = await self._reservations.reserve(claims, self.book.offset)
            except Waiting:
                self.waiting_for_redis = True
                await self._sleep(self._patience.redis_seconds)
            except NotReady as error:
                # The script may have run although its answer was lost: what it reserved is not in
                # the ledger, so a rebuild takes it away again.
                self._distrust(error)
            else:
                self.waiting_for_redis = False
                return verdicts

    async def _until_ready(self) -> None:
        while self._stale:
            await self._rebuild_once()
            if self._stale:
                await self._sleep(self._patience.redis_seconds)

    async def _rebuild_once(self) -> None:
        await self._confirm()  # a zombie must not overwrite its successor's part
        accounts = len(self.book.accounts)
        try:
            await self._reservations.rebuild(self.book, self._show_progress)
        except NotReady as error:
            self._distrust(error)
            return
        self._stale = self.waiting_for_redis = False
        _LOG.info("rebuilt this partition in Redis", accounts=accounts)
        await self._look_at_the_clock()

    def _show_progress(self, done: int) -> None:
        REBUILT.inc()
        _LOG.info("rebuilding this partition in Redis", done=done, of=len(self.book.accounts))

    def _distrust(self, error: NotReady) -> None:
        if not self.waiting_for_redis:
            _LOG.warning("no money moves until Redis is rebuilt", cause=str(error))
        self._stale = self.waiting_for_redis = True

    # ------------------------------------------------------------------ 2, 4: the ledger

    def _entry(
        self,
        request: RemedyRequest,
        state: State,
        reason: Reason | None,
        word: Ruling | None = None,
    ) -> RemedyEntry:
        first = request.remedy_id not in self.book.accounts
        return RemedyEntry(
            remedy_id=request.remedy_id,
            state=state,
            reason=reason,
            at=self._now(),
            request=request if first else None,
            ruling=word,
        )

    def _promise(
        self,
        request: RemedyRequest,
        state: State,
        reason: Reason | None,
        word: Ruling | None,
    ) -> RemedyEntry:
        entry = self._entry(request, state, reason, word)
        if state is State.RESERVED and request.amount_minor:
            return msgspec.structs.replace(entry, body=coupon_body(request))
        return entry

    async def _write(
        self,
        entries: Sequence[Entry],
        through: int | None = None,
        known: int = 0,
    ) -> None:
        """Append, fold and only then tell Redis: what frees money is in the ledger first.

        The last `known` entries say what Redis itself has just decided and holds already.
        """
        if not entries and through is None:
            return
        before, began = self.book.offset, self._monotonic()
        with spent_on("kafka"):
            reached = await self._ledger.append(entries, through)
        self._owned_at = began
        for entry in entries:
            self.book.apply(entry)
            count_outcome(entry, self.book)
        self.book.offset = max(reached, before)
        if not self._stale:
            await self._follow(entries[: len(entries) - known], before)

    async def _confirm(self) -> None:
        began = self._monotonic()
        await self._ledger.confirm_owner()
        self._owned_at = began

    async def _still_mine(self) -> None:
        """Ask the broker when the last answer is older than the lease: this process was frozen."""
        while self._lease_over():
            async with self._asking:
                if self._lease_over():
                    await self._confirm()

    def _lease_over(self) -> bool:
        return self._monotonic() - self._owned_at > self._patience.lease_seconds

    async def _follow(self, entries: Sequence[Entry], before: int) -> None:
        moves = [
            self._limits.account(self.book.accounts[entry.remedy_id])
            for entry in entries
            if isinstance(entry, RemedyEntry)
        ]
        feeds = [
            entry.alert
            for entry in entries
            if isinstance(entry, AlertEntry) and entry.alert.holds_back
        ]
        try:
            with spent_on("redis"):
                await self._reservations.settle(
                    moves,
                    silent=[_silence(alert) for alert in feeds if alert.firing],
                    speaking=[str(alert.holds_back) for alert in feeds if not alert.firing],
                    offset=before,
                    reached=self.book.offset,
                )
        except NotReady as error:
            self._distrust(error)

    # ------------------------------------------------------------------ 3, 5: others

    async def _ask(self, through: int | None) -> None:
        """Ask for everything that is due; no money moves while Redis is not as the ledger is."""
        await self._write(self._asker.lost())
        waiting = self._asker.to_ask()
        if any(account.request.amount_minor for account in waiting):
            await self._until_ready()
        await self._write(self._asker.sending(waiting))
        with spent_on("http"):
            answers = await self._asker.ask(waiting)
        await self._write(answers, through)

    async def _tell(self) -> None:
        with spent_on("http"):
            told = await self._asker.tell(self._asker.to_tell())
        await self._write(told)


def _silence(alert: OperationsAlert) -> Silence:
    return Silence(str(alert.holds_back), int(alert.starts_at.timestamp()))

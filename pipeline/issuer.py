"""From requests to coupons and messages, one lane (partition) at a time.

A round takes some records and whatever is due again, and goes through these steps in order; a
process may be killed at any of them (`Step`) and its successor goes on from the ledger:

1. reserve in Redis: budgets, caps, floods; or learn why not;
2. RESERVED, HELD and REFUSED to the ledger, awaited. From here on the ledger asks for the rest;
3. ask the provider, each time with the same key and the same body;
4. ISSUED, REFUSED, UNKNOWN or PARKED to the ledger, in one transaction with the offset of the
   requests, then the same in Redis;
5. tell the customer, and write down that it was done.

Whenever Redis is gone or differs the lane stops, asks the broker whether it still owns its ledger,
rebuilds its part of Redis and goes on. Nothing is guessed and nothing is lost meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from zlib import crc32

import msgspec
import structlog

from pipeline.budget import (
    Claim,
    Limits,
    NotReady,
    Reservations,
    Silence,
    Verdict,
    Waiting,
)
from pipeline.endings import Endings
from pipeline.ledger import (
    Account,
    AlertEntry,
    Book,
    Entry,
    NotificationEntry,
    RemedyEntry,
    State,
    Told,
)
from pipeline.messages import coupon_body, coupon_message, notification_message
from pipeline.money_metrics import count_outcome, count_sink
from pipeline.remedies import EpisodeEnded, OperationsAlert, Reason, RemedyRequest, Wish
from sinks.base import Delivered, Outcome, Refused, Sink, Unknown

_LOG: Final = structlog.get_logger(__name__)
_STATES: Final = {
    Verdict.RESERVED: State.RESERVED,
    Verdict.HELD: State.HELD,
    Verdict.REFUSED: State.REFUSED,
}


class Step(StrEnum):
    """What has just been done; fault tests kill the process there."""

    TAKEN = "taken"
    RESERVED = "reserved"
    PROMISED = "promised"
    ASKED = "asked"
    ANSWERED = "answered"
    SETTLED = "settled"
    TOLD = "told"
    RECORDED = "recorded"


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


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are waited out."""

    attempts: int = 12
    first_seconds: float = 1.0
    most_seconds: float = 300.0
    redis_seconds: float = 0.5
    """Between two looks at a Redis that is not ready."""
    lease_seconds: float = 20.0
    """A frozen process that wakes up later than this asks for its ownership before it pays."""

    def wait_seconds(self, key: str, attempts: int, asked_for: float | None) -> float:
        """Return the wait after so many attempts: doubled each time, spread by a hash of the key.

        Examples
        --------
        >>> 1.0 <= Patience().wait_seconds("rem_1", 1, None) <= 1.25
        True
        """
        plain = min(self.first_seconds * 2.0 ** min(attempts - 1, 30), self.most_seconds)
        spread = crc32(f"{key}/{attempts}".encode()) / 2**32
        return max(plain * (1 + spread / 4), asked_for or 0.0)


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
    now
        Wall clock, for entries.
    clock
        The clock quiet hours end on: wall time, or in a demo that of the data.
    monotonic, sleep
        Time for back-off.
    step
        Told what has just been done.
    """

    def __init__(
        self,
        *,
        book: Book,
        ledger: Ledger,
        reservations: Reservations,
        limits: Limits,
        coupons: Sink,
        notifications: Sink,
        now: Callable[[], datetime],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: Patience = Patience(),
        step: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self.book, self.endings = book, Endings()
        self._ledger, self._reservations, self._limits = ledger, reservations, limits
        self._coupons, self._notifications = coupons, notifications
        self._now, self._clock, self._monotonic, self._sleep = now, clock, monotonic, sleep
        self._patience, self._step = patience, step
        self._due: dict[str, float] = {}
        self._stale = True
        self.waiting_for_redis = True

    async def work(self, wishes: Sequence[Wish], through: int | None = None) -> list[AlertEntry]:
        """Do one round; `through` is the offset after `wishes`, committed with their outcomes.

        Returns the alerts that changed. Raises `Fenced` when the lane is another's.
        """
        self._step(Step.TAKEN)
        alerts = self._alerts(wish for wish in wishes if isinstance(wish, OperationsAlert))
        over = self._over(wish for wish in wishes if isinstance(wish, EpisodeEnded))
        claims = self._claims(wish for wish in wishes if isinstance(wish, RemedyRequest))
        promises = await self._reserve(claims)
        await self._write([*alerts, *over, *promises])
        self._step(Step.PROMISED)
        answers = await self._ask_all()
        self._step(Step.ASKED)
        await self._write(answers, through, Step.ANSWERED)
        self._step(Step.SETTLED)
        told = await self._tell_all()
        self._step(Step.TOLD)
        await self._write(told)
        self._step(Step.RECORDED)
        for wish in wishes:
            if isinstance(wish, EpisodeEnded):
                self.endings.forget(wish)
        return alerts

    async def keep_ready(self) -> None:
        """See that Redis holds this lane, rebuild it otherwise: other lanes wait for it."""
        if not self._stale:
            await self._follow([], self.book.offset)
        if self._stale:
            await self._rebuild_once()

    async def resolve(self, alerts: Sequence[OperationsAlert]) -> list[AlertEntry]:
        """Write down that alerts are over."""
        entries = [AlertEntry(alert=alert, at=self._now()) for alert in alerts]
        await self._write(entries)
        return entries

    def due(self) -> bool:
        """Whether something is to be tried again now."""
        return any(True for _ in self._due_accounts()) or any(True for _ in self._released())

    # ------------------------------------------------------------------ 1: what is wished for

    def _alerts(self, wishes: Iterable[OperationsAlert]) -> list[AlertEntry]:
        """Firing alerts as they come; ends only of what fires, with what ends alongside."""
        firing = {key: entry.alert for key, entry in self.book.alerts.items()}
        entries = []
        for wish in wishes:
            known = firing.get(wish.alert_id)
            if wish.firing:
                alert = wish if known is None else _continued(known, wish)
                firing[alert.alert_id] = alert
                entries.append(AlertEntry(alert=alert, at=self._now()))
                continue
            ended = [known] if known else []
            ended += [a for a in firing.values() if _ends_with(a, wish)]
            for alert in ended:
                firing.pop(alert.alert_id, None)
                entries.append(AlertEntry(alert=_ended(alert, wish), at=self._now()))
        return entries

    def _over(self, wishes: Iterable[EpisodeEnded]) -> list[RemedyEntry]:
        """Refuse what is held for an episode that has ended, or for a parcel that arrived."""
        entries = []
        if not any(True for _ in wishes):
            return []
        for account in self.book.held():
            reason = self.endings.reason(account.request)
            if reason is not None:
                entries.append(self._entry(account.request, State.REFUSED, reason))
        return entries

    def _claims(self, wishes: Iterable[RemedyRequest]) -> list[tuple[RemedyRequest, Claim]]:
        fresh: dict[str, RemedyRequest] = {}
        for wish in wishes:
            if wish.remedy_id not in self.book.accounts:
                fresh.setdefault(wish.remedy_id, wish)
        claims = [(request, self._limits.claim(request)) for request in fresh.values()]
        claims += [
            (account.request, self._limits.claim(account.request, again=True))
            for account in self._released()
        ]
        return [(request, self._ended(request, claim)) for request, claim in claims]

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

    # ------------------------------------------------------------------ 1: Redis

    async def _reserve(self, claims: Sequence[tuple[RemedyRequest, Claim]]) -> list[RemedyEntry]:
        if not claims:
            return []
        verdicts = await self._verdicts([claim for _, claim in claims])
        self._step(Step.RESERVED)
        return [
            self._promise(request, _STATES[verdict], reason)
            for (request, _), (verdict, reason) in zip(claims, verdicts, strict=True)
            if verdict is not Verdict.ALREADY
        ]

    async def _verdicts(self, claims: Sequence[Claim]) -> list[tuple[Verdict, Reason | None]]:
        while True:
            await self._until_ready()
            try:
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
        await self._ledger.confirm_owner()  # a zombie must not overwrite its successor's part
        try:
            await self._reservations.rebuild(self.book)
        except NotReady as error:
            self._distrust(error)
        else:
            self._stale = self.waiting_for_redis = False
            _LOG.info("rebuilt this partition in Redis", accounts=len(self.book.accounts))

    def _distrust(self, error: NotReady) -> None:
        if not self.waiting_for_redis:
            _LOG.warning("no money moves until Redis is rebuilt", cause=str(error))
        self._stale = self.waiting_for_redis = True

    # ------------------------------------------------------------------ 2, 4: the ledger

    def _entry(self, request: RemedyRequest, state: State, reason: Reason | None) -> RemedyEntry:
        first = request.remedy_id not in self.book.accounts
        return RemedyEntry(
            remedy_id=request.remedy_id,
            state=state,
            reason=reason,
            at=self._now(),
            request=request if first else None,
        )

    def _promise(self, request: RemedyRequest, state: State, reason: Reason | None) -> RemedyEntry:
        entry = self._entry(request, state, reason)
        if state is State.RESERVED and request.amount_minor:
            return msgspec.structs.replace(entry, body=coupon_body(request))
        return entry

    async def _write(
        self, entries: Sequence[Entry], through: int | None = None, step: Step | None = None
    ) -> None:
        """Append, fold and only then tell Redis: what frees money is in the ledger first."""
        if not entries and through is None:
            return
        before = self.book.offset
        reached = await self._ledger.append(entries, through)
        for entry in entries:
            self.book.apply(entry)
            count_outcome(entry, self.book)
        self.book.offset = max(reached, before)
        if step is not None:
            self._step(step)
        if not self._stale:
            await self._follow(entries, before)

    async def _follow(self, entries: Sequence[Entry], before: int) -> None:
        moves = [
            self._limits.account(self.book.accounts[entry.remedy_id])
            for entry in entries
            if isinstance(entry, RemedyEntry)
        ]
        feeds = [
            entry.alert
            for entry in entries
            if isinstance(entry, AlertEntry) and entry.alert.silent_carrier
        ]
        try:
            await self._reservations.settle(
                moves,
                silent=[_silence(alert) for alert in feeds if alert.firing],
                speaking=[str(alert.silent_carrier) for alert in feeds if not alert.firing],
                offset=before,
                reached=self.book.offset,
            )
        except NotReady as error:
            self._distrust(error)

    # ------------------------------------------------------------------ 3: the provider

    def _due_accounts(self) -> Iterable[Account]:
        now = self._monotonic()
        return (
            account
            for account in self.book.open()
            if self._due.get(account.request.remedy_id, now) <= now
        )

    async def _ask_all(self) -> list[RemedyEntry]:
        waiting = [account for account in self._due_accounts() if account.open]
        if not waiting:
            return []
        promised = self._monotonic()
        asking = (self._ask(account, promised) for account in waiting)
        return list(await asyncio.gather(*asking))

    async def _ask(self, account: Account, promised: float) -> RemedyEntry:
        request = account.request
        if not request.amount_minor:  # nothing to pay: the message is the remedy
            return self._entry(request, State.ISSUED, None)
        if self._monotonic() - promised > self._patience.lease_seconds:
            await self._ledger.confirm_owner()
        assert account.body is not None, "a reserved coupon has its body"
        outcome = await self._coupons.deliver(coupon_message(request.remedy_id, account.body))
        count_sink("coupons", outcome)
        return self._answer(account, outcome)

    def _answer(self, account: Account, outcome: Outcome) -> RemedyEntry:
        key, attempts = account.request.remedy_id, account.attempts + 1
        if isinstance(outcome, Delivered):
            state, reason, detail = State.ISSUED, None, None
        elif isinstance(outcome, Refused):
            state, reason, detail = State.REFUSED, Reason.PROVIDER_REFUSED, outcome.detail
        else:
            enough = attempts >= self._patience.attempts
            state = State.PARKED if enough else State.UNKNOWN
            reason, detail = Reason.PROVIDER_SILENT, f"{outcome.reason}: {outcome.detail}"
        self._wait(key, attempts, outcome)
        return RemedyEntry(
            remedy_id=key,
            state=state,
            reason=reason,
            at=self._now(),
            attempts=attempts,
            reference=outcome.reference if isinstance(outcome, Delivered) else None,
            detail=detail,
        )

    def _wait(self, key: str, attempts: int, outcome: Outcome) -> None:
        if isinstance(outcome, Unknown):
            wait = self._patience.wait_seconds(key, attempts, outcome.retry_after_seconds)
            self._due[key] = self._monotonic() + wait
        else:
            self._due.pop(key, None)

    # ------------------------------------------------------------------ 5: the customer

    async def _tell_all(self) -> list[NotificationEntry]:
        untold = [account for account in self._due_accounts() if account.untold]
        return list(await asyncio.gather(*(self._tell(account) for account in untold)))

    async def _tell(self, account: Account) -> NotificationEntry:
        message = notification_message(account.request, account.reference)
        outcome = await self._notifications.deliver(message)
        count_sink("notifications", outcome)
        key, attempts = account.request.remedy_id, account.told_attempts + 1
        self._wait(key, attempts, outcome)
        if isinstance(outcome, Delivered):
            told, detail = Told.DELIVERED, None
        elif isinstance(outcome, Refused):
            told, detail = Told.REFUSED, outcome.detail
        else:
            enough = attempts >= self._patience.attempts
            told, detail = Told.GIVEN_UP if enough else Told.PENDING, outcome.detail
        return NotificationEntry(
            remedy_id=key, told=told, at=self._now(), attempts=attempts, detail=detail
        )


def _continued(known: OperationsAlert, news: OperationsAlert) -> OperationsAlert:
    """News of an alert that fires: which alert it is and since when stays as it was."""
    return msgspec.structs.replace(
        news, severity=known.severity, starts_at=known.starts_at, tell=known.tell or news.tell
    )


def _ended(alert: OperationsAlert, end: OperationsAlert) -> OperationsAlert:
    return msgspec.structs.replace(alert, firing=False, decided_at=end.decided_at)


def _ends_with(alert: OperationsAlert, end: OperationsAlert) -> bool:
    """Another alert of the same episode (the couriers a surge needs) ends with it."""
    return alert.alert_id != end.alert_id and alert.episode_id == end.episode_id


def _silence(alert: OperationsAlert) -> Silence:
    return Silence(str(alert.silent_carrier), int(alert.starts_at.timestamp()))

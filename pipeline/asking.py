"""Asking the provider and telling the customer: what is due, and what an answer means.

Each remedy is asked with one key and one body, as often as the schedule says. A provider that does
not repeat its answers (`Outlet.repeats` is false) is asked once for each remedy: SENT is in the
ledger before the call, and whatever then stays unclear is PARKED.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from pipeline.ledger import Account, Book, NotificationEntry, RemedyEntry, State, Told
from pipeline.messages import coupon_message, has_actions, notice_message
from pipeline.outlet import Outlet
from pipeline.patience import Patience
from pipeline.promises import Promises
from pipeline.remedies import Reason
from sinks.base import Delivered, Outcome, Refused, Unknown, UnknownReason
from sinks.last_look import look_first

_WITHOUT_EFFECT: Final = frozenset(
    {UnknownReason.BUSY, UnknownReason.NOT_ACCEPTED_HERE, UnknownReason.GONE}
)
"""Unknown is only whether it will be accepted: these answers come instead of the effect."""


class Asker:
    """Asks for one lane.

    Parameters
    ----------
    book
        The fold of the lane's ledger; only read here.
    coupons, notices
        Where money and messages go.
    promises
        Keeps what messages promise, and writes them.
    patience
        How often, and when again.
    now, monotonic
        Wall clock for entries, time for back-off.
    still_mine
        Awaited before anything is sent; raises `Fenced` when the lane is another's.
    """

    def __init__(
        self,
        book: Book,
        *,
        coupons: Outlet,
        notices: Outlet,
        promises: Promises,
        patience: Patience,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        still_mine: Callable[[], Awaitable[None]],
    ) -> None:
        self._book, self._coupons, self._notices = book, coupons, notices
        self._promises = promises
        self._patience, self._now, self._monotonic = patience, now, monotonic
        self._still_mine = still_mine
        self._try_first()
        self._due = {
            account.request.remedy_id: self._from_ledger(account) for account in book.open()
        }

    def to_ask(self) -> list[Account]:
        """Return the accounts whose provider is to be asked now."""
        due = [account for account in self._now_due() if account.open and self._reachable(account)]
        if not self._coupons.trial:
            return due
        paid = [account for account in due if account.request.amount_minor]
        return [account for account in due if not account.request.amount_minor] + paid[:1]

    def to_tell(self) -> list[Account]:
        """Return the accounts whose customer is to be told now."""
        if self._notices.off:
            return []
        due = [account for account in self._now_due() if account.untold and self._kept(account)]
        return due[:1] if self._notices.trial or self._promises.outlet.trial else due

    def lost(self) -> list[RemedyEntry]:
        """Park what was asked once and must not be asked again; before anything is asked."""
        return [
            self._parked(account)
            for account in self._book.open()
            if account.state is State.SENT
            or (account.state is State.UNKNOWN and account.doubt and not self._coupons.repeats)
        ]

    def sending(self, accounts: Sequence[Account]) -> list[RemedyEntry]:
        """Return what must be in the ledger before these are asked."""
        if self._coupons.repeats:
            return []
        return [
            RemedyEntry(
                remedy_id=account.request.remedy_id,
                state=State.SENT,
                at=self._now(),
                attempts=account.attempts,
            )
            for account in accounts
            if account.request.amount_minor
        ]

    async def ask(self, accounts: Sequence[Account]) -> list[RemedyEntry]:
        """Ask for these, all at once."""
        return list(await asyncio.gather(*(self._ask(account) for account in accounts)))

    async def tell(self, accounts: Sequence[Account]) -> list[NotificationEntry]:
        """Tell these customers, all at once."""
        return list(await asyncio.gather(*(self._tell(account) for account in accounts)))

    # ------------------------------------------------------------------ when

    def _now_due(self) -> Iterable[Account]:
        now = self._monotonic()
        return (
            account
            for account in self._book.open()
            if self._due.get(account.request.remedy_id, now) <= now
        )

    def _reachable(self, account: Account) -> bool:
        return not (account.request.amount_minor and self._coupons.off)

    def _kept(self, account: Account) -> bool:
        """Whether what was promised can be asked for: nothing is said before it is true."""
        return not (self._promises.outlet.off and has_actions(account.request))

    def _try_first(self) -> None:
        gone = [account for account in self._book.open() if account.gone]
        if any(account.open for account in gone):
            self._coupons.try_first()
        if any(account.untold for account in gone):
            self._notices.try_first()
            self._promises.outlet.try_first()

    def _from_ledger(self, account: Account) -> float:
        """When an account of a former owner is due: its clock may differ, the wait may not."""
        attempts = account.told_attempts if account.untold else account.attempts
        now = self._monotonic()
        if account.asked_at is None or not attempts or account.gone:
            return now
        wait = self._patience.wait_seconds(account.request.remedy_id, attempts, None)
        left = wait - (self._now() - account.asked_at).total_seconds()
        return now + min(max(left, 0.0), wait)

    def _wait(self, key: str, attempts: int, outcome: Outcome) -> None:
        if isinstance(outcome, Unknown) and attempts < self._patience.attempts:
            wait = self._patience.wait_seconds(key, attempts, outcome.retry_after_seconds)
            self._due[key] = self._monotonic() + wait
        else:
            self._due.pop(key, None)

    # ------------------------------------------------------------------ the provider

    async def _ask(self, account: Account) -> RemedyEntry:
        request = account.request
        if not request.amount_minor:  # nothing to pay: the message is the remedy
            return RemedyEntry(
                remedy_id=request.remedy_id,
                state=State.ISSUED,
                at=self._now(),
                notice=self._promises.notice(request, None, self._now()),
            )
        assert account.body is not None, "a reserved coupon has its body"
        message = coupon_message(request.remedy_id, account.body)
        look_first(self._still_mine)
        await self._still_mine()
        return self._answer(account, await self._coupons.deliver(message))

    def _answer(self, account: Account, outcome: Outcome) -> RemedyEntry:
        key, attempts = account.request.remedy_id, account.attempts + 1
        state, reason, detail = self._meaning(account, outcome, attempts)
        self._wait(key, attempts, outcome)
        issued = isinstance(outcome, Delivered)
        reference = outcome.reference if isinstance(outcome, Delivered) else None
        return RemedyEntry(
            remedy_id=key,
            state=state,
            reason=reason,
            at=self._now(),
            attempts=attempts,
            reference=reference,
            detail=detail,
            doubt=isinstance(outcome, Unknown) and outcome.reason not in _WITHOUT_EFFECT,
            notice=(
                self._promises.notice(account.request, reference, self._now()) if issued else None
            ),
        )

    def _meaning(
        self, account: Account, outcome: Outcome, attempts: int
    ) -> tuple[State, Reason | None, str | None]:
        if isinstance(outcome, Delivered):
            return State.ISSUED, None, None
        if isinstance(outcome, Refused):
            # A provider that may have given it and now refuses it contradicts itself.
            if account.doubt and self._coupons.repeats:
                return State.PARKED, Reason.REFUSED_AFTER_DOUBT, outcome.detail
            return State.REFUSED, Reason.PROVIDER_REFUSED, outcome.detail
        detail = outcome.text
        if not self._coupons.repeats:
            return State.PARKED, Reason.SENT_AND_LOST, detail
        enough = self._enough(outcome, attempts)
        return State.PARKED if enough else State.UNKNOWN, Reason.PROVIDER_SILENT, detail

    def _enough(self, outcome: Unknown, attempts: int) -> bool:
        """Whether it is not tried again; where nobody is at home, it waits until somebody is."""
        return attempts >= self._patience.attempts and outcome.reason is not UnknownReason.GONE

    def _parked(self, account: Account) -> RemedyEntry:
        return RemedyEntry(
            remedy_id=account.request.remedy_id,
            state=State.PARKED,
            reason=Reason.SENT_AND_LOST,
            at=self._now(),
            attempts=account.attempts,
        )

    # ------------------------------------------------------------------ the customer

    async def _tell(self, account: Account) -> NotificationEntry:
        request = account.request
        look_first(self._still_mine)
        await self._still_mine()
        body = await self._promises.kept(account)
        outcome: Outcome
        if isinstance(body, Unknown):
            outcome = body  # nothing is said before it is true
        else:
            outcome = await self._notices.deliver(notice_message(request.remedy_id, body))
        key, attempts = request.remedy_id, account.told_attempts + 1
        self._wait(key, attempts, outcome)
        if isinstance(outcome, Delivered):
            told, detail = Told.DELIVERED, None
        elif isinstance(outcome, Refused):
            told, detail = Told.REFUSED, outcome.detail
        else:
            enough = self._enough(outcome, attempts)
            told, detail = Told.GIVEN_UP if enough else Told.PENDING, outcome.text
        return NotificationEntry(
            remedy_id=key, told=told, at=self._now(), attempts=attempts, detail=detail
        )

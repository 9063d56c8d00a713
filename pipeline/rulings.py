"""What a person's word makes of a remedy that is held or parked.

A word has its effect once: after it the remedy is neither held nor parked for the same reason, so
reading it again (offsets set back, a topic written anew) changes nothing.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from pipeline.claims import Claim, Limits
from pipeline.ledger import Account, Book, RemedyEntry, State
from pipeline.remedies import Reason, RemedyRequest, Ruling, Verdict


class Effect(StrEnum):
    """What became of a person's word."""

    CLAIMED = "claimed"
    """It goes to budgets and caps like a new one."""
    DONE = "done"
    EXPIRED = "expired"
    UNKNOWN_REMEDY = "unknown_remedy"
    NOT_WAITING = "not_waiting"
    """It is neither held nor parked."""
    ASKED_ONCE = "asked_once"
    """The provider cannot be asked twice: say whether it is there (`found`, `reject`)."""


class Ruled(msgspec.Struct, frozen=True):
    """What a ruling asks of the round."""

    effect: Effect
    entry: RemedyEntry | None = None
    claim: tuple[RemedyRequest, Claim, Ruling] | None = None


def rule(
    ruling: Ruling,
    book: Book,
    limits: Limits,
    *,
    now: datetime,
    clock: datetime,
    repeats: bool,
) -> Ruled:
    """Return the effect; `now` is wall time, `clock` that of quiet hours."""
    account = book.accounts.get(ruling.remedy_id)
    if account is None:
        return Ruled(Effect.UNKNOWN_REMEDY)
    if account.state not in {State.HELD, State.PARKED}:
        return Ruled(Effect.NOT_WAITING)
    if ruling.expires_at <= now:
        return Ruled(Effect.EXPIRED)
    if ruling.verdict is Verdict.REJECT:
        return Ruled(Effect.DONE, _entry(ruling, State.REFUSED, Reason.REJECTED_BY_PERSON, now))
    if account.state is State.PARKED:
        return _parked(ruling, repeats=repeats, now=now)
    if ruling.verdict is Verdict.FOUND:
        return Ruled(Effect.NOT_WAITING)
    return Ruled(Effect.CLAIMED, claim=_approved(ruling, account, limits, clock))


def _parked(ruling: Ruling, *, repeats: bool, now: datetime) -> Ruled:
    if ruling.verdict is Verdict.FOUND:
        entry = _entry(ruling, State.ISSUED, None, now)
        return Ruled(Effect.DONE, msgspec.structs.replace(entry, reference=ruling.reference))
    if not repeats:
        return Ruled(Effect.ASKED_ONCE)
    return Ruled(Effect.DONE, _entry(ruling, State.RESERVED, None, now))


def _approved(
    ruling: Ruling, account: Account, limits: Limits, clock: datetime
) -> tuple[RemedyRequest, Claim, Ruling]:
    """A person's word lifts every hold but the night: that ends by itself."""
    request = account.request
    claim = limits.claim(request, again=True)
    night = request.not_before is not None and request.not_before > clock
    if night:
        claim = msgspec.structs.replace(claim, hold=Reason.QUIET_HOURS)
    return request, msgspec.structs.replace(claim, approved=True), ruling


def _entry(ruling: Ruling, state: State, reason: Reason | None, now: datetime) -> RemedyEntry:
    return RemedyEntry(
        remedy_id=ruling.remedy_id, state=state, reason=reason, at=now, ruling=ruling
    )

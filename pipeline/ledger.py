"""What was promised and paid: the truth about money, as entries and as their fold.

Entries of one remedy follow the transitions below; `Book.apply` refuses any other, because a
ledger that tells the impossible must stop the process that reads it, not be guessed at.

    (nothing) ──► RESERVED ──► ISSUED
        │             │  ▲────► REFUSED   the provider's definite no
        │             ▼  │
        │          UNKNOWN ───► PARKED    asked again with the same key until it is enough
        ├───────► HELD ───────► RESERVED  quiet hours are over, or a person approved
        │          └──────────► REFUSED   the episode ended while it was held, or a person rejected
        └───────► REFUSED
    RESERVED ─► SENT ─► ISSUED, REFUSED, PARKED   a provider that must not be asked twice
    PARKED ───► RESERVED, ISSUED, REFUSED         a person's word only

RESERVED, SENT, UNKNOWN and PARKED hold their amount as reserved, ISSUED as spent. A first entry
carries the whole request, RESERVED the frozen body of the coupon and ISSUED that of the message, so
the ledger alone is enough to go on.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from detectors.events import Instant
from pipeline.remedies import OperationsAlert, Reason, RemedyRequest, Ruling
from pipeline.seals import SEAL_KEY, Seal
from sinks.base import UnknownReason


class State(StrEnum):
    """Where a remedy stands."""

    RESERVED = "reserved"
    SENT = "sent"
    UNKNOWN = "unknown"
    ISSUED = "issued"
    REFUSED = "refused"
    HELD = "held"
    PARKED = "parked"


class Told(StrEnum):
    """Whether the customer has been told."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


TRANSITIONS: Final[dict[State | None, frozenset[State]]] = {
    None: frozenset({State.RESERVED, State.HELD, State.REFUSED}),
    State.RESERVED: frozenset(
        {State.SENT, State.ISSUED, State.REFUSED, State.UNKNOWN, State.PARKED}
    ),
    State.SENT: frozenset({State.ISSUED, State.REFUSED, State.PARKED}),
    State.UNKNOWN: frozenset({State.ISSUED, State.REFUSED, State.UNKNOWN, State.PARKED}),
    State.HELD: frozenset({State.RESERVED, State.REFUSED, State.HELD}),
    State.ISSUED: frozenset(),
    State.REFUSED: frozenset(),
    State.PARKED: frozenset({State.RESERVED, State.ISSUED, State.REFUSED}),
}
RESERVING: Final = frozenset({State.RESERVED, State.SENT, State.UNKNOWN, State.PARKED})
"""States that hold the amount as reserved."""
_OPEN: Final = frozenset({State.RESERVED, State.SENT, State.UNKNOWN})
ENDED: Final = frozenset({State.ISSUED, State.REFUSED, State.HELD, State.PARKED})
"""States a request may rest in; HELD for quiet hours moves on by itself."""
_OVER: Final = frozenset({State.ISSUED, State.REFUSED})


class RemedyEntry(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="remedy", tag_field="type"
):
    """A remedy came to a state."""

    remedy_id: str
    state: State
    at: Instant
    """Wall time of the process that wrote it."""
    reason: Reason | None = None
    request: RemedyRequest | None = None
    """With the first entry of a remedy."""
    body: str | None = None
    """What the provider is sent, each time the same bytes; with RESERVED when there is a coupon."""
    attempts: int = 0
    """How often the provider has been asked."""
    reference: str | None = None
    """The provider's name for the coupon; with ISSUED."""
    detail: str | None = None
    """What the provider said."""
    doubt: bool = False
    """With UNKNOWN: the provider may have done it."""
    notice: str | None = None
    """What the customer is sent, each time the same bytes; with ISSUED."""
    ruling: Ruling | None = None
    """The person's word that made it so."""


class NotificationEntry(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="notification", tag_field="type"
):
    """The customer was told, or cannot be told."""

    remedy_id: str
    told: Told
    at: Instant
    attempts: int
    detail: str | None = None


class AlertEntry(msgspec.Struct, frozen=True, kw_only=True, tag="alert", tag_field="type"):
    """Operations are to be told."""

    alert: OperationsAlert
    at: Instant


class SealEntry(msgspec.Struct, frozen=True, kw_only=True, tag="seal", tag_field="type"):
    """From here on nobody may issue from this partition, or, without a seal, somebody may again."""

    seal: Seal | None = None


Entry = RemedyEntry | NotificationEntry | AlertEntry | SealEntry
_DECODER: Final = msgspec.json.Decoder(Entry)


class BrokenLedger(ValueError):
    """The ledger says what cannot be; a person must look before money moves."""


def encode_entry(entry: Entry) -> bytes:
    """Return the record's value."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Read a record's value; raises `BrokenLedger`."""
    try:
        entry: Entry = _DECODER.decode(value)
    except msgspec.MsgspecError as error:
        raise BrokenLedger(f"an entry cannot be read: {error}") from error
    return entry


def key_of(entry: Entry) -> bytes:
    """Return the record's key: entries of one remedy, or of one alert, stay together."""
    if isinstance(entry, SealEntry):
        return SEAL_KEY
    return (entry.alert.alert_id if isinstance(entry, AlertEntry) else entry.remedy_id).encode()


@dataclass(slots=True)
class Account:
    """One remedy as its entries have made it."""

    request: RemedyRequest
    state: State
    reason: Reason | None = None
    body: str | None = None
    """Until the provider has answered for good: what is over is not kept in memory."""
    attempts: int = 0
    asked_at: datetime | None = None
    """When the provider, or then the customer's side, was last asked in vain."""
    doubt: bool = False
    """The provider may have done it although it is not issued."""
    reference: str | None = None
    notice: str | None = None
    """Until the customer was told."""
    told: Told = Told.PENDING
    told_attempts: int = 0
    gone: bool = False
    """The last word of the provider, or then of the customer's side, was 410."""

    @property
    def open(self) -> bool:
        """Whether the provider still has to answer."""
        return self.state in _OPEN

    @property
    def untold(self) -> bool:
        """Whether the customer still has to be told."""
        return self.state is State.ISSUED and self.told is Told.PENDING

    @property
    def reserved_minor(self) -> int:
        """Money that may still be spent."""
        return self.request.amount_minor if self.state in RESERVING else 0

    @property
    def spent_minor(self) -> int:
        """Money that is gone."""
        return self.request.amount_minor if self.state is State.ISSUED else 0


@dataclass(slots=True)
class Book:
    """The fold of a ledger partition: every remedy's account and the alerts that are firing."""

    accounts: dict[str, Account] = field(default_factory=dict)
    alerts: dict[str, AlertEntry] = field(default_factory=dict)
    offset: int = 0
    """Offset after the last entry applied."""
    seal: Seal | None = None
    """Why nobody may issue from this partition."""
    reserved_minor: Counter[str] = field(default_factory=Counter)
    """By budget; of `remedies/DAY`, how many."""
    spent_minor: Counter[str] = field(default_factory=Counter)
    """By budget."""
    _open: dict[str, None] = field(default_factory=dict)
    _held: dict[str, None] = field(default_factory=dict)

    def apply(self, entry: Entry) -> None:
        """Fold one entry in; a repeated one changes nothing. Raises `BrokenLedger`."""
        if isinstance(entry, SealEntry):
            self.seal = entry.seal
            return
        if isinstance(entry, AlertEntry):
            self._apply_alert(entry)
            return
        if isinstance(entry, NotificationEntry):
            account = self._account(entry.remedy_id)
            account.told, account.told_attempts = entry.told, entry.attempts
            account.asked_at, account.gone = entry.at, _is_gone(entry.detail)
            if not account.untold:
                account.notice = None
        else:
            account = self._apply_remedy(entry)
        self._index(entry.remedy_id, account)

    def open(self) -> Iterator[Account]:
        """Accounts that still need the provider or the customer to be reached."""
        return (self.accounts[key] for key in tuple(self._open))

    def held(self) -> Iterator[Account]:
        """Accounts that are held, for whatever reason."""
        return (self.accounts[key] for key in tuple(self._held))

    def _account(self, remedy_id: str) -> Account:
        try:
            return self.accounts[remedy_id]
        except KeyError:
            raise BrokenLedger(f"{remedy_id} has no first entry") from None

    def _apply_remedy(self, entry: RemedyEntry) -> Account:
        known = self.accounts.get(entry.remedy_id)
        before = known.state if known else None
        if entry.state is not before and entry.state not in TRANSITIONS[before]:
            raise BrokenLedger(f"{entry.remedy_id} went from {before} to {entry.state}")
        if known is None:
            if entry.request is None:
                raise BrokenLedger(f"{entry.remedy_id} begins without its request")
            known = self.accounts[entry.remedy_id] = Account(entry.request, entry.state)
            self._count(known, 1)
        self._count(known, -1)
        known.state, known.reason = entry.state, entry.reason
        self._count(known, 1)
        known.attempts = max(known.attempts, entry.attempts) if entry.ruling is None else 0
        known.asked_at = entry.at if entry.state is State.UNKNOWN else None
        known.doubt = known.doubt or entry.doubt or entry.state is State.SENT
        known.body = None if entry.state in _OVER else entry.body or known.body
        known.gone = _is_gone(entry.detail)
        known.reference = entry.reference or known.reference
        known.notice = entry.notice or known.notice
        return known

    def _count(self, account: Account, sign: int) -> None:
        for key, taken in scopes_of(account.request):
            self.reserved_minor[key] += sign * taken * (account.state in RESERVING)
            self.spent_minor[key] += sign * taken * (account.state is State.ISSUED)

    def _index(self, remedy_id: str, account: Account) -> None:
        for wanted, keys in (
            (account.open or account.untold, self._open),
            (account.state is State.HELD, self._held),
        ):
            if wanted:
                keys[remedy_id] = None  # in the order they came
            else:
                keys.pop(remedy_id, None)

    def _apply_alert(self, entry: AlertEntry) -> None:
        alert = entry.alert
        if alert.firing:
            self.alerts[alert.alert_id] = entry
        else:
            self.alerts.pop(alert.alert_id, None)


def _is_gone(detail: str | None) -> bool:
    return detail is not None and detail.startswith(f"{UnknownReason.GONE}:")


def scopes_of(request: RemedyRequest) -> tuple[tuple[str, int], ...]:
    """Return the budgets a remedy takes from and how much: money, and one of the day's remedies.

    Day and month are those of the decision in UTC, whenever the money moves.
    """
    day = day_of(request.decided_at)
    month, amount = day[:7], request.amount_minor
    if not amount:
        return ((f"remedies/{day}", 1),)
    region = f"region/{request.region or '-'}"
    keys = ["global/" + day, "global/" + month, f"{region}/{day}", f"{region}/{month}"]
    if request.campaign:
        campaign = f"campaign/{request.campaign}"
        keys += [campaign, f"{campaign}/{day}", f"{campaign}/{month}"]
    return (*((key, amount) for key in keys), (f"remedies/{day}", 1))


def day_of(at: datetime) -> str:
    """Return the UTC day."""
    return at.astimezone(UTC).date().isoformat()


def fold(entries: Iterable[Entry]) -> Book:
    """Fold a ledger partition."""
    book = Book()
    for entry in entries:
        book.apply(entry)
        book.offset += 1
    return book

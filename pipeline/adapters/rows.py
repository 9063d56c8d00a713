"""Values of rows: where they stand, and change data capture around them.

Debezium's envelope (`before`, `after`, `op`; alone or as `payload` beside its `schema`) is
recognised, and so is its flattened form with `__deleted`.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from configs.mapping import AddressColumn, Column, CustomerColumn, MoneyColumn, TimeColumn
from detectors.events import TrackingEvent
from pipeline.adapters.documents import row_of
from pipeline.adapters.items import (
    Document,
    Ignored,
    Item,
    Read,
    Refusal,
    Retraction,
    Row,
    Skipped,
    Unreadable,
)
from pipeline.adapters.privacy import Pseudonyms, address_hash, identifier
from pipeline.adapters.times import BadTime, Zones, read_time

_OPERATIONS: Final = frozenset({"c", "u", "d", "r"})
_MISSING: Final = object()
_AMOUNT: Final = re.compile(
    r"(?P<whole>\d{1,3}(?:[ .,'’]\d{3})+|\d{1,9})(?:[.,](?P<part>\d{1,2}|\d{4}))?"
)
"""1290, 1290.5, 12,90, 1.290,00 and 1 290; three digits after a separator are thousands."""
_SEPARATORS: Final = re.compile(r"\D")
_TRUE: Final = frozenset({"true", "yes", "y", "1", "t"})


class Change(NamedTuple):
    """What happened to a row: it is `after` now and was `before`; None where there is none."""

    before: Row | None
    after: Row | None


def change_of(row: Row) -> Change:
    """Return what change data capture says, or the row itself as new.

    Raises `Unreadable` for an envelope without rows.
    """
    payload = row.get("payload")
    if isinstance(payload, dict) and "schema" in row:
        row = payload
    if row.get("op") in _OPERATIONS and ("after" in row or "before" in row):
        before, after = _state(row, "before"), _state(row, "after")
        if row["op"] == "d":
            return Change(before, None)
        if after is None:
            raise Unreadable(Refusal.WRONG_SHAPE, "a change without the row after it")
        return Change(before, after)
    if str(row.get("__deleted", "")).casefold() == "true":
        return Change(row, None)
    return Change(None, row)


def is_other(row: Row) -> bool:
    """Tell whether change data capture says something that is about no row: truncate, message."""
    payload = row.get("payload")
    inner = payload if isinstance(payload, dict) and "schema" in row else row
    return inner.get("op") in {"t", "m"} and "after" not in inner


def _state(row: Row, name: str) -> Row | None:
    found = row.get(name)
    return found if isinstance(found, dict) else None


def text_of(row: Row, spec: Column | None) -> str | None:
    """Return the value of a field as text, None where the row has none.

    Raises `Unreadable` for a column that is not in the row at all.
    """
    if spec is None:
        return None
    if spec.constant is not None:
        return spec.constant
    names = (spec.column,) if spec.column is not None else spec.columns or ()
    parts = [_text(value_at(row, name or "")) for name in names]
    joined = " ".join(part for part in parts if part)
    return spec.values.get(joined, joined) or None


def _named(spec: Column) -> str:
    """Return what a field is called in the table, for messages."""
    return spec.column or " + ".join(spec.columns or ("constant",))


def value_at(row: Row, path: str) -> object:
    """Return the value of a column, or at a path. Raises `Unreadable` where there is no such."""
    found = row.get(path, _MISSING)
    if found is _MISSING:
        found = row
        for part in path.split("."):
            found = found.get(part, _MISSING) if isinstance(found, dict) else _MISSING
            if found is _MISSING:
                raise Unreadable(Refusal.MISSING_COLUMN, f"no column {path!r}")
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat() if callable(isoformat) else value).strip()


def items_of(payload: Document, event: Callable[[Row], Item], *, is_log: bool) -> Iterator[Item]:
    """Yield what became of a row; for a change also the event it takes back.

    A changed row of a log of events is a correction. In a table of states (`is_log` false) it is a
    further event, and a correction only where the time has stayed.
    """
    row = row_of(payload)
    if is_other(row):
        yield Ignored(Skipped.OTHER_SUBJECT)
        return
    change = change_of(row)
    now = None if change.after is None else event(change.after)
    before = None if change.before is None else _quietly(event, change.before)
    if isinstance(before, Read):
        gone = event_id(before)
        if not isinstance(now, Read) or _corrects(now, before, is_log=is_log):
            yield Retraction(gone)
    yield now if now is not None else Ignored(Skipped.TOMBSTONE)


def _quietly(event: Callable[[Row], Item], row: Row) -> Item | None:
    """Return the event a row was, None if it was none: a replica may hold its key only."""
    try:
        return event(row)
    except Unreadable:
        return None


def _corrects(now: Read, before: Read, *, is_log: bool) -> bool:
    same_time = now.event.occurred_at == before.event.occurred_at
    return event_id(now) != event_id(before) and (is_log or same_time)


def event_id(read: Read) -> str:
    """Return the id of what was read, scan or complaint."""
    event = read.event
    return event.event_id if isinstance(event, TrackingEvent) else event.complaint_id


class Cells:
    """Reads cells that are more than text.

    Parameters
    ----------
    zones
        Zones of times without an offset.
    people
        Makes pseudonyms.
    """

    def __init__(self, zones: Zones, people: Pseudonyms) -> None:
        self._zones, self._people = zones, people

    def time(self, row: Row, spec: TimeColumn | None, *places: str | None) -> datetime | None:
        """Return a time, None for an empty cell. Raises `Unreadable`."""
        text = text_of(row, spec)
        if spec is None or text is None:
            return None
        zones = self._zones if spec.zone is None else Zones(spec.zone, {})
        try:
            return read_time(text, zones.of(*places), spec.format)
        except BadTime as error:
            raise Unreadable(error.problem, f"{_named(spec)}: {error}") from error

    def customer(self, row: Row, spec: CustomerColumn | None) -> str | None:
        """Return a pseudonym, or one that stands there already."""
        text = text_of(row, spec)
        if spec is None or text is None:
            return None
        return self._people.of(text) if spec.pseudonym else identifier(text)

    def address(self, row: Row, spec: AddressColumn | None) -> str | None:
        """Return the pseudonym of an address, or one that stands there already."""
        text = text_of(row, spec)
        if spec is None or text is None:
            return None
        return self._people.address(text) if spec.pseudonym else address_hash(text)


def amount_minor(row: Row, spec: MoneyColumn | None) -> int | None:
    """Return an amount in minor units, None for an empty cell. Raises `Unreadable`."""
    text = text_of(row, spec)
    if spec is None or text is None:
        return None
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise Unreadable(Refusal.UNREADABLE_NUMBER, f"{_named(spec)}: not an amount")
    whole, part = _SEPARATORS.sub("", match["whole"]), match["part"] or "0"
    number = Decimal(f"{whole}.{part}") * (100 if spec.unit == "major" else 1)
    return int(number.to_integral_value())


def flag(text: str | None) -> bool | None:
    """Return a yes or no, None for an empty cell."""
    return None if text is None else text.casefold() in _TRUE

"""EMSEVT as UN/EDIFACT: events out of the segments of a message.

How the UPU lays out the message (standard M40) is for its members, so nothing here goes by
positions of M40. What goes is public: the segments of UN/EDIFACT (STS, DTM, LOC) and the forms of
what posts write into them: S10 identifiers, event codes, offices' codes. Messages that list
events under an item are read, and items under an event. What cannot be told apart is refused, and
with it the whole message: never an event with another's time.

| what    | where it is looked for                                                            |
|---------|-----------------------------------------------------------------------------------|
| item    | an S10 identifier, in any segment but of persons and of free text                  |
| event   | STS: the first element that is an event code; the element after it is the reason   |
| time    | DTM, C507: a date with a time of day; not the message's own (qualifier 137)        |
| office  | LOC: the first component that is an IMPC code                                      |
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pipeline.adapters.edifact import Message, Segment
from pipeline.adapters.items import Refusal, Unreadable
from pipeline.adapters.times import TimeProblem

S10: Final = re.compile(r"[A-Z]{2}(\d{8})(\d)([A-Z]{2})")
OFFICE: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{3,4}")
REASON: Final = re.compile(r"[A-Za-z0-9]{1,3}")
_CODE: Final = re.compile(r"E[A-Z]{2}")
_LAYOUTS: Final = {
    "201": "%y%m%d%H%M",
    "203": "%Y%m%d%H%M",
    "204": "%Y%m%d%H%M%S",
    "205": "%Y%m%d%H%M%z",
    "303": "%Y%m%d%H%M",
    "304": "%Y%m%d%H%M%S",
}
"""Formats of UN/EDIFACT's element 2379."""
_ZONED: Final = frozenset({"303", "304"})
"""Those that end with the name of a zone."""
_ZONES: Final = frozenset({"UTC", "GMT"})
_OF_THE_MESSAGE: Final = "137"
_CLOSED: Final = frozenset({"NAD", "CTA", "COM", "FTX", "ADR", "PNA"})
"""Persons, addresses and free text: never looked at."""


def is_emsevt(message: Message) -> bool:
    """Tell whether a message's header names EMSEVT, as its type or as its association code."""
    return any("EMSEVT" in part for element in message.head.elements for part in element)


def events(message: Message) -> list[dict[str, str]]:
    """Return the events of a message by what is known of them: item, code, time, office, reason.

    Raises `Unreadable` where it cannot be told what belongs together.
    """
    group = _Group()
    for segment in message.body:
        for kind, value in _facts(segment):
            group.add(kind, value)
    return group.end()


class _Group:
    """Facts of the event at hand. What comes first, item or event, is what the others are under."""

    def __init__(self) -> None:
        self._first: str | None = None
        self._item: str | None = None
        self._event: dict[str, str] = {}
        self._done: list[dict[str, str]] = []

    def add(self, kind: str, value: str) -> None:
        if kind in {"item", "code"} and self._first is None:
            self._first = kind
        if kind == "item":
            self._next_item(value)
        elif kind == "code":
            self._next_code(value)
        elif self._event.setdefault(kind, value) != value:
            raise Unreadable(Refusal.WRONG_SHAPE, f"a second {kind} for the same event")

    def _next_item(self, value: str) -> None:
        if self._item not in {None, value}:
            self._close()
            if self._first == "item":
                self._event = {}
        self._item = value

    def _next_code(self, value: str) -> None:
        if "code" in self._event:
            self._close()
            self._event = {}
            if self._first == "code":
                self._item = None
        self._event["code"] = value

    def _close(self) -> None:
        if self._item is None:
            raise Unreadable(Refusal.NO_PARCEL, "an event without an S10 identifier")
        if "code" not in self._event:
            raise Unreadable(Refusal.NO_STATUS, "an item without an event code")
        self._done.append({**self._event, "item": self._item})

    def end(self) -> list[dict[str, str]]:
        """Return all events."""
        if self._item is not None or self._event:
            self._close()
        return self._done


def _facts(segment: Segment) -> Iterator[tuple[str, str]]:
    if segment.tag == "STS":
        yield from _status(segment)
    elif segment.tag == "DTM" and segment.at(0) != _OF_THE_MESSAGE:
        yield "time", _time(segment.at(0, 1), segment.at(0, 2))
    elif segment.tag == "LOC":
        found = (part for element in segment.elements[1:] for part in element)
        office = next((part for part in found if OFFICE.fullmatch(part)), None)
        if office is not None:
            yield "office", office
    elif segment.tag not in _CLOSED:
        for element in segment.elements:
            yield from (("item", part) for part in element if S10.fullmatch(part))


def _status(segment: Segment) -> Iterator[tuple[str, str]]:
    for index in range(len(segment.elements)):
        if _CODE.fullmatch(segment.at(index)):
            yield "code", segment.at(index)
            if REASON.fullmatch(segment.at(index + 1)):
                yield "reason", segment.at(index + 1)
            return
    raise Unreadable(Refusal.NO_STATUS, "an STS without an event code")


def _time(text: str, layout: str) -> str:
    """Return a time as ISO 8601. Raises `Unreadable`."""
    zone = text[-3:] if layout in _ZONED else ""
    if zone and zone not in _ZONES:
        raise Unreadable(TimeProblem.NO_ZONE, "a DTM in a zone that is neither UTC nor GMT")
    try:
        found = datetime.strptime(text.removesuffix(zone), _LAYOUTS[layout])  # noqa: DTZ007 - local
    except (KeyError, ValueError) as error:
        problem = "a DTM that is no date with a time of day"
        raise Unreadable(TimeProblem.UNREADABLE, problem) from error
    return found.isoformat() + ("+00:00" if zone else "")

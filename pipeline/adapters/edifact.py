"""UN/EDIFACT interchanges (ISO 9735) as messages of segments, each message whole or not at all.

An interchange's trailers say how many messages (UNZ) and how many segments of a message (UNT) there
are, so one that was cut off shows. What a segment means depends on its message and is the business
of who reads it.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.adapters.items import Refusal, Unreadable

_START: Final = re.compile(rb"\s*(?:UNA\W{6}\s*)?UNB\W")
START_BYTES: Final = 64
"""As much of a document as `is_interchange` needs."""
_SERVICE: Final = ":+.? '"
"""Without UNA: between components, between elements, decimal mark, release, reserved, end."""
_HIDDEN: Final = 0xE000
"""Released characters are set aside here, in private use, until the text is split."""


class Segment(NamedTuple):
    """A tag and its elements, each of components."""

    tag: str
    elements: tuple[tuple[str, ...], ...]

    def at(self, element: int, component: int = 0) -> str:
        """Return a component, nothing where it is left out."""
        parts = self.elements[element] if element < len(self.elements) else ()
        return parts[component] if component < len(parts) else ""


class Message(NamedTuple):
    """A UNH and what stands between it and its UNT."""

    head: Segment
    body: tuple[Segment, ...]


def is_interchange(start: bytes) -> bool:
    """Tell whether a document begins as an interchange does."""
    return _START.match(start) is not None


def messages(document: bytes) -> Iterator[Message]:
    """Yield the messages of interchanges. Raises `Unreadable` where one is not whole.

    Examples
    --------
    >>> text = b"UNB+UNOA:1+CN+DE+260302:0910+7'UNH+1+X'LOC+1+D?+E:9'UNT+3+1'UNZ+1+7'"
    >>> [message.body for message in messages(text)]
    [(Segment(tag='LOC', elements=(('1',), ('D+E', '9'))),)]
    """
    envelope = _Envelope()
    for segment in _segments(document):
        whole = envelope.take(segment)
        if whole is not None:
            yield whole
    envelope.end()


class _Envelope:
    """Counts what the trailers say."""

    def __init__(self) -> None:
        self._inside = False
        self._messages = self._groups = 0
        self._open: list[Segment] | None = None

    def take(self, segment: Segment) -> Message | None:
        """Return a message that is complete with this segment."""
        if segment.tag == "UNT":
            return self._close(segment)
        if segment.tag in {"UNB", "UNH", "UNG", "UNE", "UNZ"}:
            _expect(self._open is None, "a message without its end (UNT)")
            self._service(segment)
        elif self._open is not None:
            self._open.append(segment)
        return None

    def _service(self, segment: Segment) -> None:
        _expect(self._inside != (segment.tag == "UNB"), "interchanges that overlap or are none")
        if segment.tag == "UNH":
            self._open = [segment]
        elif segment.tag == "UNB":
            self._inside, self._messages, self._groups = True, 0, 0
        elif segment.tag == "UNE":
            _expect(_is(segment.at(0), self._messages), "messages are missing (UNE)")
            self._messages, self._groups = 0, self._groups + 1
        elif segment.tag == "UNZ":
            _expect(_is(segment.at(0), self._groups or self._messages), "messages missing (UNZ)")
            self._inside = False

    def _close(self, trailer: Segment) -> Message:
        found, self._open = self._open, None
        if found is None:
            raise Unreadable(Refusal.WRONG_SHAPE, "the end of a message (UNT) without its head")
        _expect(_is(trailer.at(0), len(found) + 1), "segments of a message are missing (UNT)")
        self._messages += 1
        return Message(found[0], tuple(found[1:]))

    def end(self) -> None:
        """Raise `Unreadable` if something is still open."""
        _expect(self._open is None and not self._inside, "an interchange without its end (UNZ)")


def _is(written: str, count: int) -> bool:
    return written.lstrip("0") == str(count)


def _expect(fine: object, otherwise: str) -> None:
    if not fine:
        raise Unreadable(Refusal.WRONG_SHAPE, otherwise)


def _segments(document: bytes) -> Iterator[Segment]:
    text = document.decode("latin-1").strip()  # what is read of it is ASCII in every level
    service = _SERVICE
    if text.startswith("UNA"):
        service, text = text[3:9], text[9:]
    component, element, release, end = (service[each] for each in (0, 1, 3, 5))
    if release != " ":
        text = re.sub(f"{re.escape(release)}(.)", _hide, text, flags=re.DOTALL)
    *whole, rest = text.split(end)
    for raw in whole:
        tag, *elements = raw.strip().split(element)
        if tag:
            parts = (tuple(map(_show, each.split(component))) for each in elements)
            yield Segment(tag.partition(component)[0], tuple(parts))
    _expect(not rest.strip(), "a segment without its end")


def _hide(released: re.Match[str]) -> str:
    return chr(_HIDDEN + ord(released[1]))


def _show(text: str) -> str:
    return "".join(chr(ord(c) - _HIDDEN) if ord(c) >= _HIDDEN else c for c in text)

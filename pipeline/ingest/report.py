"""What a run read and what became of it, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.ingest.intake import Taken, Unknowns

LINES: Final = 5
"""Places shown for each reason; all are counted."""


@dataclass(slots=True)
class Place:
    """Where something was rejected, and why exactly."""

    file: str
    line: int
    detail: str

    def __str__(self) -> str:
        """`file:line: detail`."""
        return f"{self.file}:{self.line}: {self.detail}"


@dataclass(slots=True)
class Report:
    """The books of a run: documents in, events out."""

    documents: int = 0
    """Lines, rows or documents read."""
    written: int = 0
    duplicates: int = 0
    retracted: int = 0
    too_late: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[Place]] = field(default_factory=dict)

    def add(self, taken: Taken, file: str, line: int) -> None:
        """Enter what became of one document. Events count as written when they are."""
        self.duplicates += taken.duplicates
        self.retracted += taken.retracted
        self.too_late += taken.too_late
        self.ignored.update(taken.ignored)
        for item in taken.rejected:
            reason = str(item.reason)
            self.rejected[reason] += 1
            places = self.places.setdefault(reason, [])
            if len(places) < LINES:
                places.append(Place(file, line, item.detail))

    def as_data(self, unknowns: Unknowns) -> dict[str, Any]:
        """Return the books as plain data."""
        return {
            "read": self.documents,
            "written": self.written,
            "duplicates": self.duplicates,
            "retracted": {"in_time": self.retracted, "too_late": self.too_late},
            "ignored": dict(sorted(self.ignored.items())),
            "unknown": dict(unknowns.counts.most_common()),
            "rejected": {
                reason: {"count": count, "places": [str(place) for place in self.places[reason]]}
                for reason, count in sorted(self.rejected.items())
            },
        }

    def lines(self, unknowns: Unknowns) -> Iterator[str]:
        """Yield the books for people."""
        yield (
            f"{self.documents:,} read: {self.written:,} events written, "
            f"{self.duplicates:,} duplicates, {self.rejected.total():,} rejected"
        )
        for why, count in sorted(self.ignored.items()):
            yield f"  no event in {count:,} ({why})"
        if self.retracted:
            yield f"  {self.retracted:,} taken back by the source before they were written"
        if self.too_late:
            yield f"  {self.too_late:,} taken back after they may have been written"
        for reason, count in self.rejected.most_common():
            yield f"  rejected, {reason}: {count:,}"
            yield from (f"    {place}" for place in self.places[reason])
        if unknowns.counts:
            total = unknowns.counts.total()
            yield f"  {total:,} of {len(unknowns.counts):,} unknown values (see --unknown)"


def unknown_lines(unknowns: Unknowns) -> Iterator[str]:
    """Yield the values no table knows, the most frequent first, with where they stand."""
    if not unknowns.counts:
        yield "every value is known"
    for value, count in unknowns.counts.most_common():
        yield f"{count:>9,}  {value}  ({', '.join(unknowns.examples[value])})"

"""What a column is and what its values mean, guessed, each guess with how sure and why."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from detectors.events import Category, Milestone
from detectors.issues import category_of_issue
from pipeline.adapters.table import VOCABULARIES
from pipeline.adapters.times import BadTime, TimeProblem, read_time
from pipeline.adapters.vocabulary import fold
from pipeline.ingest.words import COMPLAINT_NAMES, KINDS, NAMES, PHRASES, ComplaintField, Field

_F = TypeVar("_F", bound=StrEnum)

_SURE: Final = 0.82
"""Similarity from which a phrase is taken for a known one."""
_MOST: Final = 0.8
"""Share of values that must look like something for the column to be it."""
_SHORT: Final = 64
_FEW_WORDS: Final = 6
"""Longer is what a customer wrote."""


class ColumnGuess(NamedTuple):
    """What a column probably is."""

    field: StrEnum | None
    """`Field` or `ComplaintField`."""
    score: float


class TimeGuess(NamedTuple):
    """How times are written."""

    format: str
    local: bool
    """They have no offset."""
    unread: int
    ambiguous: str | None
    """The format that reads them as well, with day and month exchanged."""


class Status(NamedTuple):
    """What a status probably means; no milestone where nothing is like it."""

    milestone: Milestone | None
    why: str


_FORMATS: Final = (
    "iso", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p",
    "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d %b %Y %H:%M", "%b %d, %Y %I:%M %p",
    "%Y%m%d%H%M%S", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%Y%m%d",
)  # fmt: skip
_TRACKING_NUMBER: Final = re.compile(r"(?=(?:.*\d){5})[A-Za-z0-9-]{8,40}")
_WORDS: Final = re.compile(r"[\W_]+")


def _phrase(text: str) -> str:
    return " ".join(_WORDS.split(text.casefold())).strip()


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(_phrase(phrase) for phrase in text.split(";"))


_KNOWN_NAMES: Final = {field: _phrases(names) for field, names in NAMES.items()}
_KNOWN_COMPLAINT_NAMES: Final = {field: _phrases(names) for field, names in COMPLAINT_NAMES.items()}
_KNOWN_KINDS: Final = {phrase: kind for kind, text in KINDS.items() for phrase in _phrases(text)}
_KNOWN: Final = {
    phrase: milestone for milestone, text in PHRASES.items() for phrase in _phrases(text)
} | {_phrase(milestone): milestone for milestone in Milestone if milestone is not Milestone.OTHER}


def field_of(name: str, values: Sequence[str]) -> ColumnGuess:
    """Return what a column of scans probably is, by its name and by what stands in it."""
    scores = _named(name, _KNOWN_NAMES)
    if says_where_parcels_are(values):
        scores[Field.MILESTONE] += 1.0
    _weigh_times(scores, values, Field.OCCURRED_AT, Field.PROMISED_AT)
    if _share(values, _looks_like_number) >= _MOST and len(set(values)) > 1:
        scores[Field.PARCEL_ID] += 0.5
    return _best(scores)


def complaint_field_of(name: str, values: Sequence[str]) -> ColumnGuess:
    """Return what a column of complaints probably is; what people wrote is nothing of it."""
    scores = _named(name, _KNOWN_COMPLAINT_NAMES)
    if _share(values, _is_short) < _MOST:
        return ColumnGuess(None, 0.0)
    if _share(values, lambda value: category_of(value) is not None) >= _MOST:
        scores[ComplaintField.CATEGORY] *= 1.5
        scores[ComplaintField.ISSUE] *= 1.2
    if len(set(values)) < len(values):
        scores[ComplaintField.COMPLAINT_ID] = 0.0
    _weigh_times(scores, values, ComplaintField.OCCURRED_AT)
    return _best(scores)


def says_where_parcels_are(values: Sequence[str]) -> bool:
    """Tell whether most values of a column are statuses of parcels known here."""
    return _share(values, _looks_like_status) >= _MOST


def category_of(value: str) -> Category | None:
    """Return the kind of complaint a value says, None where nothing tells."""
    return _KNOWN_KINDS.get(_phrase(value)) or category_of_issue(value)


def _named(name: str, known: Mapping[_F, Sequence[str]]) -> dict[StrEnum, float]:
    words = _phrase(name.rpartition(".")[2])
    return {field: _likeness(words, names) for field, names in known.items()}


def _weigh_times(scores: dict[StrEnum, float], values: Sequence[str], *fields: StrEnum) -> None:
    """Rule out a column that holds no times; one that does is more likely the first of `fields`."""
    if time_format(values) is None:
        scores.update(dict.fromkeys(fields, 0.0))
    else:
        scores[fields[0]] += 0.6


def _best(scores: Mapping[StrEnum, float]) -> ColumnGuess:
    best = max(scores, key=lambda field: scores[field])
    return ColumnGuess(best, scores[best]) if scores[best] >= 0.75 else ColumnGuess(None, 0.0)


def _is_short(value: str) -> bool:
    return len(value) <= _SHORT and len(value.split()) <= _FEW_WORDS


def _likeness(words: str, known: Sequence[str]) -> float:
    """Return 1 for a known name, less where it is only like one."""
    if words in known:
        return 1.0
    return 0.8 if difflib.get_close_matches(words, known, n=1, cutoff=0.8) else 0.0


def _share(values: Sequence[str], looks: Callable[[str], bool]) -> float:
    return sum(looks(value) for value in values) / len(values) if values else 0.0


def _looks_like_status(value: str) -> bool:
    return status_of(value).milestone is not None


def _looks_like_number(value: str) -> bool:
    return _TRACKING_NUMBER.fullmatch(value) is not None


def status_of(value: str) -> Status:
    """Return what a status means, by the codes and the words known here."""
    for name, vocabulary in VOCABULARIES.items():
        for code, milestone in vocabulary.rows():
            if fold(code) == fold(value) and milestone not in {None, Milestone.OTHER}:
                return Status(milestone, f"a code of {name}")
    words = _phrase(value)
    if words in _KNOWN:
        return Status(_KNOWN[words], "said so")
    near = difflib.get_close_matches(words, _KNOWN, n=1, cutoff=_SURE)
    if near:
        return Status(_KNOWN[near[0]], f"DOUBT: like {near[0]!r}")
    return Status(None, "")


def vocabulary_of(values: Sequence[str]) -> str | None:
    """Return the vocabulary that knows nearly all values, None where none does."""
    distinct = Counter(map(fold, values))
    best, known = None, 0
    for name, vocabulary in VOCABULARIES.items():
        codes = {fold(code) for code, _ in vocabulary.rows()}
        found = sum(count for value, count in distinct.items() if value in codes)
        if found > known:
            best, known = name, found
    return best if known >= 0.9 * sum(distinct.values()) else None


def time_format(values: Sequence[str]) -> TimeGuess | None:
    """Return the format that reads most values, None where none reads most."""
    if not values:
        return None
    if _share(values, str.isdecimal) == 1.0:
        return _epoch(values)
    read = {layout: sum(_reads(value, layout) for value in values) for layout in _FORMATS}
    best = max(_FORMATS, key=lambda layout: read[layout])
    if read[best] < _MOST * len(values):
        return None
    exchanged = best.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")
    other = exchanged if exchanged != best and read.get(exchanged, 0) == read[best] else None
    return TimeGuess(best, _is_local(values, best), len(values) - read[best], other)


def _epoch(values: Sequence[str]) -> TimeGuess | None:
    digits = {len(value) for value in values}
    layout = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 14: "%Y%m%d%H%M%S", 8: "%Y%m%d"}.get(
        next(iter(digits)) if len(digits) == 1 else 0
    )
    if layout is None or not all(_reads(value, layout) for value in values):
        return None
    return TimeGuess(layout, not layout.startswith("epoch"), 0, None)


def _reads(value: str, layout: str) -> bool:
    try:
        found = read_time(value, None, layout)
    except BadTime as error:
        return error.problem is TimeProblem.NO_ZONE
    return 2000 <= found.year < 2100


def _is_local(values: Sequence[str], layout: str) -> bool:
    for value in values:
        try:
            read_time(value, None, layout)
        except BadTime as error:
            if error.problem is TimeProblem.NO_ZONE:
                return True
    return False

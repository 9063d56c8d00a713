"""A mapping as YAML for a person to read: every guess with its reason, every doubt marked."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from configs.mapping import CsvFormat
from pipeline.adapters.privacy import looks_personal
from pipeline.ingest.guesses import (
    Status,
    TimeGuess,
    category_of,
    status_of,
    time_format,
    vocabulary_of,
)
from pipeline.ingest.words import ComplaintField, Field
from pipeline.limits import printable

_STATUSES: Final = 60
"""Distinct statuses listed; more means that the column is none."""


class Sample(NamedTuple):
    """What was looked at."""

    columns: dict[str, list[str]]
    """Values of each column, empty ones left out."""
    rows: int
    delimiter: str | None
    """What stands between the columns of CSV; None for what is no CSV."""
    encoding: str


def proposal(
    path: Path, sample: Sample, chosen: Mapping[StrEnum, str], *, are_complaints: bool
) -> Iterator[str]:
    """Yield the lines of a mapping for a person to read."""
    yield f"# Proposed from the first {sample.rows:,} rows of {path.name}. Read it, then try it:"
    yield f"#   forewarn ingest --from FILE.yaml {path.name} --dry-run"
    yield f"source: {_quoted(_name(path))}  # part of every event's id: keep it"
    yield from _time_zone(sample, chosen.get(_OCCURRED))
    yield from _layout(sample)
    yield from (_complaints if are_complaints else _tracking)(sample, chosen)
    left = [name for name in sample.columns if name not in chosen.values()]
    if left:
        yield f"# Not used: {', '.join(_safe(name) for name in left)}"


def _layout(sample: Sample) -> Iterator[str]:
    if sample.delimiter is None:
        return
    delimiter = f"delimiter: {_quoted(sample.delimiter)}"
    if sample.encoding == CsvFormat().encoding:
        yield f"csv: {{{delimiter}}}"
        return
    yield f"csv: {{{delimiter}, encoding: {sample.encoding}}}"
    yield "  # DOUBT: it is not UTF-8; do accents and umlauts come out right?"


def _tracking(sample: Sample, chosen: Mapping[StrEnum, str]) -> Iterator[str]:
    yield "tracking:"
    yield from _required(_REQUIRED, sample, chosen)
    yield from _others(Field, _REQUIRED, chosen)


def _complaints(sample: Sample, chosen: Mapping[StrEnum, str]) -> Iterator[str]:
    yield "complaints:  # rows say what is complained about; for scans write tracking: instead"
    yield from _required(_REQUIRED_OF_COMPLAINTS, sample, chosen)
    column = chosen.get(ComplaintField.CATEGORY)
    if column is not None:
        yield from _category(column, sample.columns[column])
    done = (*_REQUIRED_OF_COMPLAINTS, ComplaintField.CATEGORY)
    yield from _others(ComplaintField, done, chosen)


def _others(
    fields: type[StrEnum], done: Sequence[StrEnum], chosen: Mapping[StrEnum, str]
) -> Iterator[str]:
    for field in (each for each in fields if each not in done and each in chosen):
        yield f"  {field}: {_quoted(chosen[field])}"


def _category(column: str, values: Sequence[str]) -> Iterator[str]:
    counted = Counter(values).most_common(_STATUSES)
    if not any(category_of(value) for value, _ in counted):
        yield f"  # DOUBT: {_quoted(column)} may be the category; no value of it is known here"
        return
    yield "  category:"
    yield f"    column: {_quoted(column)}"
    yield "    values:"
    for value, count in counted:
        found = category_of(value)
        if looks_personal(value):
            yield f"      # {count:,} rows hold a value that looks personal: not shown"
        elif found is None:
            yield f"      # DOUBT: {_quoted(value)}, {count:,} rows: left to the words of issue"
        else:
            yield f"      {_quoted(value)}: {found}  # {count:,} rows"


def _time_zone(sample: Sample, column: str | None) -> Iterator[str]:
    guess = None if column is None else time_format(sample.columns[column])
    if guess is not None and guess.local:
        yield "zone: CHOOSE/ONE  # the times have no offset: say where they were written,"
        yield "                  # e.g. Europe/Berlin. Without a zone every row is rejected"


def _required(
    fields: Sequence[StrEnum], sample: Sample, chosen: Mapping[StrEnum, str]
) -> Iterator[str]:
    for field in fields:
        column = chosen.get(field)
        if column is None and field in _MAY_BE_CONSTANT:
            constant = field.name
            yield f"  {field}: {{constant: {constant}}}  # no column names one: write it here"
        elif column is None:
            yield f"  {field}: COLUMN  # not found: which one is it?"
        elif field is Field.MILESTONE:
            yield from _milestone(column, sample.columns[column])
        elif field == _OCCURRED:
            yield from _time(column, sample.columns[column])
        elif field is ComplaintField.CUSTOMER_ID:
            yield f"  {field}: {_quoted(column)}  # becomes a pseudonym under ingest.pseudonym_key"
        else:
            yield f"  {field}: {_quoted(column)}"


def _time(column: str, values: Sequence[str]) -> Iterator[str]:
    guess = time_format(values)
    if guess is None:
        yield f"  occurred_at: {{column: {_quoted(column)}, format: FORMAT}}  # none known reads it"
        return
    yield f"  occurred_at: {{column: {_quoted(column)}, format: {_quoted(guess.format)}}}"
    yield from _time_doubts(guess)


def _time_doubts(guess: TimeGuess) -> Iterator[str]:
    if guess.unread:
        yield f"  # {guess.unread} values are not read by this format"
    if "%d" in guess.format and "%H" not in guess.format and "%I" not in guess.format:
        yield "  # DOUBT: days without a time; if another column has it: columns: [DAY, TIME]"
    if guess.ambiguous:
        yield f"  # DOUBT: day and month could be the other way round: {guess.ambiguous!r}"


def _milestone(column: str, values: Sequence[str]) -> Iterator[str]:
    vocabulary = vocabulary_of(values)
    counted = Counter(values)
    yield "  milestone:"
    yield f"    column: {_quoted(column)}"
    if vocabulary is not None:
        yield f"    vocabulary: {vocabulary}  # its codes are what stands there"
        return
    if len(counted) > _STATUSES:
        yield f"    # DOUBT: {len(counted)} different values; is this the status?"
    yield "    values:"
    for value, count in counted.most_common(_STATUSES):
        if looks_personal(value):
            yield f"      # {count:,} rows hold a value that looks personal: not shown"
            continue
        yield f"      {_quoted(value)}: {_meaning(status_of(value), count)}"


def _meaning(status: Status, count: int) -> str:
    rows = f"{count:,} rows"
    if status.milestone is None:
        return f"other  # DOUBT: {rows}, no idea"
    return f"{status.milestone}  # {rows}; {status.why}"


def _safe(text: str) -> str:
    return printable(" ".join(text.split()), 80)


def _quoted(text: str) -> str:
    """Return text as YAML, quoted where it must be."""
    style = None if text.isprintable() else '"'
    dumped: str = yaml.safe_dump(text, allow_unicode=True, width=10_000, default_style=style)
    return dumped.removesuffix("\n").removesuffix("\n...").strip()


def _name(path: Path) -> str:
    stem = path.name.partition(".")[0].casefold()
    joined = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem).strip("-")
    return joined[:60] or "export"


_MAY_BE_CONSTANT: Final = (Field.CARRIER, ComplaintField.REGION)
_REQUIRED: Final = (Field.PARCEL_ID, Field.CARRIER, Field.MILESTONE, Field.OCCURRED_AT)
_REQUIRED_OF_COMPLAINTS: Final = (
    ComplaintField.COMPLAINT_ID,
    ComplaintField.CUSTOMER_ID,
    ComplaintField.OCCURRED_AT,
    ComplaintField.REGION,
)
_OCCURRED: Final = Field.OCCURRED_AT
"""The same word in both kinds."""

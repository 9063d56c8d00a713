"""`forewarn ingest --learn FILE`: looks at an unknown export and proposes a mapping.

Nothing is applied: the proposal is YAML for a person to read, in which every guess has its reason
in a comment and every doubt is marked. Columns are told by their names (a few languages) and by
what stands in them; times by the format that reads most values; statuses by the codes and words of
the vocabularies known here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from configs.mapping import CsvFormat
from pipeline.adapters.documents import row_of
from pipeline.adapters.items import Rejected, Row, Unreadable
from pipeline.adapters.privacy import looks_personal
from pipeline.adapters.rows import change_of, is_other
from pipeline.failures import Failure
from pipeline.ingest.csv_rows import guess_delimiter
from pipeline.ingest.files import documents
from pipeline.ingest.guesses import (
    Field,
    Status,
    TimeGuess,
    field_of,
    status_of,
    time_format,
    vocabulary_of,
)
from pipeline.limits import printable

SAMPLE_ROWS: Final = 2_000
_STATUSES: Final = 60
"""Distinct statuses listed; more means that the column is none."""


class Sample(NamedTuple):
    """What was looked at."""

    columns: dict[str, list[str]]
    """Values of each column, empty ones left out."""
    rows: int
    is_csv: bool


def learned(path: Path) -> str:
    """Return the proposal. Raises `Failure` for a file without rows."""
    sample = sample_of(path)
    if not sample.rows:
        raise Failure(f"{path} has no rows to learn from")
    chosen = choose(sample)
    return "\n".join(_lines(path, sample, chosen)) + "\n"


def sample_of(path: Path) -> Sample:
    """Read the first rows."""
    columns: dict[str, list[str]] = {}
    rows, is_csv = 0, False
    for located in islice(documents(path, CsvFormat()), SAMPLE_ROWS):
        if isinstance(located.document, Rejected):
            continue
        is_csv = bool(located.head)
        row = _row(located.document)
        if row is None:
            continue
        rows += 1
        for name, value in _flat(row):
            found = columns.setdefault(name, [])
            if value:
                found.append(value)
    return Sample(columns, rows, is_csv)


def _row(document: "bytes | Row") -> Row | None:
    try:
        row = row_of(document)
        return None if is_other(row) else change_of(row).after
    except Unreadable:
        return None


def _flat(row: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the columns of a row; those of objects inside it by their paths."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", "" if value is None else str(value).strip()


def choose(sample: Sample) -> dict[Field, str]:
    """Return the column of each field, the likeliest first; a column is used once."""
    scored = sorted(
        ((field_of(name, values), name) for name, values in sample.columns.items() if values),
        key=lambda pair: -pair[0].score,
    )
    chosen: dict[Field, str] = {}
    for guess, name in scored:
        if guess.field is not None and guess.field not in chosen:
            chosen[guess.field] = name
    return chosen


def _lines(path: Path, sample: Sample, chosen: Mapping[Field, str]) -> Iterator[str]:
    yield f"# Proposed from the first {sample.rows:,} rows of {path.name}. Read it, then try it:"
    yield f"#   forewarn ingest --from FILE.yaml {path.name} --dry-run"
    yield f"source: {_quoted(_name(path))}  # part of every event's id: keep it"
    yield from _time_zone(sample, chosen)
    if sample.is_csv:
        with path.open("rb") as file:
            first = file.readline().decode("utf-8", "replace")
        yield f"csv: {{delimiter: {_quoted(guess_delimiter(first))}}}"
    yield "tracking:"
    yield from _required(sample, chosen)
    for field in (each for each in Field if each not in _REQUIRED and each in chosen):
        yield f"  {field}: {_quoted(chosen[field])}"
    left = [name for name in sample.columns if name not in chosen.values()]
    if left:
        yield f"# Not used: {', '.join(_safe(name) for name in left)}"


def _time_zone(sample: Sample, chosen: Mapping[Field, str]) -> Iterator[str]:
    column = chosen.get(Field.OCCURRED_AT)
    guess = None if column is None else time_format(sample.columns[column])
    if guess is not None and guess.local:
        yield "zone: CHOOSE/ONE  # the times have no offset: say where they were written,"
        yield "                  # e.g. Europe/Berlin. Without a zone every row is rejected"


def _required(sample: Sample, chosen: Mapping[Field, str]) -> Iterator[str]:
    for field in _REQUIRED:
        column = chosen.get(field)
        if column is None and field is Field.CARRIER:
            yield "  carrier: {constant: CARRIER}  # no column names one: write it here"
        elif column is None:
            yield f"  {field}: COLUMN  # not found: which one is it?"
        elif field is Field.OCCURRED_AT:
            yield from _time(column, sample.columns[column])
        elif field is Field.MILESTONE:
            yield from _milestone(column, sample.columns[column])
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


_REQUIRED: Final = (Field.PARCEL_ID, Field.CARRIER, Field.MILESTONE, Field.OCCURRED_AT)

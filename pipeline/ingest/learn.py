"""`forewarn ingest --learn FILE`: looks at an unknown export and proposes a mapping.

Nothing is applied: the proposal is YAML for a person to read, in which every guess has its reason
in a comment and every doubt is marked. Columns are told by their names (a few languages) and by
what stands in them; times by the format that reads most values; statuses by the codes and words of
the vocabularies known here. Rows that say what is complained about, and not where a parcel is, are
taken for complaints.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

from configs.mapping import CsvFormat
from pipeline.adapters.documents import row_of
from pipeline.adapters.items import Rejected, Row, Unreadable
from pipeline.adapters.rows import change_of, is_other
from pipeline.failures import Failure
from pipeline.ingest.csv_rows import guess_delimiter
from pipeline.ingest.files import documents
from pipeline.ingest.guesses import (
    ColumnGuess,
    complaint_field_of,
    field_of,
    says_where_parcels_are,
)
from pipeline.ingest.proposal import Sample, proposal
from pipeline.ingest.words import ComplaintField

SAMPLE_ROWS: Final = 2_000
_OTHER_ENCODING: Final = "cp1252"


def learned(path: Path) -> str:
    """Return the proposal. Raises `Failure` for a file without rows."""
    sample = sample_of(path)
    if not sample.rows:
        raise Failure(f"{path} has no rows to learn from")
    chosen = choose(sample, complaint_field_of)
    are_complaints = _are_complaints(sample, chosen)
    if not are_complaints:
        chosen = choose(sample, field_of)
    return "\n".join(proposal(path, sample, chosen, are_complaints=are_complaints)) + "\n"


def sample_of(path: Path) -> Sample:
    """Read the first rows; text that is not UTF-8 as `cp1252`, which reads nearly everything."""
    sample = _sample(path, CsvFormat())
    return sample or _sample(path, CsvFormat(encoding=_OTHER_ENCODING)) or Sample({}, 0, None, "")


def _sample(path: Path, layout: CsvFormat) -> Sample | None:
    """Read the first rows; None where some of them are in another encoding."""
    columns: dict[str, list[str]] = {}
    rows, delimiter, refused = 0, None, False
    for located in islice(documents(path, layout), SAMPLE_ROWS):
        if isinstance(located.document, Rejected):
            refused = refused or (bool(located.head) and not _is_utf8(located.raw))
            continue
        if located.head:
            delimiter = guess_delimiter(located.head.decode("utf-8", "replace"))
        row = _row(located.document)
        if row is None:
            continue
        rows += 1
        for name, value in _flat(row):
            found = columns.setdefault(name, [])
            if value:
                found.append(value)
    if refused and layout.encoding != _OTHER_ENCODING:
        return None
    return Sample(columns, rows, delimiter, layout.encoding)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def choose(
    sample: Sample, guess: Callable[[str, Sequence[str]], ColumnGuess]
) -> dict[StrEnum, str]:
    """Return the column of each field, the likeliest first; a column is used once."""
    scored = sorted(
        ((guess(name, values), name) for name, values in sample.columns.items() if values),
        key=lambda pair: -pair[0].score,
    )
    chosen: dict[StrEnum, str] = {}
    for found, name in scored:
        if found.field is not None and found.field not in chosen:
            chosen[found.field] = name
    return chosen


def _are_complaints(sample: Sample, complaints: Mapping[StrEnum, str]) -> bool:
    """Tell whether rows say what is complained about and no column says where parcels are."""
    about = complaints.keys() & {ComplaintField.ISSUE, ComplaintField.CATEGORY}
    return bool(about) and not any(map(says_where_parcels_are, sample.columns.values()))

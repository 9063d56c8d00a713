"""Documents of files and of standard input, each with the place a person finds it at.

What a file is shows in its first bytes and its name: gzip, zstd, Parquet, EDIFACT; CSV by `.csv`,
`.tsv` or a mapping; else JSON, one document a line or one document (or array) in the whole file.
CSV and NDJSON are streamed; a document over several lines is read whole.
"""

import importlib
import io
import sys
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from configs.mapping import CsvFormat
from pipeline.adapters.edifact import START_BYTES, is_interchange
from pipeline.adapters.items import Document, Rejected
from pipeline.failures import Failure
from pipeline.ingest.csv_rows import rows_of
from pipeline.recordings import open_recording

STDIN: Final = Path("-")
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
_PARQUET: Final = b"PAR1"
_SHEETS: Final = frozenset({".csv", ".tsv"})
_raw: Final = msgspec.json.Decoder(msgspec.Raw)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Located(NamedTuple):
    """A document and where it stands."""

    document: Document | Rejected
    """Why, where there is no document to speak of."""
    line: int
    """Line of the file, row of a table, item of an array; from 1."""
    raw: bytes
    """As a line of a file that can be corrected and fed again, without its end."""
    head: bytes = b""
    """The line such a file begins with."""


def documents(path: Path, layout: CsvFormat | None) -> Generator[Located, None, None]:
    """Yield the documents of a file; `layout` says that text may be CSV.

    Raises `OSError` and `Failure` (a file that cannot be read as what it is).
    """
    if _is_parquet(path):
        yield from _parquet(path)
        return
    with _opened(path) as file:
        start = file.peek(START_BYTES)
        if is_interchange(start):
            body = _whole(file, b"")
            yield Located(body, 1, body.rstrip(b"\r\n"))
        elif _is_sheet(path, layout, start[:1]):
            for row in rows_of(file, layout or CsvFormat()):
                yield Located(*row)
        else:
            yield from _json(file)


def _is_sheet(path: Path, layout: CsvFormat | None, start: bytes) -> bool:
    suffixes = {suffix.casefold() for suffix in path.suffixes}
    return bool(suffixes & _SHEETS) or (layout is not None and start not in {b"{", b"["})


def _opened(path: Path) -> io.BufferedReader:
    if path == STDIN:
        return cast(io.BufferedReader, sys.stdin.buffer)
    return cast(io.BufferedReader, open_recording(path))


def _is_parquet(path: Path) -> bool:
    if path == STDIN:
        return False
    with path.open("rb") as file:
        return file.read(4) == _PARQUET


def _json(file: io.BufferedReader) -> Iterator[Located]:
    """Tell lines of documents from one document by whether the first line is a whole one."""
    number, first = 0, b""
    while not first.strip():
        number, first = number + 1, file.readline(MAX_DOCUMENT_BYTES)
        if not first:
            return
    if _is_whole(first) and not first.lstrip().startswith(b"["):
        yield from _lines(number, first, file)
        return
    body = _whole(file, first)
    if not _is_whole(body):  # lines after all, the first of them broken
        rest = cast(io.BufferedReader, io.BytesIO(body[len(first) :]))
        yield from _lines(number, first, rest)
    elif body.lstrip().startswith(b"["):
        for index, item in enumerate(_array.decode(body), start=1):
            yield Located(bytes(item), index, _one_line(bytes(item)))
    else:
        yield Located(body, number, _one_line(body))


def _whole(file: io.BufferedReader, begun: bytes) -> bytes:
    body = begun + file.read(MAX_DOCUMENT_BYTES)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise Failure(f"a document of over {MAX_DOCUMENT_BYTES} bytes; write one a line")
    return body


def _lines(number: int, first: bytes, rest: io.BufferedReader) -> Iterator[Located]:
    yield Located(first, number, first.rstrip(b"\r\n"))
    while line := rest.readline(MAX_DOCUMENT_BYTES):
        number += 1
        if not line.isspace():
            yield Located(line, number, line.rstrip(b"\r\n"))


def _is_whole(text: bytes) -> bool:
    try:
        _raw.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _one_line(document: bytes) -> bytes:
    return msgspec.json.format(document, indent=-1)


def _parquet(path: Path) -> Iterator[Located]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        arrow: Any = importlib.import_module("pyarrow")
    except ImportError as error:
        raise Failure(f"{path} is Parquet: pip install 'forewarn[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches())
            for number, row in enumerate(chain.from_iterable(batches), start=1):
                yield Located(row, number, msgspec.json.encode(row, enc_hook=str))
    except arrow.ArrowException as error:
        raise Failure(f"{path} cannot be read as Parquet: {error}") from error

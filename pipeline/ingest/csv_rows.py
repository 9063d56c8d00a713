"""Rows of CSV with the lines they were read from, also where a row spans several."""

import csv
import io
from collections.abc import Iterator
from typing import Final, NamedTuple

from configs.mapping import CsvFormat
from pipeline.adapters.items import Refusal, Rejected, Row

_DELIMITERS: Final = (",", ";", "\t", "|")


class CsvRow(NamedTuple):
    """A row, the line it begins at, the text of its lines, and the header's."""

    row: Row | Rejected
    line: int
    raw: bytes
    head: bytes


class _Lines:
    """Lines of a text, remembered until somebody asks."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._read: list[str] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self._read.append(line)
        self.number += 1
        return line

    def take(self) -> str:
        """Return what was read since the last time."""
        taken, self._read = "".join(self._read), []
        return taken


def rows_of(file: io.BufferedReader, layout: CsvFormat) -> Iterator[CsvRow]:
    """Yield the rows after the header. A row that cannot be trusted comes as `Rejected`."""
    # Bytes of another encoding become lone surrogates: the row is refused, its text kept.
    text = io.TextIOWrapper(file, layout.encoding, errors="surrogateescape", newline="")
    try:
        yield from _rows(_Lines(text), layout)
    finally:
        text.detach()  # the file is its opener's to close


def _rows(lines: _Lines, layout: CsvFormat) -> Iterator[CsvRow]:
    first = next(lines, None)
    if first is None:
        return
    delimiter = layout.delimiter or guess_delimiter(first)
    names = next(csv.reader([first], delimiter=delimiter), [])
    head = _bytes(lines.take(), layout)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        begins = lines.number + 1
        why: Rejected | None = None
        cells: list[str] | None = []
        try:
            cells = next(reader, None)
        except csv.Error as error:
            why = Rejected(Refusal.WRONG_SHAPE, f"not CSV: {error}")
        if cells is None:
            return
        why = why or _distrusted(names, cells)
        raw = _bytes(lines.take(), layout)
        if why is not None:
            yield CsvRow(why, begins, raw, head)
        elif cells:
            yield CsvRow(dict(zip(names, cells, strict=True)), begins, raw, head)


def _bytes(text: str, layout: CsvFormat) -> bytes:
    encoding = layout.encoding.removesuffix("-sig")
    return text.rstrip("\r\n").encode(encoding, "surrogateescape")


def guess_delimiter(header: str) -> str:
    """Return what stands between the names of a header: the character that is there most often."""
    return max(_DELIMITERS, key=header.count)


def _distrusted(names: list[str], cells: list[str]) -> Rejected | None:
    """Return why a row is not what its header says; a short one may be half a row."""
    if not cells:  # an empty line
        return None
    if len(cells) != len(names):
        return Rejected(Refusal.WRONG_SHAPE, f"{len(cells)} columns; the header has {len(names)}")
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Rejected(Refusal.WRONG_SHAPE, "bytes of another encoding; see csv.encoding")
    return None

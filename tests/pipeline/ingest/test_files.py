"""Documents come out of files with their places, whatever the file's form; broken ones are told."""

import gzip
import io
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from configs.mapping import CsvFormat
from pipeline.adapters.items import Rejected
from pipeline.failures import Failure
from pipeline.ingest.files import STDIN, documents


def read(path: Path, layout: CsvFormat | None = None) -> list[tuple[object, int]]:
    """Documents with their lines; JSON decoded, refusals by their reason."""
    found: list[tuple[object, int]] = []
    for each in documents(path, layout):
        document: object = each.document
        if isinstance(document, bytes):
            document = msgspec.json.decode(document) if document.strip()[-1:] in b"}]" else "broken"
        elif isinstance(document, Rejected):
            document = str(document.reason)
        found.append((document, each.line))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}\n\n{"a":2}\n', [({"a": 1}, 1), ({"a": 2}, 3)]),
        ('{"a":1}', [({"a": 1}, 1)]),
        ('[{"a":1},{"a":2}]', [({"a": 1}, 1), ({"a": 2}, 2)]),
        ('[\n {"a":1},\n {"a":2}\n]\n', [({"a": 1}, 1), ({"a": 2}, 2)]),
        ('\n{\n "a": 1\n}\n', [({"a": 1}, 2)]),
        ('{"a":\n{"a":2}\n', [("broken", 1), ({"a": 2}, 2)]),
        ("", []),
        ("\n \n", []),
    ],
)
def test_json_in_all_its_forms(tmp_path: Path, text: str, expected: list[object]) -> None:
    """One a line, one in all, an array; a broken first line takes nothing else along."""
    path = tmp_path / "file.json"
    path.write_text(text)
    assert read(path) == expected


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_packed_files_are_read(tmp_path: Path, pack: "type[gzip.GzipFile]") -> None:
    """The first bytes tell, not the name."""
    path = tmp_path / "file.ndjson"
    path.write_bytes(pack(b'{"a":1}\n{"a":2}\n'))  # type: ignore[arg-type]
    assert [document for document, _ in read(path)] == [{"a": 1}, {"a": 2}]


CSV = b'\xef\xbb\xbfid;who\n1;M\xc3\xbcller\n2;"two\nlines"\n3\n\n4;\xff\n5;last'


def test_csv_keeps_lines_and_raw_text(tmp_path: Path) -> None:
    """Rows span lines, short and wrongly encoded ones are told, what is left can be fed again."""
    path = tmp_path / "file.csv"
    path.write_bytes(CSV)
    assert read(path) == [
        ({"id": "1", "who": "Müller"}, 2),
        ({"id": "2", "who": "two\nlines"}, 3),
        ("wrong_shape", 5),
        ("wrong_shape", 7),
        ({"id": "5", "who": "last"}, 8),
    ]
    raw = [each.raw for each in documents(path, None)]
    assert raw[1] == b'2;"two\nlines"'
    assert raw[3] == b"4;\xff"
    assert {each.head for each in documents(path, None)} == {b"id;who"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_or_given(tmp_path: Path, delimiter: str) -> None:
    """The header tells which."""
    path = tmp_path / "file.csv"
    path.write_text(f"a{delimiter}b\n1{delimiter}2\n")
    assert read(path) == [({"a": "1", "b": "2"}, 2)]
    assert read(path, CsvFormat(delimiter=delimiter)) == [({"a": "1", "b": "2"}, 2)]


def test_text_of_a_mapping_may_be_csv_or_json(tmp_path: Path) -> None:
    """Without a telling name the first character decides."""
    path = tmp_path / "export.txt"
    path.write_text("a,b\n1,2\n")
    assert read(path, CsvFormat()) == [({"a": "1", "b": "2"}, 2)]
    path.write_text('{"a":1}\n')
    assert read(path, CsvFormat()) == [({"a": 1}, 1)]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is read like a file."""
    piped = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b'{"a":1}\n')))
    monkeypatch.setattr(sys, "stdin", piped)
    assert read(STDIN) == [({"a": 1}, 1)]


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an optional part."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "file.parquet"
    path.write_bytes(b"PAR1....")
    with pytest.raises(Failure, match=r"pip install 'forewarn\[parquet\]'"):
        list(documents(path, None))


def test_parquet_rows(tmp_path: Path) -> None:
    """Rows with their types, each as a line that can be fed again."""
    path = tmp_path / "file.parquet"
    parquet.write_table(pa.table({"a": ["x", "y"], "n": [1, None]}), path)
    assert read(path) == [({"a": "x", "n": 1}, 1), ({"a": "y", "n": None}, 2)]
    assert next(each.raw for each in documents(path, None)) == b'{"a":"x","n":1}'


def test_parquet_that_is_broken_says_so(tmp_path: Path) -> None:
    """A file that only begins like one."""
    path = tmp_path / "file.parquet"
    path.write_bytes(b"PAR1....")
    with pytest.raises(Failure, match="cannot be read as Parquet"):
        list(documents(path, None))

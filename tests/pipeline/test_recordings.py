"""Recorded events are read whatever they are packed in, and merged by arrival."""

import gzip
import math
from pathlib import Path

import pytest
import zstandard

from pipeline.cloudevents import STRUCTURED_JSON
from pipeline.recordings import (
    Block,
    Line,
    ScanBlock,
    _tracking,
    by_arrival,
    is_packed,
    open_recording,
    read_blocks,
)
from pipeline.task import Input


def _scan(parcel: str, minute: int) -> bytes:
    return (
        f'{{"event_id":"e{parcel}{minute}","parcel_id":"{parcel}","carrier":"swift",'
        f'"milestone":"arrived","occurred_at":"2026-03-02T08:00:00Z",'
        f'"received_at":"2026-03-02T08:{minute:02d}:00Z"}}\n'
    ).encode()


def _lines(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def _read(*paths: Path, source: Input = Input.TRACKING) -> list[Line]:
    return [line for block in read_blocks(source, paths) for line in _one_by_one(block)]


def _one_by_one(block: Block) -> list[Line]:
    """Return a block's lines; where they were read at once, they say what each says alone."""
    if not isinstance(block, ScanBlock):
        return block
    lines = [_tracking(value) for value in block.values]
    assert [line.arrival for line in lines] == block.scans.arrivals.tolist()
    assert [line.parcel_id for line in lines] == list(block.scans.parcel_ids)
    return lines


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        zstandard.ZstdCompressor().compress,
        lambda raw: zstandard.compress(raw[:9]) + zstandard.compress(raw[9:]),
    ],
)
def test_every_packing_reads_the_same(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    """The first bytes tell plain, gzip and zstd (also several frames) apart, not the name."""
    raw = _scan("P1", 1) + _scan("P2", 2)
    path = _lines(tmp_path / "x", pack(raw))
    with open_recording(path) as file:
        assert file.read() == raw
    assert is_packed(path) == (pack is not bytes)


def test_plain_scans_are_read_at_once_and_others_one_by_one(tmp_path: Path) -> None:
    """One odd line makes its block lines again; order and number stay."""
    plain, odd = _scan("P1", 1), b'{"odd": true}\n'
    (block,) = read_blocks(Input.TRACKING, [_lines(tmp_path / "plain", plain, plain)])
    assert isinstance(block, ScanBlock)
    assert len(block.scans) == 2
    (block,) = read_blocks(Input.TRACKING, [_lines(tmp_path / "odd", plain, odd, plain)])
    assert not isinstance(block, ScanBlock)
    assert [line.parcel_id for line in block] == ["P1", "", "P1"]


def test_a_line_knows_key_and_arrival(tmp_path: Path) -> None:
    """The key is carrier/parcel, the arrival received_at; blank lines are no records."""
    path = _lines(tmp_path / "x", _scan("P1", 3), b"\n", b"  \r\n", _scan("P2", 2).strip())
    first, second = _read(path)
    assert (first.key, first.parcel_id) == (b"swift/P1", "P1")
    assert first.value == _scan("P1", 3).strip()
    assert first.arrival - second.arrival == 60


def test_complaints_are_keyed_by_customer(tmp_path: Path) -> None:
    """A complaint's key is its customer, its arrival occurred_at if nothing else is given."""
    complaint = b'{"complaint_id":"k","customer_id":"C7","occurred_at":"1970-01-01T01:00:00+01:00"}'
    (line,) = _read(_lines(tmp_path / "x", complaint), source=Input.COMPLAINTS)
    assert (line.key, line.arrival) == (b"C7", 0.0)


@pytest.mark.parametrize("bad", [b"not json\n", b"\xff\xfe\n", b'{"parcel_id": 5}\n', b"[1]\n"])
def test_what_cannot_be_read_is_kept_for_the_dead_letters(tmp_path: Path, bad: bytes) -> None:
    """A broken line has no key and no arrival, but its bytes."""
    (line,) = _read(_lines(tmp_path / "x", bad))
    assert line == Line(None, bad.strip(), -math.inf, "", ())


def test_cloudevents_in_structured_mode_are_recognised(tmp_path: Path) -> None:
    """The key comes from the data, and the record gets the header a producer would send."""
    envelope = (
        b'{"specversion":"1.0","type":"forewarn.tracking","source":"x","id":"1",'
        b'"time":"2026-03-02T08:00:00Z","data":{"carrier":"swift","parcel_id":"P1"}}\n'
    )
    (line,) = _read(_lines(tmp_path / "x", envelope))
    assert line.key == b"swift/P1"
    assert line.headers == (("content-type", STRUCTURED_JSON.encode()),)
    assert line.arrival > 0


def test_files_are_merged_by_arrival_and_keep_their_own_order(tmp_path: Path) -> None:
    """A late line of a file does not overtake the line before it."""
    one = _lines(tmp_path / "one", _scan("A", 1), _scan("A", 9), _scan("A", 3))
    two = _lines(tmp_path / "two", _scan("B", 2), _scan("B", 8), _scan("B", 10))
    keys = [(line.parcel_id, line.value[-9:-7]) for line in _read(one, two)]
    assert [parcel for parcel, _ in keys] == list("ABBAAB")


def test_inputs_take_turns_by_arrival() -> None:
    """The input that has come less far is read next, and none is left out."""

    def block(*arrivals: float) -> Block:
        return [Line(b"k", b"", arrival, "", ()) for arrival in arrivals]

    tracking = iter([block(1, 2), block(3, 9), block(10)])
    complaints = iter([block(5), block(6, 7)])
    turns = [
        (source, _one_by_one(lines)[-1].arrival)
        for source, lines in by_arrival(
            [(Input.TRACKING, tracking), (Input.COMPLAINTS, complaints)]
        )
    ]
    assert sorted(turns, key=lambda turn: turn[1]) == [
        (Input.TRACKING, 2), (Input.COMPLAINTS, 5), (Input.COMPLAINTS, 7),
        (Input.TRACKING, 9), (Input.TRACKING, 10),
    ]  # fmt: skip
    assert turns.index((Input.COMPLAINTS, 7)) < turns.index((Input.TRACKING, 10))

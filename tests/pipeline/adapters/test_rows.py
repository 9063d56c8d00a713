"""Cells that are more than text, and rows that are changes."""

import pytest

from configs.mapping import Column, MoneyColumn
from pipeline.adapters.items import Unreadable
from pipeline.adapters.rows import Change, amount_minor, change_of, flag, text_of


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("12.90", "major", 1290),
        ("12,90", "major", 1290),
        ("1.290,00", "major", 129_000),
        ("1,290.5", "major", 129_050),
        ("1 290", "major", 129_000),
        ("1290", "minor", 1290),
        ("0", "major", 0),
        ("", "major", None),
    ],
)
def test_amounts(text: str, unit: str, expected: int | None) -> None:
    """Both decimal marks and thousands; units by the mapping."""
    spec = MoneyColumn(column="v", unit=unit)
    assert amount_minor({"v": text}, spec) == expected


@pytest.mark.parametrize("text", ["viel", "+49 170 9988776", "1e9", "-5", "NaN", "9" * 12, "1,2,3"])
def test_what_is_no_amount(text: str) -> None:
    """Refused, among it a telephone number in the wrong column."""
    with pytest.raises(Unreadable) as caught:
        amount_minor({"v": text}, MoneyColumn(column="v"))
    assert text not in str(caught.value)


def test_cells() -> None:
    """Paths, several columns, constants and other names for values."""
    row = {"a": {"b": 7}, "c.d": "x", "day": "1.2.", "time": "", "flag": True, "none": None}
    assert text_of(row, Column(column="a.b")) == "7"
    assert text_of(row, Column(column="c.d")) == "x"
    assert text_of(row, Column(columns=("day", "time"))) == "1.2."
    assert text_of(row, Column(constant="k")) == "k"
    assert text_of(row, Column(column="c.d", values={"x": "y"})) == "y"
    assert text_of(row, Column(column="flag")) == "true"
    assert text_of(row, Column(column="none")) is None
    with pytest.raises(Unreadable, match="no column 'gone'"):
        text_of(row, Column(column="gone"))


@pytest.mark.parametrize(
    ("text", "expected"), [("Yes", True), ("1", True), ("no", False), (None, None)]
)
def test_flags(text: str | None, expected: bool | None) -> None:
    """A yes in a few spellings."""
    assert flag(text) is expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"a": 1}, Change(None, {"a": 1})),
        ({"op": "c", "before": None, "after": {"a": 1}}, Change(None, {"a": 1})),
        ({"op": "r", "after": {"a": 1}}, Change(None, {"a": 1})),
        ({"op": "u", "before": {"a": 1}, "after": {"a": 2}}, Change({"a": 1}, {"a": 2})),
        ({"op": "d", "before": {"a": 1}, "after": None}, Change({"a": 1}, None)),
        ({"schema": {}, "payload": {"op": "c", "after": {"a": 1}}}, Change(None, {"a": 1})),
        ({"a": 1, "__deleted": "true"}, Change({"a": 1, "__deleted": "true"}, None)),
        ({"op": "express", "a": 1}, Change(None, {"op": "express", "a": 1})),
    ],
)
def test_changes(row: dict[str, object], expected: Change) -> None:
    """Debezium's envelope in its forms; a column that happens to be called `op` is none."""
    assert change_of(row) == expected

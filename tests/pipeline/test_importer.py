"""A marketplace's tables become events, and every row is accounted for."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from detectors.events import Category, Complaint, Milestone, TrackingEvent
from pipeline.cli import application
from pipeline.importer import Imported, import_orders
from pipeline.marketplace import MissingTable

_TABLES = {
    "sellers": "seller_id,seller_state\ns1,SP\n",
    "customers": (
        "customer_id,customer_unique_id,customer_state\nc1,u1,RJ\nc2,u2,BA\nc3,u1,RJ\nc4,u4,\n"
    ),
    "order_items": "order_id,seller_id,price\no1,s1,21.99\no1,s1,0.51\no2,s1,5\n",
    "orders": (
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
        "o1,c1,delivered,2017-07-09 21:57:05,2017-07-09 22:10:13,2017-07-11 14:58:04,"
        "2017-08-02 10:57:55,2017-08-01 00:00:00\n"
        "o2,c2,canceled,2017-07-01 10:00:00,,,,2017-07-20 00:00:00\n"
        "o3,c3,shipped,2017-07-02 10:00:00,2017-07-02 11:00:00,2017-07-03 09:00:00,,"
        "2017-07-25 00:00:00\n"
        "o3,c3,shipped,2017-07-02 10:00:00,,,,2017-07-25 00:00:00\n"
        "o5,c9,shipped,2017-07-02 10:00:00,,,,2017-07-25 00:00:00\n"
        "o6,c4,shipped,2017-07-02 10:00:00,,,,2017-07-25 00:00:00\n"
        "o7,c1,shipped,yesterday,,,,2017-07-25 00:00:00\n"
        "o8,c1,created,,,,,2017-07-25 00:00:00\n"
        ",c1,created,2017-07-02 10:00:00,,,,\n"
        "o\u202e9,c1,created,2017-07-02 10:00:00,,,,\n"
    ),
    "order_reviews": (
        "review_id,order_id,review_score,review_comment_message,review_creation_date,"
        "review_answer_timestamp\n"
        'r1,o1,1,"Chegou tarde,\nmuito",2017-08-03 00:00:00,2017-08-04 09:00:00\n'
        "r2,o3,2,,2017-07-26 00:00:00,2017-07-27 08:00:00\n"
        "r3,o1,5,,2017-08-03 00:00:00,2017-08-04 09:00:00\n"
        "r4,o5,1,,2017-08-03 00:00:00,2017-08-04 09:00:00\n"
        "r5,o1,eleven,,2017-08-03 00:00:00,2017-08-04 09:00:00\n"
        "r6,o2,1,,,\n"
    ),
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Tables in the layout of the public set: plain, gzip, short names and long ones."""
    for number, (name, text) in enumerate(_TABLES.items()):
        stem = name if number % 2 else f"olist_{name}_dataset"
        if number % 3:
            (tmp_path / f"{stem}.csv").write_text(text, "utf-8")
        else:
            (tmp_path / f"{stem}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def _life(imported: Imported, order: str) -> list[tuple[Milestone, str]]:
    return [
        (event.milestone, event.occurred_at.isoformat())
        for event in imported.tracking
        if event.parcel_id == order
    ]


def test_orders_become_scans(shop: Path) -> None:
    """Approval, handover and delivery are scans in Brasília time; the label has the context."""
    imported = import_orders(shop)
    assert _life(imported, "o1") == [
        (Milestone.LABEL_CREATED, "2017-07-09T22:10:13-03:00"),
        (Milestone.PICKED_UP, "2017-07-11T14:58:04-03:00"),
        (Milestone.DELIVERED, "2017-08-02T10:57:55-03:00"),
    ]
    label = next(event for event in imported.tracking if event.parcel_id == "o1")
    assert (label.origin_region, label.destination_region) == ("SP", "RJ")
    assert (label.customer_id, label.declared_value_minor) == ("u1", 2250)
    assert label.promised_at is not None
    assert label.promised_at.isoformat() == "2017-08-01T23:59:59-03:00"


def test_a_cancellation_is_not_known_before_the_promise(shop: Path) -> None:
    """When an order was cancelled is not recorded: it is told when the promise is broken."""
    assert _life(import_orders(shop), "o2") == [
        (Milestone.LABEL_CREATED, "2017-07-01T10:00:00-03:00"),
        (Milestone.CANCELLED, "2017-07-20T23:59:59-03:00"),
    ]


def test_bad_reviews_become_complaints(shop: Path) -> None:
    """Its category follows from the times: late or missing is logistics."""
    imported = import_orders(shop)
    assert [(c.customer_id, c.category, c.issue) for c in imported.complaints] == [
        ("u1", Category.LOGISTICS, "not_received"),
        ("u1", Category.LOGISTICS, "late_delivery"),
    ]
    assert imported.complaints[1].text == "Chegou tarde,\nmuito"


def test_the_books_balance(shop: Path) -> None:
    """Every row is used or refused for one reason."""
    report = import_orders(shop).books.report()
    assert report["orders"] == {
        "rows": 10,
        "used": 3,
        "refused": {
            "impossible_event": 1,
            "no_order_id": 1,
            "no_time": 1,
            "order_twice": 1,
            "unknown_customer": 2,
            "unreadable_time": 1,
        },
    }
    assert report["reviews"] == {
        "rows": 6,
        "complaints": {"logistics": 2},
        "content": 1,
        "refused": {"no_time": 1, "unknown_order": 1, "unreadable_score": 1},
    }
    assert report["events"]["total"] == 7


def test_streams_are_in_order_of_time_and_valid(shop: Path, tmp_path: Path) -> None:
    """The command writes both files; each line is an event of the vocabulary."""
    out = tmp_path / "out"
    run = CliRunner().invoke(
        application("import-orders"), ["import-orders", str(shop), "--out", str(out), "--json"]
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["events"]["total"] == 7
    lines = (out / "tracking.ndjson").read_bytes().splitlines()
    events = [msgspec.json.decode(line, type=TrackingEvent) for line in lines]
    assert [e.occurred_at for e in events] == sorted(e.occurred_at for e in events)
    for line in (out / "complaints.ndjson").read_bytes().splitlines():
        assert msgspec.json.decode(line, type=Complaint).region == "RJ"


def test_a_missing_table_is_named(shop: Path) -> None:
    """The message says which file is wanted where; the command calls it wrong usage."""
    next(shop.glob("*order_reviews*")).unlink()
    with pytest.raises(MissingTable, match="order_reviews"):
        import_orders(shop)
    run = CliRunner().invoke(application("import-orders"), ["import-orders", str(shop), "--kafka"])
    assert run.exit_code == 2

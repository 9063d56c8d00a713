"""Orders of a marketplace, from its tables to coupons: the books balance, and tell when not."""

import csv
import io
import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks.balance import UNSETTLED, Balance, Rates, show
from benchmarks.marketplace import run, statuses
from pipeline.demo_parts import running
from pipeline.importer import import_orders, outgoing
from pipeline.producer import Outgoing
from tests.real_parts import Broker, RedisServer

ORDERS, LOST, NEVER_HANDED_OVER = 300, 12, 6
BEGIN = datetime(2017, 3, 1, 9)  # noqa: DTZ001 - the tables' times are local
DAYS = 20


def balanced() -> Balance:
    """Books in which everything adds up."""
    return Balance(
        parts={"broker": "Apache Kafka", "redis": "Redis"},
        seconds=1.0,
        rows={
            "orders": {"rows": 3, "used": 2, "refused": {"no_time": 1}},
            "reviews": {"rows": 2, "complaints": {"logistics": 1}, "content": 1, "refused": {}},
        },
        events=6,
        acknowledged=6,
        in_topics=6,
        absorbed=6,
        dead_letters={"not_json": 1},
        dead_letters_counted=1,
        decisions={"stall.opened no_movement": 2},
        outcomes={"stall.opened no_movement": {"issued": 1, "refused: parcel_delivered": 1}},
        not_eligible={},
        unasked=0,
        coupons=1,
        spent_minor=500,
        currency="CNY",
        books=[],
        rates=Rates(
            weight=18.5,
            never_delivered=10,
            never_delivered_flagged=5,
            delivered=20,
            delivered_flagged=2,
        ),
    )


def test_books_that_balance() -> None:
    """Nothing differs; rates weight the delivered orders that stand for others."""
    books = balanced()
    assert books.differences() == []
    assert books.state_changes == 5
    assert books.rates.flagged_share == pytest.approx(42 / 380)
    assert books.rates.never_delivered_share == pytest.approx(5 / 42)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"acknowledged": 5}, "events: 6, acknowledged: 5"),
        ({"in_topics": 7}, "events: 6, in topics: 7"),
        ({"absorbed": 5}, "events: 6, absorbed: 5"),
        ({"dead_letters": {}}, "0 in the topic, 1 counted"),
        ({"outcomes": {"stall": {"issued": 1, UNSETTLED: 2}}}, "stall: 2 without an end"),
        ({"unasked": 1}, "1 remedies that no decision asks for"),
        ({"books": ["paid_twice: rem_1: 2 coupons"]}, "paid_twice"),
        ({"rows": balanced().rows | {"orders": {"rows": 3, "used": 2, "refused": {}}}}, "orders:"),
    ],
)
def test_books_that_do_not_balance(wrong: dict[str, object], said: str) -> None:
    """Each account that does not add up is named, to the program and to a person."""
    books = msgspec.structs.replace(balanced(), **wrong)
    assert [said in line for line in books.differences()] == [True]
    page = io.StringIO()
    show(books, Console(file=page, width=100))
    assert said in page.getvalue()


def write(folder: Path, name: str, columns: str, rows: Iterable[Iterable[object]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns.split(","))
        table.writerows(rows)


def shop(folder: Path) -> None:
    """A small marketplace: most orders arrive, some are lost on their way or never handed over."""
    dice = random.Random(4)
    orders: list[list[object]] = []
    reviews: list[list[object]] = []
    for number in range(ORDERS):
        bought = BEGIN + timedelta(days=dice.uniform(0, DAYS))
        handed: datetime | None = bought + timedelta(days=dice.uniform(0.5, 1.5))
        arrived: datetime | None = bought + timedelta(days=dice.uniform(3, 6))
        status = "delivered"
        if number >= ORDERS - LOST - NEVER_HANDED_OVER:
            bought = BEGIN + timedelta(days=DAYS / 2)
            arrived, status = None, "shipped"
            handed = None if number >= ORDERS - NEVER_HANDED_OVER else bought + timedelta(days=1)
        promised = bought + timedelta(days=60)
        orders.append(
            [f"o{number}", f"c{number}", status, bought, bought, handed, arrived, promised]
        )
        if number % 10 == 0:
            written = (arrived or bought) + timedelta(days=1)
            reviews.append([f"r{number}", f"o{number}", 1 + number // 10 % 5, "", written, written])
    orders.append(["o-nobody", "c-unknown", "shipped", BEGIN, BEGIN, None, None, BEGIN])
    customers = [[f"c{number}", f"u{number}", "RJ"] for number in range(ORDERS)]
    items = [[f"o{number}", "s1", 20] for number in range(ORDERS)]
    write(folder, "sellers", "seller_id,seller_state", [["s1", "SP"]])
    write(folder, "customers", "customer_id,customer_unique_id,customer_state", customers)
    write(folder, "order_items", "order_id,seller_id,price", items)
    write(
        folder,
        "orders",
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
        orders,
    )
    write(
        folder,
        "order_reviews",
        "review_id,order_id,review_score,review_comment_message,review_creation_date,"
        "review_answer_timestamp",
        reviews,
    )


@pytest.mark.slow
def test_orders_become_coupons(
    tmp_path: Path, broker: Broker, redis_server: RedisServer, name: str
) -> None:
    """Every row, event and remedy is accounted for; lost parcels' customers get their coupon."""
    shop(tmp_path)
    imported = import_orders(tmp_path)
    with running(tmp_path, broker.bootstrap, redis_server.url, name) as parts:
        records = list(outgoing(imported, parts.settings))
        garbage = Outgoing(records[0].topic, b"marketplace/x", b"{", records[0].timestamp_ms)
        found = run(
            parts, imported, [*records, garbage], statuses(tmp_path), {}, speed=8 * 86_400.0
        )
    assert found.differences() == []
    assert found.rows["orders"]["refused"] == {"unknown_customer": 1}
    assert found.dead_letters == {"not_json": 1}
    assert found.state_changes == found.events - 1
    assert found.rates.never_delivered_flagged == LOST + NEVER_HANDED_OVER
    issued = sum(endings.get("issued", 0) for endings in found.outcomes.values())
    assert issued == found.coupons >= LOST

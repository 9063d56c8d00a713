"""Late orders: reading, delayed labels, one budget, and a command that prints it all."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stalls.arrivals import arrivals
from benchmarks.stalls.event_log import BadFileError
from benchmarks.stalls.order_data import SAMPLED, Orders, read_orders
from benchmarks.stalls.order_judging import best, difference, flagged, worth
from benchmarks.stalls.orders import looks_of, scored

START = datetime(2026, 1, 1, tzinfo=UTC)
STATES = ("SP", "RJ", "AM")
ORDER = (
    "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
)


def written(folder: Path, count: int = 900, lost: float = 0.03) -> Path:
    """Write orders of three states, the far one slower; promises are often too short for it."""
    rng = np.random.default_rng(5)
    rows, items = [], []
    for number in range(count):
        bought = START + timedelta(days=float(rng.uniform(0, 300)))
        state = int(rng.integers(0, 3))
        handed = bought + timedelta(days=float(rng.lognormal(0.3, 0.5)))
        took = timedelta(days=float(rng.lognormal(np.log((5, 8, 14)[state]), 0.4)))
        delivered = "" if rng.random() < lost else f"{handed + took:%Y-%m-%d %H:%M:%S}"
        promised = (bought + timedelta(days=(14, 18, 24)[state])).date()
        rows.append(
            f"o{number},c{state},{'delivered' if delivered else 'shipped'},"
            f"{bought:%Y-%m-%d %H:%M:%S},{bought:%Y-%m-%d %H:%M:%S},{handed:%Y-%m-%d %H:%M:%S},"
            f"{delivered},{promised} 00:00:00"
        )
        items.append(f"o{number},s{number % 2},{promised} 00:00:00")
    folder.mkdir(exist_ok=True)
    (folder / "orders.csv").write_text(ORDER + "\n".join(rows) + "\n", "utf-8")
    packed = gzip.compress(
        ("order_id,seller_id,shipping_limit_date\n" + "\n".join(items) + "\n").encode()
    )
    (folder / "order_items.csv.gz").write_bytes(packed)
    (folder / "sellers.csv").write_text("seller_id,seller_state\ns0,SP\ns1,RJ\n", "utf-8")
    customers = "".join(f"c{number},{state}\n" for number, state in enumerate(STATES))
    (folder / "customers.csv").write_text("customer_id,customer_state\n" + customers, "utf-8")
    return folder


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Orders:
    """Return orders that were read from files."""
    return read_orders(written(tmp_path_factory.mktemp("orders")))


def test_orders_are_read(orders: Orders) -> None:
    """Plain and packed files are read; a delivered order is one where most are delivered."""
    assert len(orders.bought) == 900
    assert (np.diff(orders.bought) >= 0).all()
    assert set(orders.destination) == set(STATES)
    assert set(orders.weight.tolist()) == {1.0}
    assert orders.late.sum() > np.isnan(orders.delivered).sum() > 0


def test_a_sample_is_weighted(tmp_path: Path) -> None:
    """Where few are delivered, a delivered order stands for many, or for what one says."""
    folder = written(tmp_path / "sample", lost=0.4)
    assert set(read_orders(folder).weight.tolist()) == {1.0, SAMPLED}
    assert set(read_orders(folder, 3.0).weight.tolist()) == {1.0, 3.0}


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    """A folder without a file, a file without a column and rows without dates are said to be so."""
    with pytest.raises(BadFileError, match=r"no sellers\.csv"):
        read_orders(tmp_path)
    folder = written(tmp_path / "orders", 60)
    (folder / "orders.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(BadFileError, match="no column"):
        read_orders(folder)
    (folder / "orders.csv").write_text(ORDER + "o1,c1,shipped,soon,,,,\n", "utf-8")
    with pytest.raises(BadFileError, match="cannot be read"):
        read_orders(folder)


def test_what_comes_later_changes_no_score(orders: Orders) -> None:
    """Log-odds of a day are the same when nothing that happens afterwards is known."""
    looks = looks_of(orders)
    day = float(np.floor(np.median(looks.at)))
    cut = orders._replace(
        delivered=np.where(orders.delivered < day, orders.delivered, np.nan),
        handed=np.where(orders.handed < day, orders.handed, np.nan),
    )
    fewer = looks_of(cut)
    ours, theirs = scored(orders, looks).logits, scored(cut, fewer).logits
    told = {
        (order, left): score
        for order, left, at, score in zip(*fewer[:3], theirs, strict=True)
        if at < day
    }
    known = {
        (order, left): score
        for order, left, at, score in zip(*looks[:3], ours, strict=True)
        if at < day
    }
    assert len(known) > 300
    assert known == told


def test_scores_find_the_late(orders: Orders) -> None:
    """Flags are within the budget, precise beyond chance, and better than flagging by chance."""
    looks, judged = looks_of(orders), orders.within(date(2026, 4, 1), date(2026, 11, 1))
    logits = scored(orders, looks).logits
    told = worth(orders, flagged(orders, looks, logits, 3), judged)
    late = orders.late[judged].mean()
    assert 0.03 < told["flagged"] < 0.07
    assert told["precision"] > 2 * late
    chance = np.random.default_rng(1).normal(size=len(logits))
    ours, theirs = (best(orders, looks, each, 3, judged) for each in (logits, chance))
    assert worth(orders, ours, judged)["flagged"] <= 0.05
    assert difference(orders, ours, theirs, judged)["recall_more"] > 0


def test_arrivals_are_between_p50_and_p90(orders: Orders) -> None:
    """Some 40 % of arrivals lie between the two."""
    told = arrivals(orders, orders.within(date(2026, 4, 1), date(2026, 11, 1)))
    assert 0.35 < told["in force when passed or arrived"]["p50_to_p90"] < 0.45


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All rows, at 3, 5 and 7 days before; an empty window is an error."""
    for module in ("matplotlib", "lightgbm", "lifelines"):
        pytest.importorskip(module, reason="make bench installs it")
    from benchmarks.stalls.__main__ import main

    words = ["--orders", str(written(tmp_path / "orders", 300)), "--plots", str(tmp_path), "--json"]
    assert main([*words, "--from", "2026-04-01", "--to", "2026-11-01"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"forewarn", "slack rule", "lane survival"} <= told["rows"].keys()
    assert (tmp_path / "orders-lead.svg").read_text("utf-8").startswith("<?xml")
    assert all(row.keys() == {"3", "5", "7"} for row in told["rows"].values())
    assert main([*words, "--from", "2030-01-01"]) == 2
    assert "no order" in capsys.readouterr().err

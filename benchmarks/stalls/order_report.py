"""What is printed of late orders: figures as plain data, and a table of them for people."""

from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks.stalls import order_anchors, order_judging
from benchmarks.stalls.arrivals import arrivals
from benchmarks.stalls.event_log import BadFileError
from benchmarks.stalls.order_data import read_orders
from benchmarks.stalls.orders import looks_of, scored

OURS = "forewarn"
_BOOSTING = "LightGBM, refitted monthly"


def of_orders(folder: Path, first: date, last: date, weight: float | None) -> dict[str, Any]:
    """Return the figures of orders bought from `first` until before `last`."""
    orders = read_orders(folder, weight)
    judged = orders.within(first, last)
    if not judged.any():
        raise BadFileError(f"{folder}: no order was bought from {first} to {last} and shipped")
    looks = looks_of(orders)
    logits = scored(orders, looks).logits
    scores = {
        OURS: logits,
        f"{OURS}, once handed over": order_judging.handed_only(orders, looks, logits),
        **order_anchors.anchors(orders, looks),
    }
    weights = orders.weight[judged]
    return {
        "orders": len(orders.bought),
        "skipped_rows": orders.skipped,
        "judged_shipped": int(judged.sum()),
        "delivered_weight": float(orders.weight.max()),
        "judged_weighted": round(float(weights.sum()), 1),
        "late_or_never": round(float(weights[orders.late[judged]].sum() / weights.sum()), 4),
        "rule": (
            "flagged at most once, L days before the promised moment, from the label on; late is "
            "delivered after the promised moment or never; shares are of shipped orders, weighted; "
            "the threshold is online, in_hindsight has the best 5 % of the judged orders"
        ),
        "rows": order_judging.table(orders, looks, scores, judged, _BOOSTING),
        "eta": arrivals(orders, judged),
    }


def table_of_orders(measured: dict[str, Any]) -> Group:
    """Return tables of the figures of orders."""
    title = (
        f"{measured['judged_shipped']:,} shipped orders judged (they stand for "
        f"{measured['judged_weighted']:,.0f}), {measured['late_or_never']:.1%} late or never; "
        "precision / recall, flagged"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for days in order_judging.DAYS_BEFORE:
        table.add_column(f"{days} days before", justify="right")
        table.add_column("best 5 %", justify="right")
    for name, row in measured["rows"].items():
        table.add_row(name, *(cell for days in row.values() for cell in _cells(days)))
    eta = Table(title="ETA: shares of arrivals", title_justify="left")
    for column in ("", "arrivals", "before p50", "p50 to p90", "after p90", "median p50, days"):
        eta.add_column(column, justify="right" if column else "left")
    for name, row in measured["eta"].items():
        eta.add_row(name, f"{row['arrivals']:,}", *(f"{row[key]:.1%}" for key in _ETA),
                    f"{row['median_p50_days']:.1f}")  # fmt: skip
    return Group(table, *_against(measured), eta)


_ETA = ("before_p50", "p50_to_p90", "after_p90")


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    best = row["in_hindsight"]
    return f"{_pair(row)}, {row['flagged'] or 0:.1%}", _pair(best)


def _pair(row: dict[str, Any]) -> str:
    return " / ".join(
        "–" if row[key] is None else f"{row[key]:.2f}" for key in ("precision", "recall")
    )


def _against(measured: dict[str, Any]) -> list[str]:
    lines = []
    for days, row in measured["rows"][OURS].items():
        told = row[f"against {_BOOSTING}"]["in_hindsight"]
        if told:
            lines.append(
                f"{days} days before, recall more than {_BOOSTING}: {told['recall_more']:+.3f} "
                f"(90 % of resamples: {told['p05']:+.3f} to {told['p95']:+.3f})"
            )
    return lines

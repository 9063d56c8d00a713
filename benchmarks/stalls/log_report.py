"""What is printed of a run: figures as plain data, and a table of them for people."""

from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.stalls.event_log import read_log
from benchmarks.stalls.log_anchors import anchors
from benchmarks.stalls.logs import ours


def of_log(path: Path) -> dict[str, Any]:
    """Return the figures of a log, ours and the anchors'."""
    log = read_log(path)
    return {
        "log": path.name,
        "events": len(log.began),
        "cases": int(log.case.max()) + 1,
        "stages": len(log.names),
        "skipped_rows": log.skipped,
        "dwells_judged": int(log.judged.sum()),
        "quantiles": (
            "predicted when a dwell began, corrected by the calibration while it lasted by what "
            "became of others; judged is the one in force when it was passed or the dwell ended"
        ),
        "rows": {**ours(log), **anchors(log)},
    }


def table_of_log(measured: dict[str, Any]) -> Table:
    """Return a table of the figures of a log."""
    title = f"{measured['log']}: {measured['dwells_judged']:,} dwells judged"
    table = Table(title=title, title_justify="left")
    for column in ("", "beyond .9", ".99", "worst eighth .9", ".99", "pinball .9", ".99"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in measured["rows"].items():
        worst = [_worst(row["eighths"], level) for level in ("0.9", "0.99")]
        beyond = [row["exceedance"][level] for level in ("0.9", "0.99")]
        losses = [f"{row['pinball'][level]:.4f}" for level in ("0.9", "0.99")]
        table.add_row(name, *map(_share, beyond), *map(_share, worst), *losses)
    return table


def _worst(eighths: list[dict[str, float | None]], level: str) -> float | None:
    return max((value for each in eighths if (value := each[level]) is not None), default=None)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"

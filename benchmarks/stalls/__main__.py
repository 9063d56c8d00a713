"""`python -m benchmarks.stalls`: how well stalled parcels are found, beside others and an oracle.

python -m benchmarks.stalls --worlds simple hard scheduled pooled --seeds 1 2 --parcels 60000
python -m benchmarks.stalls --worlds slowing --no-anchors --json slow.json
python -m benchmarks.stalls --worlds hard --variant 'later=late_cost=0.009'
python -m benchmarks.stalls --log FILE.csv --json
python -m benchmarks.stalls --orders DIR --from 2017-07-01 --to 2018-01-01 --json
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError
from rich.console import Console

from benchmarks.stalls import show
from benchmarks.stalls.event_log import BadFileError
from benchmarks.stalls.worlds import WorldResult, run_world
from simulator.kinds import WorldKind

WIDTH = 110


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; 2 for wrong options."""
    parser = _parser()
    options = parser.parse_args(words)
    console = Console(highlight=False, width=WIDTH, stderr=options.json == Path("-"))
    try:
        real = options.log or options.orders
        return _real(options, console) if real else _worlds(options, console)
    except BadFileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stalls",
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog="\n".join((__doc__ or "").splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    worlds = parser.add_argument_group("simulated worlds (docs/worlds.md)")
    worlds.add_argument(
        "--worlds", nargs="+", type=WorldKind, choices=list(WorldKind), metavar="KIND",
        default=[WorldKind.SIMPLE, WorldKind.HARD, WorldKind.SCHEDULED, WorldKind.POOLED],
        help="kinds: " + ", ".join(WorldKind),
    )  # fmt: skip
    worlds.add_argument("--seeds", nargs="+", type=int, default=[1], help="which worlds")
    worlds.add_argument("--parcels", type=int, default=60_000)
    worlds.add_argument("--days", type=int, default=90)
    worlds.add_argument("--partitions", type=int, default=1, help="as in `forewarn replay`")
    worlds.add_argument("--no-anchors", action="store_true", help="our detector alone")
    worlds.add_argument("--experts", action="store_true", help="and each expert alone")
    worlds.add_argument(
        "--variant", action="append", default=[], metavar="NAME=KEY=VALUE", type=_variant,
        help="and our detector with a field of `parcels` changed (value in JSON); repeatable",
    )  # fmt: skip
    real = parser.add_argument_group("real data")
    real.add_argument(
        "--log", type=Path, metavar="FILE",
        help="dwells of an event log: CaseID, ActivityID, CompleteTimestamp; CSV or CSV.gz",
    )  # fmt: skip
    real.add_argument(
        "--orders", type=Path, metavar="DIR",
        help="late orders: orders, order_items, sellers, customers as .csv or .csv.gz",
    )  # fmt: skip
    real.add_argument(
        "--from", dest="first", type=date.fromisoformat, metavar="YYYY-MM-DD", default=date.min,
        help="judge orders bought from this day on; those before teach",
    )  # fmt: skip
    real.add_argument(
        "--to", dest="last", type=date.fromisoformat, metavar="YYYY-MM-DD", default=date.max,
        help="and bought before this day",
    )  # fmt: skip
    real.add_argument(
        "--delivered-weight", type=float, metavar="N",
        help="orders that a delivered one stands for (default: 18.6 where fewer than 80 %% of all "
        "were delivered, as in a sample that keeps all others; else 1)",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", nargs="?", const=Path("-"),
        help="write all figures; without a file, or with -, prints them",
    )  # fmt: skip
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw SVGs")
    return parser


def _variant(text: str) -> tuple[str, dict[str, Any]]:
    name, key, value = text.split("=", 2)
    return name, {key: json.loads(value)}


def _worlds(options: argparse.Namespace, console: Console) -> int:
    results: list[WorldResult] = []
    for kind in options.worlds:
        for seed in options.seeds:
            try:
                result = run_world(
                    kind, seed, parcels=options.parcels, days=options.days,
                    partitions=options.partitions, anchors=not options.no_anchors,
                    experts=options.experts, variants=dict(options.variant),
                )  # fmt: skip
            except ValidationError as error:
                console.print(str(error), style="red", markup=False)
                return 2
            results.append(result)
            show.show(result, console)
    if len(results) > 1:
        console.print(show.summary(results))
    if options.json is not None:
        _write(results, options.json)
    if options.plots is not None:
        for path in show.draw(results, options.plots):
            console.print(f"wrote {path}", markup=False)
    return 0


def _real(options: argparse.Namespace, console: Console) -> int:
    # Boosting and survival analysis are slow to import, and of the benchmark group.
    from benchmarks.stalls import log_report, order_report, real_plots  # noqa: PLC0415

    if options.log:
        measured = log_report.of_log(options.log)
        console.print(log_report.table_of_log(measured))
        draw = real_plots.draw_log
    else:
        measured = order_report.of_orders(
            options.orders, options.first, options.last, options.delivered_weight
        )
        console.print(order_report.table_of_orders(measured))
        draw = real_plots.draw_orders
    if options.json is not None:
        _write(measured, options.json)
    for path in draw(measured, options.plots) if options.plots is not None else ():
        console.print(f"wrote {path}", markup=False)
    return 0


def _write(results: Any, path: Path) -> None:
    found = msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"
    if path == Path("-"):
        sys.stdout.write(found.decode())
    else:
        path.write_bytes(found)


if __name__ == "__main__":
    sys.exit(main())

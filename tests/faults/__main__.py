"""`python -m tests.faults`: run the table of attacks and print it.

python -m tests.faults                                  all rows, 20 seeds each
python -m tests.faults --rows killed,zombie --seeds 5   some of it
python -m tests.faults --rows redis-flushed --first 17 --seeds 1   one run anew
python -m tests.faults --list                           what there is
"""

import argparse
import asyncio
import math
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.faults import rows
from tests.faults.parts import BUSY, shared
from tests.faults.table import ROWS, Outcome, Row, as_json, run_rows, show

WIDTH: Final = 160


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", help="names, separated by commas; a part of a name is enough")
    parser.add_argument("--seeds", type=int, default=20, help="how many, of each row (20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--busy", type=int, default=BUSY, help=f"runs at once ({BUSY})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs of bad runs there")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="start no run after so many"
    )
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    given = parser.parse_args()
    assert rows.ALL, "importing the rows enters them into the table"
    chosen = _chosen(given.rows)
    if given.list:
        for one in chosen:
            print(f"{one.name:24} {one.group}")  # noqa: T201  it was asked for
        return
    seeds = range(given.first, given.first + given.seeds)
    outcomes = asyncio.run(_run(chosen, seeds, given))
    show(outcomes, Console(width=None if sys.stdout.isatty() else WIDTH))
    if given.json:
        given.json.write_text(as_json(outcomes) + "\n", encoding="utf-8")
    sys.exit(any(not outcome.good for outcome in outcomes))


def _chosen(names: str | None) -> list[Row]:
    if names is None:
        return list(ROWS.values())
    found = [one for one in ROWS.values() if any(n in one.name for n in names.split(","))]
    if not found:
        sys.exit(f"no such row; there are {', '.join(ROWS)}")
    return found


async def _run(chosen: list[Row], seeds: range, given: argparse.Namespace) -> list[Outcome]:
    outcomes: list[Outcome] = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="forewarn-faults-") as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        async with shared(folder, given.busy) as parts:
            async for outcome in run_rows(parts, chosen, seeds, given.minutes):
                outcomes.append(outcome)
                word = "holds" if outcome.good else f"DOES NOT HOLD: {outcome}"
                console.print(f"{outcome.row} seed {outcome.seed}: {word}", markup=False)
    return outcomes


if __name__ == "__main__":
    main()

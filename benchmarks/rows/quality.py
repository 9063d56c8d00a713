"""Detection with 1, 8 and 64 partitions on the same simulated world: they should find the same.

Partitions share what they learn (docs/decisions/0009-lessons.md). Recall is the share of planted
stalls found in time, false flags are of a thousand healthy parcels.
"""

import sys
from typing import Any, Final

import msgspec

from benchmarks.bench import Bench
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series
from benchmarks.usage import used

PARTITIONS: Final = (1, 8, 64)
APART: Final = "recall, largest difference"
RECALL: Final = "recall of stalls, %"
FALSE: Final = "false flags in 1,000 healthy parcels"


def run(bench: Bench) -> Measurement:
    """Simulate once, replay with each number of partitions."""
    parcels, days = bench.size(short=4_000, full=20_000), 35 if bench.cut == 1 else 28
    world = bench.folder / "world"
    simulate = ["simulate", "--parcels", str(parcels), "--days", str(days), "--out", str(world)]
    used([sys.executable, "-m", "pipeline.cli", *simulate, "--seed", "1"])
    cards = [_card(bench, number) for number in PARTITIONS]
    recall = [100 * (card["stalls"]["hits"]["recall"] or 0.0) for card in cards]
    false = [card["stalls"]["false_in_1000"] or 0.0 for card in cards]
    for number, found, wrong in zip(PARTITIONS, recall, false, strict=True):
        bench.say(f"{number} partitions: recall {found:.1f} %, {wrong:.2f} false in 1,000")
    apart = max(recall) - min(recall)
    x = [float(number) for number in PARTITIONS]
    return Measurement(
        row="quality",
        what=f"stalls found with {', '.join(map(str, PARTITIONS))} partitions, the same world",
        goals=[Goal(APART, Bound.AT_MOST, 1.0)],
        series=[
            Series(APART, "percentage points", [apart]),
            *(
                Series(f"recall, {n} partitions", "%", [r])
                for n, r in zip(PARTITIONS, recall, strict=True)
            ),
            *(
                Series(f"false flags, {n} partitions", "in 1,000", [f])
                for n, f in zip(PARTITIONS, false, strict=True)
            ),
        ],
        curves=[Curve(RECALL, x, recall), Curve(FALSE, x, false)],
        charts=[
            Chart(
                name="quality",
                title=f"Recall differs by {apart:.1f} points from 1 to {PARTITIONS[-1]} partitions",
                y_label=RECALL,
                curves=[RECALL],
                x_label="partitions",
                x_log=True,
            )
        ],
        notes=[f"{parcels:,} parcels in {days} days, seed 1"],
    )


def _card(bench: Bench, partitions: int) -> dict[str, Any]:
    """Return the scorecard of a replay."""
    world = bench.folder / "world"
    command = [sys.executable, "-m", "pipeline.cli", "replay", "--json"]
    for name in ("tracking", "complaints", "truth"):
        command += [f"--{name}", str(world / f"{name}.ndjson")]
    output = bench.folder / f"quality-{partitions}.ndjson"
    command += ["--decisions", str(output), "--partitions", str(partitions)]
    card: dict[str, Any] = msgspec.json.decode(used(command).output)
    return card

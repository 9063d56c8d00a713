"""How well surges are found: `python -m benchmarks.surges [--design W D]`.

For designs W and D (see `benchmarks/surges/designs.py`): share of outbreaks found (POD) at false
alarms in 0.1 % and 1 % of outbreak-free buckets, by score; how true the stated rate of alarms is;
what it costs. `--r` runs Farrington Flexible of R's package `surveillance` beside it, on design W.
The first months of a shop are `python -m benchmarks.surges.months`.

    python -m benchmarks.surges --design W D --seeds 1 2 --each 20 --json surges.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.surges import contenders, designs
from benchmarks.surges.contenders import Scored
from benchmarks.surges.designs import Floats, World
from benchmarks.surges.metrics import at_alarms, at_rate, quiet_buckets
from benchmarks.surges.plots import roc

RATES = (0.001, 0.01)


def row(world: World, name: str, said: Scored) -> dict[str, Any]:
    """Return the figures of one contender in one world."""
    figures: dict[str, Any] = {"design": world.name, "detector": name, "cpu_us": said.cpu_us}
    for rate in RATES:
        found = at_rate(world, said.scores, rate)
        figures[f"pod_{rate:g}"] = found.pod
        figures[f"kinds_{rate:g}"] = found.by_kind
        figures[f"delay_{rate:g}"], figures[f"charged_{rate:g}"] = found.delay, found.charged
    if said.chance is not None:
        figures["stated_1_percent"] = stated(world, said)
    return figures


def stated(world: World, said: Scored) -> dict[str, float]:
    """Return how often alarms stated at 1 % come in quiet buckets: pooled and over scenarios."""
    assert said.chance is not None
    alarms = said.chance <= 0.01
    fpr = at_alarms(world, alarms).fpr
    low, median, high = np.quantile(fpr, [0.1, 0.5, 0.9]).tolist()
    pooled = float(alarms[quiet_buckets(world)].mean())
    early = {}
    if said.early_chance is not None and world.name == "D":
        # Before their first planted outbreak, from the tenth week on.
        early["weeks_10_to_52"] = float((said.early_chance[:, 70:364] <= 0.01).mean())
    return {
        "pooled": pooled,
        "p10": low,
        "p50": median,
        "p90": high,
        "worst": float(fpr.max()),
        **early,
    }


def shown(rows: list[dict[str, Any]]) -> Table:
    """Return the figures as a table."""
    table = Table(
        "design", "detector", "POD .1 %", "POD 1 %", "delay k=3", "charged", "others at 1 %",
        "stated 1 %: pooled, 10th-90th, worst", "CPU µs",
    )  # fmt: skip
    for each in rows:
        kinds = " ".join(f"{kind} {pod:.2f}" for kind, pod in each["kinds_0.01"].items())
        rate = each.get("stated_1_percent")
        true = "" if rate is None else (
            f"{rate['pooled']:.2%}, {rate['p10']:.2%}-{rate['p90']:.2%}, {rate['worst']:.2%}"
        )  # fmt: skip
        table.add_row(
            each["design"], each["detector"], f"{each['pod_0.001']:.3f}", f"{each['pod_0.01']:.3f}",
            f"{each['delay_0.01']:.2f}", f"{each['charged_0.01']:.2f}", kinds, true,
            "" if np.isnan(each["cpu_us"]) else f"{each['cpu_us']:.1f}",
        )  # fmt: skip
    return table


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--design", nargs="+", choices=["W", "D"], default=["W", "D"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--each", type=int, default=20, help="series a scenario")
    parser.add_argument("--json", type=Path, help="where figures are written")
    parser.add_argument("--r", action="store_true", help="run Farrington Flexible on design W")
    parser.add_argument("--plots", type=Path, help="folder for ROC curves, of the last seed")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        for design in options.design:
            make = designs.weeks if design == "W" else designs.days
            world = make(seed, options.each)
            runs = {
                "oracle": contenders.oracle,
                "forewarn": contenders.forewarn,
                "EARS C2": contenders.ears_c2,
            }
            if options.r and design == "W":
                runs["Farrington Flexible"] = contenders.farrington
            scores: dict[str, Floats] = {}
            for name, run in runs.items():
                said = run(world)
                scores[name] = said.scores
                rows.append({"seed": seed, **row(world, name, said)})
            if options.plots is not None:
                options.plots.mkdir(parents=True, exist_ok=True)
                roc(world, scores, options.plots / f"surges-roc-{design}.svg")
    Console(width=160).print(shown(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1, default=float), "utf-8")


if __name__ == "__main__":
    main()

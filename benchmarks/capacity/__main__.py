"""`python -m benchmarks.capacity [--seeds 1 2 3] [--json FILE] [--plots DIR]`.

Regions with planted overload (`simulator.regions`), 180 judged days each after 60 of learning,
through the detector as it ships. Printed beside the seasonal-naive forecast and River's
Holt-Winters, which get the same backlog, capacity and rule.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.capacity import peers
from benchmarks.capacity.driving import Seen, drive
from benchmarks.capacity.scoring import (
    Announced,
    announced,
    causes,
    couriers,
    episodes_of,
    errors,
    held,
)
from configs.load import load_config
from simulator.regions import Regions, simulate

LEAD_HOURS: Final = 12
OURS: Final = "forewarn"


def main() -> int:
    """Measure and print."""
    options = _options()
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        world = simulate(seed, regions=options.regions)
        began = time.process_time()
        seen = drive(world)
        cost = (time.process_time() - began) / world.entered.size * 1e6
        found.setdefault(OURS, []).append(_ours(world, seen) | {"us": cost})
        for name, make in (
            ("seasonal-naive", peers.seasonal_naive), ("Holt-Winters", peers.holt_winters),
        ):  # fmt: skip
            if not options.alone:
                found.setdefault(name, []).append(_peer(world, seen, make(world)))
        if options.plots and seed == options.seeds[0]:
            from benchmarks.capacity.plots import draw  # noqa: PLC0415  # not needed to measure

            draw(world, seen, options.plots)
    summary = {name: _together(parts) for name, parts in found.items()}
    _show(summary)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1))
    return 0


def _ours(world: Regions, seen: Seen) -> dict[str, Any]:
    episodes = episodes_of(seen, len(world.entered), world.entered.shape[1])
    pairs = couriers(world, episodes)
    forecast = errors(world, seen.means)
    return {
        "announced": announced(world, episodes),
        "error": forecast.absolute,
        "in_waves": forecast.in_waves,
        "held": held(world, seen),
        "couriers": pairs,
        "causes": causes(world, episodes),
    }


def _peer(world: Regions, seen: Seen, steps: peers.Steps) -> dict[str, Any]:
    forecast = errors(world, peers.sums(steps))
    probability = load_config().flow.overflow_probability
    said = announced(world, peers.episodes(world, seen, steps, probability))
    return {"announced": said, "error": forecast.absolute, "in_waves": forecast.in_waves}


def _together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the seeds of one forecaster together."""
    told: list[Announced] = [part["announced"] for part in parts]
    leads = [lead for each in told for lead in each.leads]
    known = [lead for lead in leads if lead is not None]
    summary: dict[str, Any] = {
        "overflows": len(leads),
        "announced_12h": sum(lead >= LEAD_HOURS for lead in known) / max(len(leads), 1),
        "median_lead_hours": float(np.median(known)) if known else None,
        "false_a_region_quarter": sum(each.false for each in told)
        / sum(each.region_quarters for each in told),
        "leads_hours": leads,
    }
    for name in ("error", "in_waves", "held", "us"):
        if name in parts[0]:
            summary[name] = np.mean([part[name] for part in parts], axis=0).tolist()
    pairs = [pair for part in parts for pair in part.get("couriers", ())]
    if pairs:
        truth, said, inside = (np.array(column) for column in zip(*pairs, strict=True))
        off = np.abs(said - truth) / truth
        right, of = np.sum([part["causes"] for part in parts], axis=0).tolist()
        summary |= {
            "courier_messages": len(pairs),
            "couriers_median_error": float(np.median(off)),
            "couriers_bias": float(np.median((said - truth) / truth)),
            "couriers_within_15": float(np.mean(off <= 0.15)),
            "couriers_within_15_or_one": float(
                np.mean((off <= 0.15) | (np.abs(said - truth) <= 1))
            ),
            "couriers_in_interval": float(np.mean(inside)),
            "cause_first": right / max(of, 1),
            "cause_alerts": of,
        }
    return summary


def _show(summary: dict[str, dict[str, Any]]) -> None:
    console = Console(highlight=False, width=140)
    table = Table("", "overflows", ">= 12 h before", "median lead h", "false a region and quarter",
                  "error 6/24/48 h", "in waves")  # fmt: skip
    for name, of in summary.items():
        table.add_row(
            name, str(of["overflows"]), f"{of['announced_12h']:.1%}",
            f"{of['median_lead_hours']:.0f}" if of["median_lead_hours"] is not None else "-",
            f"{of['false_a_region_quarter']:.2f}",
            " ".join(f"{value:.1%}" for value in of["error"]),
            " ".join(f"{value:.1%}" for value in of["in_waves"]),
        )  # fmt: skip
    console.print(table)
    ours = summary[OURS]
    console.print(
        f"bands 10-90 % hold {' '.join(f'{share:.1%}' for share in ours['held'])} of 6/24/48 h; "
        f"{ours['us']:.1f} CPU us a region and hour"
    )
    if "couriers_median_error" in ours:
        off, bias = ours["couriers_median_error"], ours["couriers_bias"]
        within, or_one = ours["couriers_within_15"], ours["couriers_within_15_or_one"]
        console.print(
            f"couriers: median error {off:.1%} (bias {bias:+.1%}), within 15 % {within:.0%} (or "
            f"one courier {or_one:.0%}), in the interval {ours['couriers_in_interval']:.0%} of "
            f"{ours['courier_messages']} messages; planted cause first "
            f"{ours['cause_first']:.0%} of {ours['cause_alerts']} alerts"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--regions", type=int, default=12)
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--json", type=Path, help="write what was measured to a file")
    parser.add_argument("--plots", type=Path, help="write plots (SVG) of the first seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

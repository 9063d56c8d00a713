"""How large scores become by chance: writes `detectors/chance_table.py`.

    python -m benchmarks.surges.null_table [--series 1000] [--buckets 400]

For each mean and dispersion of a grid, counts without any outbreak are drawn and their odds
computed by the very chains that run in use; the table holds the log odds that are exceeded with the
given probabilities. Run it again when a chain changes.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.surges.designs import Floats, negative_binomial
from detectors.chance_table import TABLE
from detectors.odds import OutbreakChains

MEANS = np.geomspace(0.003, 1000.0, 15)
DISPERSIONS = np.array([1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 9.0, 20.0, 60.0])
LEVELS = np.array([0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001])
WIDTHS = {"hour": 3600, "day": 86_400, "week": 604_800}
_BURN_IN = 60


def quantiles(bucket_seconds: int, series: int, buckets: int) -> Floats:
    """Return log odds exceeded with `LEVELS`, shape (means, dispersions, levels)."""
    chains = OutbreakChains(bucket_seconds)
    chance = np.random.default_rng(bucket_seconds)
    table = np.empty((len(MEANS), len(DISPERSIONS), len(LEVELS)))
    for i, mean in enumerate(MEANS):
        for j, dispersion in enumerate(DISPERSIONS):
            weights = np.zeros((chains.size, series))
            means, spread = np.full(series, mean), np.full(series, dispersion)
            scores = []
            for _ in range(_BURN_IN + buckets):
                counts = negative_binomial(chance, means, spread)
                weights, odds, _ = chains.step(weights, counts, means, spread, means)
                scores.append(np.log(odds))
            table[i, j] = np.quantile(np.array(scores[_BURN_IN:]), 1 - LEVELS, method="higher")
    return table


def main() -> None:
    """Compute and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--buckets", type=int, default=400)
    parser.add_argument("--widths", nargs="+", choices=list(WIDTHS), default=list(WIDTHS))
    options = parser.parse_args()
    lines = [
        '"""Log odds that chance exceeds; made by `benchmarks/surges/null_table.py`."""', "",
        "from typing import Final", "",
        f"MEANS: Final = {tuple(float(f'{m:.6g}') for m in MEANS)}",
        f"DISPERSIONS: Final = {tuple(DISPERSIONS.tolist())}",
        f"LEVELS: Final = {tuple(LEVELS.tolist())}",
        "TABLE: Final = {",
    ]  # fmt: skip
    for name, width in WIDTHS.items():
        lines.append(f'    "{name}": """')
        if name not in options.widths:
            lines += TABLE[name].strip().splitlines()
        else:
            for row in quantiles(width, options.series, options.buckets):
                lines += [" ".join(f"{value:.2f}" for value in cell) for cell in row]
        lines.append('""",')
    lines.append("}")
    lines.append('"""By width of a bucket; a line a dispersion, the next mean after the last."""')
    Path("detectors/chance_table.py").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

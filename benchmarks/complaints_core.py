"""What the complaints core costs a complaint: `python -m benchmarks.complaints_core [--events N]`.

Complaints of 31 regions, 400 a minute; one in five comes from a customer who has complained
lately, one in fifty a few hours late. Decoded beforehand, in chunks of 200, 1,000 and 4,000, and
once more with the state's changes and a page taken after every chunk, as the worker does.
"""

import argparse
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.flow_fold import resident
from detectors.base import Batch
from detectors.complaints import ComplaintsCore
from detectors.events import Complaint

START = datetime(2026, 3, 2, tzinfo=UTC)
ISSUES = ("late delivery", "damaged box", "refund", "rude", "not_received", "courier lost it")
PAGES = 64
WINDOW_DAYS = 0.25
"""Short, so that customers are forgotten as fast as new ones come."""


def stream(events: int, seed: int = 1) -> Batch[Complaint]:
    """Return complaints in the order of their arrival."""
    chance = np.random.default_rng(seed)
    arrivals = np.sort(chance.uniform(0, events / 400 * 60, events))
    occurred = arrivals - np.where(chance.random(events) < 0.02, 4 * 3600, chance.exponential(30))
    again = chance.random(events) < 0.2
    recent = np.arange(events) - chance.geometric(1 / 5000, events)
    customers = np.where(again, np.maximum(recent, 0), np.arange(events)).tolist()
    issues, regions = chance.integers(0, 6, events).tolist(), chance.integers(0, 31, events)
    made = [
        Complaint(
            complaint_id=f"CP{place:09d}",
            customer_id=f"C{customer:09d}",
            occurred_at=START + timedelta(seconds=seconds),
            region=f"R{region:02d}",
            order_id=f"O{place:09d}",
            issue=ISSUES[issue],
        )
        for place, (customer, seconds, region, issue) in enumerate(
            zip(customers, occurred.tolist(), regions.tolist(), issues, strict=True)
        )
    ]
    return Batch(made, arrivals + START.timestamp())


def measure(batch: Batch[Complaint], chunk: int, *, stateful: bool) -> tuple[float, float, int]:
    """Return CPU µs a complaint, bytes of memory a customer, and decisions with counts."""
    core = ComplaintsCore(
        source="complaints/0", config_version="benchmark", window_days=WINDOW_DAYS
    )
    before, outputs, spent = resident(), 0, 0.0
    for number, start in enumerate(range(0, len(batch.events), chunk)):
        part = Batch(batch.events[start : start + chunk], batch.arrivals[start : start + chunk])
        began = time.process_time()
        outputs += len(core.observe(part))
        if stateful:
            core.changes()
            core.dump(number % PAGES, PAGES)
        spent += time.process_time() - began
    return spent / len(batch.events) * 1e6, (resident() - before) / len(core), outputs


def main() -> None:
    """Print a row for each size of chunk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    batch = stream(parser.parse_args().events)
    print(f"{'chunk':>6} {'µs':>8} {'with state':>11} {'B a customer':>13} {'outputs':>9}")
    for chunk in (200, 1000, 4000):
        plain, memory, outputs = measure(batch, chunk, stateful=False)
        stateful, _, _ = measure(batch, chunk, stateful=True)
        print(f"{chunk:>6} {plain:>8.2f} {stateful:>11.2f} {memory:>13.0f} {outputs:>9,}")


if __name__ == "__main__":
    main()

"""What `forewarn repartition` costs a parcel: dealing the state out, and making the new rings.

    python -m benchmarks.repartition --parcels 300000 --to 4

In one process and without Kafka, from one partition; prints CPU seconds a million parcels and the
memory at its highest.
"""

import argparse
import time
from typing import Final

from benchmarks.in_flight import Population
from benchmarks.watching import peak_bytes
from configs.load import load_config
from pipeline.new_state import FIRST_PAGES, dealt
from pipeline.records import RawRecord
from pipeline.ring import Ring
from pipeline.task import Input, Task

_CHUNK: Final = 10_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=300_000)
    parser.add_argument("--to", type=int, default=4)
    options = parser.parse_args()
    config = load_config()
    task = Task(0, 1, config)
    offset = 0
    for block in Population(options.parcels, block=_CHUNK).labels():
        pairs = zip(block.keys, block.values, strict=True)
        records = [RawRecord(k, v, offset + n, 0) for n, (k, v) in enumerate(pairs)]
        offset += len(records)
        task.absorb(Input.TRACKING, records)
    full = peak_bytes()
    began = time.process_time()
    states = list(dealt([task.dump(0, 1)], options.to, config))
    cut = time.process_time()
    written = 0
    for partition, state in enumerate(states):
        new, ring = Task(partition, options.to, config), Ring(pages=FIRST_PAGES)
        new.load(0, 1, state)
        while not ring.complete:
            written += ring.write(new).size_bytes
    done = time.process_time()
    million = options.parcels / 1e6
    print(
        f"{options.parcels:,} parcels to {options.to} partitions: "
        f"{(cut - began) / million:.1f} CPU s a million dealt out, "
        f"{(done - cut) / million:.1f} written, {written / options.parcels:.0f} bytes a parcel; "
        f"memory {full / 2**20:,.0f} MiB before, {peak_bytes() / 2**20:,.0f} at its highest"
    )


if __name__ == "__main__":
    main()

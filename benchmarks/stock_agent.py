"""The peer: a stock Faust agent with a table, as Faust's documentation shows it.

It decodes each event into a record and writes one number a parcel into a table backed by a
changelog: far less work than Forewarn does for an event, and each event on its own. Run by
`benchmarks.rows.throughput` with TOPIC, GROUP and BROKER in the environment.
"""

import os
import sys
from collections import Counter

import faust


class Scan(faust.Record, serializer="json"):
    """What it reads of a scan."""

    parcel_id: str
    carrier: str
    milestone: str
    occurred_at: str


app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['BROKER']}",
    store="memory://",
    topic_partitions=4,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    datadir=os.environ["DATADIR"],
)
scans = app.topic(os.environ["TOPIC"], key_type=bytes, value_type=Scan)
counts = app.Table("counts", default=int, partitions=4)
done: Counter[str] = Counter()


@app.agent(scans)
async def count(stream: faust.StreamT[Scan]) -> None:
    """Count the scans of each parcel."""
    async for scan in stream:
        counts[f"{scan.carrier}/{scan.parcel_id}"] += 1
        done.update(scans=1)


@app.timer(0.5)  # type: ignore[untyped-decorator]
async def report() -> None:
    """Say how many events are done."""
    print(f"done {done['scans']}", file=sys.__stderr__, flush=True)


if __name__ == "__main__":
    app.main()

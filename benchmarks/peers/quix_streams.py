"""The peer in Python: Quix Streams, stateful and exactly once, as its documentation shows it.

It counts scans a parcel in its state (RocksDB with a changelog) and writes a record at every
tenth. Run by its own interpreter, so it imports nothing of Forewarn.
"""

import os
import sys
import threading
import time
from collections import Counter
from typing import Any

from quixstreams import Application

done: Counter[str] = Counter()


def count(scan: dict[str, Any], state: Any) -> dict[str, Any]:
    """Return the parcel and its scans so far."""
    scans = state.get("scans", 0) + 1
    state.set("scans", scans)
    done["scans"] += 1
    return {"parcel_id": scan["parcel_id"], "scans": scans}


def report() -> None:
    """Say how many events are done."""
    while True:
        time.sleep(0.1)
        print(f"done {done['scans']}", file=sys.__stderr__, flush=True)


def main() -> None:
    """Run until told to stop."""
    app = Application(
        broker_address=os.environ["BROKER"],
        consumer_group=os.environ["GROUP"],
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=os.environ["DATADIR"],
        loglevel="WARNING",
    )
    scans = app.topic(os.environ["TOPIC"], key_deserializer="bytes", value_deserializer="json")
    decisions = app.topic(os.environ["OUTPUT"], value_serializer="json")
    counted = app.dataframe(scans).apply(count, stateful=True)
    counted.filter(lambda counts: counts["scans"] % 10 == 0).to_topic(decisions)
    threading.Thread(target=report, daemon=True).start()
    app.run()


if __name__ == "__main__":
    main()

"""Every row of the suite, in the order in which a reader wants them."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench, Form
from benchmarks.results import Measurement
from benchmarks.rows import (
    burst,
    core,
    disk,
    fairness,
    flatness,
    latency,
    memory,
    outside,
    quality,
    recovery,
    replay,
    scripts,
    state_log,
    throughput,
    two_workers,
)

FAILURES: Final = (RuntimeError, OSError, ValueError, subprocess.SubprocessError)
"""What may go wrong in one row without ending the others."""


@dataclass(frozen=True, slots=True)
class Row:
    """One benchmark."""

    name: str
    what: str
    run: Callable[[Bench], Measurement]
    kafka: bool = True
    """It needs a real Apache Kafka."""
    full_only: bool = False
    """Too long for the short form, unless it is asked for by name."""


ROWS: Final = (
    Row("throughput", "events/s beside Kafka Streams, Quix Streams, Faust, limits", throughput.run),
    Row("two_workers", "two workers on two cores beside one", two_workers.run),
    Row("latency", "scan written until its decision is readable", latency.run),
    Row("replay", "forewarn replay of NDJSON", replay.run, kafka=False),
    Row("core", "parcels core alone, by size of chunk", core.run, kafka=False),
    Row("memory", "bytes a parcel in flight", memory.run, kafka=False),
    Row("flatness", "cost an event against parcels in flight", flatness.run, kafka=False),
    Row("recovery", "SIGKILL until caught up", recovery.run),
    Row("state_log", "bytes of the state log", state_log.run),
    Row("burst", "a backlog at five times the usual rate", burst.run),
    Row("fairness", "a hot partition, a stopped broker", fairness.run),
    Row("outside", "a slow provider, a frozen Redis", outside.run),
    Row("quality", "detection with 1, 8, 64 partitions", quality.run, kafka=False, full_only=True),
    Row("disk", "the disk under the broker", disk.run, kafka=False),
    *(
        Row(name, what, scripts.script(name, what, arguments), kafka=False)
        for name, what, arguments in (
            ("parcels_core", "parcels core, core and decoding apart", ("--events", "160000")),
            ("decode", "from a record's bytes to an event", ()),
            ("flow_fold", "counts folded into flow", ()),
        )
        if scripts.exists(name)
    ),
)


def chosen(names: Sequence[str], form: Form) -> list[Row]:
    """Return the rows of these names, all of the form without any; raises `ValueError`."""
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f"no such row: {', '.join(sorted(unknown))}; see --list")
    if names:
        return [row for row in ROWS if row.name in names]
    return [row for row in ROWS if form is Form.FULL or not row.full_only]


def measured(rows: Sequence[Row], bench: Bench, *, kafka_installed: bool) -> Iterator[Measurement]:
    """Run rows one after the other; one that fails says so and does not end the rest."""
    for row in rows:
        if row.kafka and not kafka_installed:
            text = "Apache Kafka or Java is not installed; .ci/run installs both"
            yield Measurement(row=row.name, what=row.what, absent=text)
            continue
        began, load = time.monotonic(), os.getloadavg()[0]
        try:
            found = row.run(bench)
        except FAILURES as error:
            found = Measurement(row=row.name, what=row.what, failed=f"{error!r}")
        found.seconds, found.load = round(time.monotonic() - began, 1), round(load, 1)
        yield found

"""What the worker counts and measures, for Prometheus. Units stand in the names.

Labels are bounded: inputs, reasons and kinds are closed enums, partitions are at most 1024.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


EVENTS: Final = Counter(
    "forewarn_events", "Records absorbed.", ["input"], registry=REGISTRY
)  # exposed as forewarn_events_total
DEAD_LETTERS: Final = Counter(
    "forewarn_dead_letters",
    "Records nothing could be made of.",
    ["input", "reason"],
    registry=REGISTRY,
)
DECISIONS: Final = Counter("forewarn_decisions", "Decisions made.", ["kind"], registry=REGISTRY)
CHUNK_SECONDS: Final = Histogram(
    "forewarn_chunk_seconds",
    "Judging one chunk of records.",
    ["input"],
    buckets=_FAST,
    registry=REGISTRY,
)
TRANSACTION_SECONDS: Final = Histogram(
    "forewarn_transaction_seconds",
    "Writing and committing what follows from one chunk.",
    buckets=_FAST,
    registry=REGISTRY,
)
RECOVERY_SECONDS: Final = Histogram(
    "forewarn_recovery_seconds",
    "Taking a partition over: fencing, reading and loading its state.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    registry=REGISTRY,
)
RECOVERY_SHARE: Final = Gauge(
    "forewarn_recovery_share_ratio",
    "How far the last recovery of a partition is: reading the state topic, loading what was read.",
    ["partition", "stage"],
    registry=REGISTRY,
)
RECOVERY_READ_BYTES: Final = Gauge(
    "forewarn_recovery_read_bytes",
    "Bytes of the state topic read by the last recovery of a partition.",
    ["partition"],
    registry=REGISTRY,
)
ASSIGNED_PARTITIONS: Final = Gauge(
    "forewarn_assigned_partitions", "Partitions this worker has.", registry=REGISTRY
)
RECOVERED_PARTITIONS: Final = Gauge(
    "forewarn_recovered_partitions", "Partitions whose state is loaded.", registry=REGISTRY
)
STATE_ROWS: Final = Gauge("forewarn_state_rows", "Rows of state.", ["partition"], registry=REGISTRY)
STATE_LIMIT_ROWS: Final = Gauge(
    "forewarn_state_limit_rows",
    "Most rows that a task may remember for an input; what is beyond goes to the dead letters.",
    ["input"],
    registry=REGISTRY,
)
STATE_USED_RATIO: Final = Gauge(
    "forewarn_state_used_ratio",
    "Rows of a task's state for an input, divided by the limit.",
    ["partition", "input"],
    registry=REGISTRY,
)
STATE_PAGE_COUNT: Final = Gauge(
    "forewarn_state_page_count", "Pages of the state ring.", ["partition"], registry=REGISTRY
)
STATE_RECORD_BYTES: Final = Histogram(
    "forewarn_state_record_bytes",
    "Compressed size of one state record.",
    buckets=tuple(4.0**power for power in range(5, 13)),
    registry=REGISTRY,
)
CLOCK_TIMESTAMP_SECONDS: Final = Gauge(
    "forewarn_clock_timestamp_seconds",
    "Clock of a task's input, seconds since the epoch.",
    ["partition", "input"],
    registry=REGISTRY,
)
HELD: Final = Gauge(
    "forewarn_held",
    "1 while a partition's scans wait for the lessons of other partitions.",
    ["partition"],
    registry=REGISTRY,
)
INPUT_LAG_RECORDS: Final = Gauge(
    "forewarn_input_lag_records",
    "Records between the state and the end of the log.",
    ["input", "partition"],
    registry=REGISTRY,
)


_OF_PARTITIONS: Final = (
    STATE_ROWS,
    STATE_PAGE_COUNT,
    STATE_USED_RATIO,
    CLOCK_TIMESTAMP_SECONDS,
    HELD,
    INPUT_LAG_RECORDS,
    RECOVERY_SHARE,
    RECOVERY_READ_BYTES,
)


def forget_partition(partition: int) -> None:
    """Drop what was measured of a partition that went to another worker."""
    for metric in _OF_PARTITIONS:
        metric.remove_by_labels({"partition": str(partition)})

"""How long a record takes on its way from bytes to an event.

    python -m benchmarks.decode

Prints CPU nanoseconds an event: msgspec's bare typed decode into the same fields without any
check, then `pipeline.records` with everything: the event's own checks, doubled keys, nesting,
sizes, times, arrivals as an array.
"""

import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from detectors.events import TrackingEvent
from pipeline.records import RawRecord, read_tracking

EVENTS: Final = 1000
ROUNDS: Final = 60
STAMP_MS: Final = 1_772_366_400_000
SCAN: Final = (
    b'{"event_id":"e-%08d","parcel_id":"SW%010d","carrier":"swift","milestone":"arrived",'
    b'"occurred_at":"2026-03-01T04:34:56Z","received_at":"2026-03-01T04:40:00Z",'
    b'"facility":"R01-HUB2","region":"R01","order_id":"ORD-%07d"}'
)
CLOUD: Final = (
    ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/tms"),
    ("ce_type", b"forewarn.tracking.v1"), ("content-type", b"application/json"),
)  # fmt: skip


def nanoseconds(work: Callable[[], object], events: int = EVENTS) -> float:
    """Return the least CPU time of a round, an event."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        work()
        best = min(best, time.process_time_ns() - began)
    return best / events


def bare_decoder() -> Callable[[bytes], object]:
    """Return a decoder into a struct of the same fields that checks nothing more."""
    fields = [
        (f.name, f.type) if f.required else (f.name, f.type, f.default)
        for f in msgspec.structs.fields(TrackingEvent)
    ]
    bare = msgspec.defstruct("Bare", fields, frozen=True, kw_only=True, gc=False)
    return msgspec.json.Decoder(bare).decode


def main() -> None:
    """Print the table."""
    plain = [SCAN % (n, n, n) for n in range(EVENTS)]
    bare = bare_decoder()
    checked = msgspec.json.Decoder(TrackingEvent).decode
    rows = [
        ("msgspec, no checks at all", lambda: [bare(value) for value in plain]),
        ("msgspec, the event's own checks", lambda: [checked(value) for value in plain]),
        ("read_tracking: compact JSON, UTC", _reading(plain)),
        ("  times with an offset", _reading([v.replace(b"Z", b"+00:01") for v in plain])),
        ("  a null and an unknown field", _reading([v[:-1] + b',"a":null,"b":1}' for v in plain])),
        ("  an escape: strict pass", _reading([v.replace(b"R01-", b"R01\\u002d") for v in plain])),
        ("  CloudEvents, binary mode", _reading(plain, CLOUD)),
        ("  dead letters (a field missing)", _reading([v.replace(b"_id", b"_") for v in plain])),
    ]
    sys.stdout.write(f"{len(plain[0])} bytes an event, CPU ns an event\n")
    for name, work in rows:
        sys.stdout.write(f"{name:36s}{nanoseconds(work):8.0f}\n")


def _reading(
    values: list[bytes], headers: tuple[tuple[str, bytes], ...] = ()
) -> Callable[[], object]:
    records = [RawRecord(b"k", value, n, STAMP_MS, headers) for n, value in enumerate(values)]
    return lambda: read_tracking(records)


if __name__ == "__main__":
    main()

"""Dead letters on the wire.

A dead letter keeps the raw key, the raw value and the headers of its record and adds its own,
which come last and therefore win over headers of the same name that a producer sent:

| header             | value                                                          |
|--------------------|----------------------------------------------------------------|
| forewarn-reason    | a `pipeline.limits.Reason` or a core's own, for counting       |
| forewarn-detail    | field and limit, for a person                                  |
| forewarn-topic     | where the record was                                           |
| forewarn-partition | its partition, decimal                                         |
| forewarn-offset    | its offset, decimal                                            |
| forewarn-timestamp | its timestamp, milliseconds since the epoch, decimal           |

A record with the header `forewarn-replay-of` instead is a mark, written in the transaction that
wrote the letter of that offset (of the mark's partition) back to its topic. Marks are younger
than their letters and in the same partition, so retention takes the letter first.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.records import DeadLetter

Headers = list[tuple[str, bytes | None]]

REASON: Final = "forewarn-reason"
DETAIL: Final = "forewarn-detail"
TOPIC: Final = "forewarn-topic"
PARTITION: Final = "forewarn-partition"
OFFSET: Final = "forewarn-offset"
TIMESTAMP: Final = "forewarn-timestamp"
REPLAY_OF: Final = "forewarn-replay-of"
REPLAYED_FROM: Final = "forewarn-replayed-from"
"""On a record that was written back: `partition/offset` of its dead letter."""
OWN: Final = frozenset({REASON, DETAIL, TOPIC, PARTITION, OFFSET, TIMESTAMP})


class Stored(NamedTuple):
    """A dead letter as the topic has it."""

    partition: int
    offset: int
    stored_ms: int
    """When it became a dead letter, milliseconds since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """Those of the original record."""
    reason: str
    detail: str
    topic: str
    source_partition: int
    source_offset: int
    source_timestamp_ms: int

    @property
    def name(self) -> str:
        """How commands call it."""
        return f"{self.partition}/{self.offset}"


class Mark(NamedTuple):
    """Says that the letter at `offset` of `partition` has been written back."""

    partition: int
    offset: int

    @property
    def name(self) -> str:
        """The name of the letter it marks."""
        return f"{self.partition}/{self.offset}"


def headers_of(letter: DeadLetter, topic: str, partition: int) -> Headers:
    """Return the headers a dead letter is written with; key and value are the record's own."""
    record = letter.record
    return [
        *((name, value) for name, value in record.headers if name not in OWN),
        (REASON, str(letter.reason).encode()),
        (DETAIL, letter.detail.encode("utf-8", "backslashreplace")[:1000]),
        (TOPIC, topic.encode()),
        (PARTITION, b"%d" % partition),
        (OFFSET, b"%d" % record.offset),
        (TIMESTAMP, b"%d" % record.timestamp_ms),
    ]


def read_stored(
    partition: int,
    offset: int,
    stored_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> Stored | Mark | None:
    """Read a record of the dead-letter topic; None for one that Forewarn did not write."""
    last = {name: value or b"" for name, value in headers}
    try:
        if REPLAY_OF in last and REASON not in last:
            return Mark(partition, int(last[REPLAY_OF]))
        return Stored(
            partition,
            offset,
            stored_ms,
            key,
            value,
            [(name, value) for name, value in headers if name not in OWN],
            last[REASON].decode("utf-8", "replace"),
            last[DETAIL].decode("utf-8", "replace"),
            last[TOPIC].decode(),
            int(last[PARTITION]),
            int(last[OFFSET]),
            int(last[TIMESTAMP]),
        )
    except (KeyError, ValueError):
        return None

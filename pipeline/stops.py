"""Why a worker stops, and the exit code that tells its supervisor.

    WorkerFailure           1   something else that must not happen
    ├── Fenced              3   another worker has the partition: start again
    ├── BrokenRing          4   the state log cannot be trusted; never an empty start
    ├── SourceGap           5   records were deleted before they were read
    ├── WrongTopics         7   topics are missing or unfit
    │   └── Sealed          7   they wait for their state, or it has moved elsewhere
    ├── CoreBroken          8   a core fails on more than single records
    └── BrokerUnavailable   9   the broker does not answer: start again

Codes 3 and 9 heal by starting again; the others need a person.
"""

from typing import ClassVar


class WorkerFailure(Exception):
    """A worker cannot go on; the message says what to do."""

    exit_code: ClassVar[int] = 1


class Fenced(WorkerFailure):
    """A newer producer took the partition over; what was written is safe."""

    exit_code = 3


class BrokenRing(WorkerFailure):
    """The state log has gaps, cannot be read, or is gone."""

    exit_code = 4


class SourceGap(WorkerFailure):
    """Records between the state and the topic are gone."""

    exit_code = 5


class WrongTopics(WorkerFailure):
    """Topics are missing or cannot be worked with."""

    exit_code = 7


class Sealed(WrongTopics):
    """`forewarn repartition` keeps everybody else from these topics."""


class CoreBroken(WorkerFailure):
    """A core raises and no single record is to blame."""

    exit_code = 8


class BrokerUnavailable(WorkerFailure):
    """The broker did not answer in time."""

    exit_code = 9

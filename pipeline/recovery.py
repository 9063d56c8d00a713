"""How a recovery shows that it goes on: metrics at once, a line in the log every few seconds."""

from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from pipeline import metrics

SAY_SECONDS: Final = 3.0
_log = structlog.get_logger(__name__)


class Recovery:
    """One partition's recovery, told how far it is.

    Parameters
    ----------
    partition
        Which one.
    clock
        A monotonic clock in seconds.
    """

    def __init__(self, partition: int, clock: Callable[[], float] = monotonic) -> None:
        self._partition = partition
        self._clock = clock
        self._began = self._said = clock()
        self._bytes = 0

    def read(self, size_bytes: int, done: int, total: int) -> None:
        """Note one record of the state topic, and how far reading is in offsets."""
        self._bytes += size_bytes
        metrics.RECOVERY_READ_BYTES.labels(str(self._partition)).set(self._bytes)
        self._note("read", done, total)

    def loaded(self, done: int, total: int) -> None:
        """Note how many records have been loaded into the state."""
        self._note("load", done, total)

    def _note(self, stage: str, done: int, total: int) -> None:
        share = 1.0 if total <= 0 else min(1.0, done / total)
        metrics.RECOVERY_SHARE.labels(str(self._partition), stage).set(share)
        at = self._clock()
        if at - self._said >= SAY_SECONDS:
            self._said = at
            _log.info(
                "recovering state",
                partition=self._partition,
                stage=stage,
                records=done,
                of_records=total,
                read_bytes=self._bytes,
                seconds=round(at - self._began, 1),
            )

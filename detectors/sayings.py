"""What a core says, put into the order in which it came true, however the stream was cut."""

from typing import Final

import numpy as np

from detectors.base import Output
from detectors.scan_columns import Minutes

_DUE, _RECORD, _EVENT = range(3)
"""At one event: first what fell due before it, then counts of minutes over, then what it does."""

_Entry = tuple[int, int, int, str, int, Output]
_NO_MINUTES: Final = np.zeros(0, np.int64)


class Sayings:
    """Outputs with the position of the event that made the clock pass them."""

    def __init__(self) -> None:
        self.minutes: Minutes = _NO_MINUTES
        """The minute of the clock at each event of the batch."""
        self._said: list[_Entry] = []

    def say(self, position: int, output: Output) -> None:
        """Note what follows from the event at a position of the batch."""
        self._said.append((position, _EVENT, 0, "", len(self._said), output))

    def say_due(self, key: str, due: int, output: Output) -> None:
        """Note what a parcel's deadline says: before the event that made the clock pass it."""
        position = int(np.searchsorted(self.minutes, due))
        self._said.append((position, _DUE, due, key, len(self._said), output))

    def say_record(self, position: int, output: Output) -> None:
        """Note a record that the minute of the event at a position made complete."""
        self._said.append((position, _RECORD, 0, "", len(self._said), output))

    def take(self) -> list[Output]:
        """Return what was said, in order, and forget it."""
        said = [entry[-1] for entry in sorted(self._said, key=_when)]
        self._said.clear()
        return said


def _when(entry: _Entry) -> tuple[int, int, int, str, int]:
    return entry[:5]

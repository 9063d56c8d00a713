"""The part of a parcels core that says lessons and waits for those of the others."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors.base import Lesson
from detectors.lessons import DELAY, NEVER, Inbox, lessons, teacher_name, teachers_of
from detectors.scan_columns import Seconds
from detectors.tallies import split
from detectors.usual import Usual


class Pupil:
    """What a core tells its teachers, and what it has heard from them.

    Parameters
    ----------
    source
        The core's name.
    sources
        All cores that share their models, this one among them; none or one: it learns alone.
    usual
        Whose counts are said, and to which those of all are added.
    epoch_seconds
        Length of an epoch.
    """

    def __init__(
        self, source: str, sources: Sequence[str], usual: Usual, *, epoch_seconds: int
    ) -> None:
        self.alone = len(sources) < 2
        self.inbox = Inbox(map(teacher_name, teachers_of(len(sources))))
        self.promised = NEVER
        """No scan comes before, seconds of the clock; it may be ahead of the clock."""
        self._source, self._usual, self._epoch_seconds = source, usual, epoch_seconds
        self._teachers = teachers_of(len(sources))
        self._said: list[Lesson] = []

    @property
    def limit(self) -> float:
        """The time the clock may not come to yet, seconds."""
        if self.alone:
            return float("inf")
        return self.inbox.through + DELAY * self._epoch_seconds

    def room(self, arrivals: Seconds, clock: float) -> int:
        """Return how many of the next scans may come, by their arrivals in order."""
        if self.alone:
            return len(arrivals)
        reached = np.maximum.accumulate(np.maximum(arrivals, max(clock, self.promised)))
        return int(np.searchsorted(reached, self.limit))

    def promise(self, now: float, clock: float) -> None:
        """Say what was counted in the epoch of the clock, unless no epoch is over by `now`."""
        length = self._epoch_seconds
        through = int(now // length) * length
        if not self.alone and self.promised < through:
            began = through if clock == NEVER else int(clock // length) * length
            told = [split(tally, len(self._teachers)) for tally in self._usual.take()]
            for teacher in self._teachers:
                mine = [parts[teacher] for parts in told]
                self._said += lessons(self._source, teacher, began, through, mine)
        self.promised = max(self.promised, now)

    def learn(self, epoch: int) -> Iterator[tuple[int, int]]:
        """Take the lessons that count by an epoch, and yield when each is to be folded.

        Yields the epoch from which a lesson counts and the one in which it was counted, after
        adding it to what is folded next.
        """
        length = self._epoch_seconds
        for start, told in self.inbox.take((epoch - DELAY + 1) * length):
            for lesson in told:
                self._usual.add(lesson.tallies)
            yield start // length + DELAY, start // length

    def take(self) -> list[Lesson]:
        """Return the lessons said, and forget them."""
        said, self._said = self._said, []
        return said

"""Records on their way through running parts: sent in order, judged, remedied, waited for.

The demo and the run on a marketplace's orders differ in what they send and in what they conclude;
how it is sent, and when it has ended, is here.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from configs.policy_schema import Policies
from pipeline.demo_parts import IDLE_SECONDS, Parts, get
from pipeline.demo_watch import Seen, Watch, WorkerState, read_metrics
from pipeline.failures import Failure
from pipeline.policy import judge
from pipeline.producer import Outgoing, RecordProducer
from pipeline.remedies import RemedyRequest

STUCK_SECONDS: Final = 60.0
AHEAD: Final = 4000
_QUIET_SECONDS: Final = 1.5
_LOOK_SECONDS: Final = 0.2


class Passage:
    """One run on parts that are ready.

    Parameters
    ----------
    parts, policies
        What the records pass through, and what its deliver goes by.
    records, total
        In order of arrival, and how many they are.
    speed
        How many times as fast as the data's time.
    ahead
        Events sent and not yet judged at most, so that a slow machine has a slower run, not another
        one: a coupon for an episode that has long ended is refused.
    stuck_seconds
        How long nothing may move before the run is given up.
    """

    def __init__(
        self,
        parts: Parts,
        policies: Policies,
        records: Iterable[Outgoing],
        total: int,
        *,
        speed: float,
        ahead: int = AHEAD,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        self._parts, self._policies = parts, policies
        self.total = total
        self._stuck_seconds = stuck_seconds
        self._watch = Watch(parts.settings.kafka)
        self._stream = _Stream(parts.settings.kafka.brokers, records, speed, ahead)
        self._wanted: set[str] = set()
        self._judged = 0

    @property
    def seen(self) -> Seen:
        """Everything decided and promised so far."""
        return self._watch.seen

    @property
    def sent(self) -> int:
        """How many records were sent."""
        return self._stream.sent

    @property
    def written(self) -> dict[str, int]:
        """How many records the broker has acknowledged, by topic; at the end."""
        return self._stream.written

    def latest(self) -> datetime | None:
        """Return the time of the data that has been reached."""
        return self._stream.latest()

    def run(self, show: Callable[[str], None]) -> WorkerState:
        """Send everything and wait until it has ended; `show` is told the stage, now and then.

        Raises `Failure` when a process ends or nothing moves, `ProduceError` when the broker does
        not take the records.
        """
        try:
            self._stream.start()
            while not self._stream.done():
                self._look(show, "streaming")
                self._stream.judged = self._events()
            return self._settle(show)
        finally:
            self._stream.stop()
            self._watch.close()

    def _settle(self, show: Callable[[str], None]) -> WorkerState:
        """Wait until everything sent is judged, every clock is at the end, every remedy ended."""
        state = WorkerState(0, 0, None, 0)
        moved = time.monotonic()
        while True:
            before = state
            looked = self._look(show, "settling")
            state = self._worker() or state
            if looked or state != before:
                moved = time.monotonic()
            quiet_seconds = time.monotonic() - moved
            done = self._caught_up(state) and self._all_ended()
            if done and quiet_seconds >= _QUIET_SECONDS + IDLE_SECONDS:
                return state
            if quiet_seconds > self._stuck_seconds:
                raise Failure(
                    f"nothing moved for {self._stuck_seconds:.0f} s: {state.events:,} of "
                    f"{self.total:,} events judged, {state.lag_records:,} records waiting, "
                    f"clock {state.clock}, {self._missing()} remedies without an outcome"
                )

    def _caught_up(self, state: WorkerState) -> bool:
        end = self._stream.latest()
        return (
            state.events >= self.total
            and state.lag_records == 0
            and state.clock is not None
            and end is not None
            and state.clock >= end - timedelta(minutes=2)
        )

    def _all_ended(self) -> bool:
        return self._missing() == 0 and self.seen.unsettled() == 0

    def _missing(self) -> int:
        """Count the remedies the policies ask for that the ledger does not know yet."""
        seen = self.seen
        for decision in seen.decisions[self._judged :]:
            wish = judge(decision, self._policies)
            if isinstance(wish, RemedyRequest):
                self._wanted.add(wish.remedy_id)
        self._judged = len(seen.decisions)
        return len(self._wanted - seen.book.accounts.keys())

    def _look(self, show: Callable[[str], None], stage: str) -> int:
        self._parts.check()
        count = self._watch.look(_LOOK_SECONDS)
        show(stage)
        return count

    def _events(self) -> int:
        state = self._worker()
        return self._stream.judged if state is None else state.events

    def _worker(self) -> WorkerState | None:
        """Return how far the worker is; None while it is too busy to say."""
        try:
            return read_metrics(get(f"{self._parts.worker_url}/metrics").decode())
        except TimeoutError:
            return None


class _Stream(threading.Thread):
    """Sends the records, paced, beside those who watch."""

    def __init__(self, brokers: str, records: Iterable[Outgoing], speed: float, ahead: int) -> None:
        super().__init__(name="stream", daemon=True)
        self._brokers, self._outgoing = brokers, records
        self._speed, self._ahead = speed, ahead
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._latest_ms = 0
        self.sent = 0
        self.judged = 0
        """How many events the worker has judged; told from outside."""
        self.written: dict[str, int] = {}

    def run(self) -> None:
        try:
            self.written = RecordProducer(self._brokers).send(self._records(), speed=self._speed)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def _records(self) -> Iterator[Outgoing]:
        for record in self._outgoing:
            while self.sent - self.judged > self._ahead and not self._stopping.wait(0.05):
                pass
            if self._stopping.is_set():
                return
            yield record
            self._latest_ms = max(self._latest_ms, record.timestamp_ms)
            self.sent += 1

    def latest(self) -> datetime | None:
        """Return the time of the data that has been reached."""
        return datetime.fromtimestamp(self._latest_ms / 1000, UTC) if self._latest_ms else None

    def done(self) -> bool:
        """Tell whether everything was sent; raises what went wrong."""
        if self._error is not None:
            raise self._error
        return not self.is_alive()

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()

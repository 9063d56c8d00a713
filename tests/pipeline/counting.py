"""Cores that count, so that exactness can be checked by hand; driven by the real `Task`.

Every tenth event of a parcel is a decision, whose id says which parcel and which count. Each core
reports how many events it has seen once a minute of its clock; flow adds them up.
"""

from types import SimpleNamespace
from typing import Any

import msgspec

from detectors.base import Batch, Cell, Counts, Metric, Output
from detectors.decisions import Evidence, FeedReason, FeedResumed, instant
from detectors.scan_columns import ScanColumns
from detectors.table import Table, pack, unpack

EVERY = 10
POISON = "poison"
"""A carrier whose events break the core, after they have half changed it."""
_NEVER = float("-inf")


class CountingCore:
    """Counts events of a key; `source` names it in its counts."""

    def __init__(self, source: str, sources: int = 0) -> None:
        self.clock = _NEVER
        self._source = source
        self._seen = 0
        self._through: dict[str, int] = {}
        self._sources = sources
        self._table = Table("counting", {"count": "i8"})

    def room(self, arrivals: Any) -> int:
        """Return how many scans may come: it waits for nobody."""
        return len(arrivals)

    def hear(self, lessons: Any) -> None:
        """Take merged lessons, of which it says none."""

    @property
    def latest(self) -> float:
        """The largest clock reported, as flow has it."""
        return max(self._through.values(), default=_NEVER)

    def observe(self, batch: Batch[Any] | ScanColumns) -> list[Output]:
        """Count each event in order."""
        if isinstance(batch, ScanColumns):
            return self._scans(batch)
        outputs: list[Output] = []
        for event, arrival in zip(batch.events, batch.arrivals.tolist(), strict=True):
            if isinstance(event, Counts):
                self._heard(event)
            else:
                outputs += self._count(event.key, arrival)
        return outputs

    def _scans(self, scans: ScanColumns) -> list[Output]:
        outputs: list[Output] = []
        arrivals = scans.arrivals.tolist()
        for carrier, parcel, arrival in zip(
            scans.carriers, scans.parcel_ids, arrivals, strict=True
        ):
            outputs += self._count(f"{carrier}/{parcel}", arrival)
            if carrier == POISON:
                raise RuntimeError("this record breaks the core")
        return outputs

    def _count(self, key: str, arrival: float) -> list[Output]:
        outputs = self.advance(arrival)
        self._seen += 1
        row = self._table.add([key])
        self._table["count"][row] += 1
        count = int(self._table["count"][row[0]])
        if count % EVERY == 0:
            outputs.append(_decision(key, count, arrival))
        return outputs

    def advance(self, now: float) -> list[Output]:
        """Move the clock and report once a minute."""
        before, self.clock = self.clock, max(self.clock, now)
        if before // 60 == self.clock // 60 or self._sources:
            return []
        through = int(self.clock // 60 * 60)
        cell = Cell(Metric.SCANS, "swift", through, self._seen)
        self._seen = 0
        return [Counts(source=self._source, through=through, cells=(cell,))]

    def _heard(self, counts: Counts) -> None:
        self._through[counts.source] = max(self._through.get(counts.source, 0), counts.through)
        for cell in counts.cells:
            row = self._table.add([cell.series])
            self._table["count"][row] += cell.count

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._table)

    def counted(self) -> dict[str, int]:
        """Return how often each key was seen."""
        rows = self._table.rows().tolist()
        return {self._table.key(row): int(self._table["count"][row]) for row in rows}

    def dump(self, page: int, pages: int) -> bytes:
        """Return a page of keys."""
        return pack(1, {}, [self._table.dump(page, pages)])

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page of keys."""
        self._table.load(page, pages, unpack(1, blob)[1][0])

    def changes(self) -> bytes:
        """Return changed keys and the scalars."""
        scalars = {"clock": self.clock, "seen": self._seen, "through": self._through}
        return pack(1, scalars, [self._table.changes()])

    def apply(self, blob: bytes) -> None:
        """Apply changed keys and the scalars."""
        scalars, tables = unpack(1, blob)
        self.clock, self._seen = scalars["clock"], scalars["seen"]
        self._through = dict(scalars["through"])
        self._table.apply(tables[0])


def _decision(key: str, count: int, at: float) -> FeedResumed:
    evidence = Evidence(
        text="counted", unit="scans", observed=count, segment="test", observations=0,
        model="counting/1", config="test",
    )  # fmt: skip
    return FeedResumed(
        decision_id=f"{key}:{count}", episode_id=f"{key}:{count}", subject=f"carrier/{key}",
        decided_at=instant(at), evidence=evidence, carrier=key, reason=FeedReason.ARRIVALS_AGAIN,
        silent_since=instant(at),
    )  # fmt: skip


class _Builder(msgspec.Struct, frozen=True):
    max_parcels: int = 1_000_000
    max_customers: int = 1_000_000
    max_segments: int = 100

    def build(self, source: str = "", sources: Any = (), config_version: str = "") -> CountingCore:
        return CountingCore(source, 0 if source else len(sources))


def counting_config() -> Any:
    """Return what a `Task` needs of a configuration, with counting cores."""
    builder = _Builder()
    return SimpleNamespace(version="test", parcels=builder, complaints=builder, flow=builder)

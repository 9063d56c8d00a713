"""What a person watches while the demo runs: a table on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from detectors.decisions import FeedSilent, StallOpened, SurgeOpened
from pipeline.demo_watch import Seen
from pipeline.explain import money
from pipeline.ledger import State

_LINE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The demo at one moment."""

    stage: str
    simulated: datetime | None
    sent: int
    total: int
    events_per_second: float
    seen: Seen
    budget_a_day_minor: int
    currency: str

    def rows(self) -> list[tuple[str, str]]:
        """Return what is shown, as label and value."""
        remedies = self.seen.remedies()
        feeds = ", ".join(d.subject.removeprefix("carrier/") for d in self.seen.open(FeedSilent))
        surges = ", ".join(d.subject.removeprefix("region/") for d in self.seen.open(SurgeOpened))
        date = "" if self.simulated is None else f"{self.simulated:%a %Y-%m-%d %H:%M}"
        spent = money(self.seen.spent_minor(), self.currency)
        budget = money(self.budget_a_day_minor, self.currency)
        waiting = remedies[State.HELD] + remedies[State.PARKED]
        return [
            ("simulated", date),
            ("events", f"{self.sent:,} of {self.total:,}, {self.events_per_second:,.0f} a second"),
            ("stalls open", f"{len(self.seen.open(StallOpened)):,}"),
            ("stalls so far", f"{self.seen.kinds['stall.opened']:,}"),
            ("coupons", f"{self.seen.coupons():,} for {spent} (budget {budget} a day)"),
            ("held, refused", f"{waiting:,}, {remedies[State.REFUSED]:,}"),
            ("surging", surges or "none"),
            ("feeds silent", feeds or "none"),
        ]


class View(Protocol):
    """Shows frames."""

    def show(self, frame: Frame) -> None:
        """Show the latest."""
        ...


class _Table:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, frame: Frame) -> None:
        table = Table(title=f"forewarn demo: {frame.stage}", box=None, show_header=False)
        table.add_column(justify="right", style="dim")
        table.add_column(min_width=50)
        for label, value in frame.rows():
            table.add_row(label, Text(value))
        self._live.update(table)


class _Lines:
    """One line every few seconds: for logs and CI."""

    def __init__(self) -> None:
        self._next = 0.0
        self._stage = ""

    def show(self, frame: Frame) -> None:
        now = time.monotonic()
        if now < self._next and frame.stage == self._stage:
            return
        self._next, self._stage = now + _LINE_SECONDS, frame.stage
        values = dict(frame.rows())
        sys.stderr.write(
            f"{frame.stage}: {values['simulated'] or 'no data yet'}; {values['events']}; "
            f"stalls open {values['stalls open']}; coupons {values['coupons']}; "
            f"surging {values['surging']}; feeds silent {values['feeds silent']}\n"
        )
        sys.stderr.flush()


@contextmanager
def viewing(console: Console) -> Iterator[View]:
    """Return a table that changes in place on a terminal, else plain lines."""
    if not console.is_terminal:
        yield _Lines()
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield _Table(live)

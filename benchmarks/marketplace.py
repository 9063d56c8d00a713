"""A marketplace's real orders through a real Kafka and a real Redis; checks that the books balance.

The orders and reviews of a directory (the layout of Olist's public data set, see
`forewarn import-orders --help`) are written to the topics in order of their time, at many times
its speed. Worker, deliver and a coupon provider run as processes of their own. When everything is
judged and every remedy has ended, both sides of each account are compared:

- rows in = events' orders + complaints + content reviews + refused, by reason;
- events made = acknowledged = found in the topics = absorbed; absorbed = state changes + dead
  letters, by reason;
- every decision that a policy wants a remedy for has ended issued, refused, held or parked;
- Redis = the ledger, folded = the provider's own list.

    python -m benchmarks.marketplace --orders DIR [--speed 400000] [--delivered-weight 1] [--json]

Where Apache Kafka or Redis is not installed it says so and takes the embedded ones. The exit code
is 1 when anything does not balance.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from benchmarks import balance
from benchmarks.balance import Balance, counted
from configs.load import load_config
from pipeline import demo_books, quarantine
from pipeline.demo_parts import Parts, running
from pipeline.importer import Imported, import_orders, outgoing
from pipeline.marketplace import MissingTable, read_table
from pipeline.passage import Passage
from pipeline.producer import Outgoing
from pipeline.reading import read_to_end
from pipeline.settings import Kafka

SPEED: Final = 400_000.0
"""Four and a half days a second: a stall that lasts a day is still there when deliver looks."""
AHEAD: Final = 200
"""Some days of orders: a slow machine slows the data down."""
STUCK_SECONDS: Final = 300.0
"""Half a year without an order is many closed hours at once."""
_SHOW_SECONDS: Final = 10.0
_console = Console(stderr=True, width=110, highlight=False)


@dataclass(frozen=True)
class Places:
    """Where broker and Redis are, and what they are."""

    broker: str
    redis: str
    kinds: dict[str, str]


def main() -> int:
    """Run and compare; return the exit code."""
    options = _options()
    try:
        imported = import_orders(options.orders)
    except MissingTable as error:
        _console.print(f"{error}", style="red")
        return 2
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="forewarn-marketplace-"))
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        places = stack.enter_context(own_places(folder))
        parts = stack.enter_context(running(folder, places.broker, places.redis))
        found = run(
            parts,
            imported,
            list(outgoing(imported, parts.settings)),
            statuses(options.orders),
            places.kinds,
            speed=options.speed,
            weight=options.delivered_weight,
        )
    if options.json:
        print(msgspec.json.encode(found).decode())
    else:
        balance.show(found, Console(width=100, highlight=False))
    return 1 if found.differences() else 0


def run(
    parts: Parts,
    imported: Imported,
    records: Sequence[Outgoing],
    final: dict[str, str],
    kinds: dict[str, str],
    *,
    speed: float = SPEED,
    weight: float = 1.0,
) -> Balance:
    """Send the records, by their time, through parts that are ready; return the books."""
    kafka = parts.settings.kafka
    policies = load_config(parts.settings.config).policies
    ordered = sorted(records, key=lambda each: each.timestamp_ms)
    passage = Passage(
        parts,
        policies,
        ordered,
        len(ordered),
        speed=speed,
        ahead=AHEAD,
        stuck_seconds=STUCK_SECONDS,
    )
    began = time.monotonic()
    state = passage.run(_Progress(passage).show)
    letters = quarantine.read_all(kafka).letters
    return Balance(
        parts=kinds,
        seconds=time.monotonic() - began,
        rows=imported.books.report(),
        events=len(ordered),
        acknowledged=sum(passage.written.values()),
        in_topics=sum(_count(kafka, name) for name in ("tracking", "complaints")),
        absorbed=state.events,
        dead_letters=counted([letter.reason for letter in letters]),
        dead_letters_counted=state.dead_letters,
        decisions=counted([balance.named(each) for each in passage.seen.decisions]),
        books=demo_books.compare(parts),
        rates=balance.rates(passage.seen.decisions, final, weight),
        **balance.remedies(passage.seen, policies),
    )


def statuses(folder: Path) -> dict[str, str]:
    """Return the final status of every order. Raises `MissingTable`."""
    return {str(row["order_id"]): str(row["order_status"]) for row in read_table(folder, "orders")}


def _count(kafka: Kafka, name: str) -> int:
    return sum(1 for _ in read_to_end(kafka, kafka.topic(name)))


class _Progress:
    """A line now and then."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._next = 0.0

    def show(self, stage: str) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SHOW_SECONDS
        passage, latest = self._passage, self._passage.latest()
        remedies = ", ".join(f"{n:,} {state}" for state, n in passage.seen.remedies().items())
        date = "no data yet" if latest is None else f"{latest:%Y-%m-%d}"
        _console.print(f"{stage}: {date}; {passage.sent:,} of {passage.total:,} sent; {remedies}")


@contextmanager
def own_places(folder: Path) -> Iterator[Places]:
    """Start an Apache Kafka and a Redis; where one is not installed, the embedded one."""
    from tests import real_parts  # noqa: PLC0415  # tests are not needed elsewhere

    with ExitStack() as stack:
        for name in ("kafka", "redis"):
            (folder / name).mkdir()
        broker = stack.enter_context(real_parts.running_broker(folder / "kafka"))
        redis = stack.enter_context(real_parts.running_redis(folder / "redis"))
        for name, part in (("Apache Kafka", broker), ("Redis", redis)):
            if not part.real:
                _console.print(f"{name} is not installed: using the embedded one", style="yellow")
        kinds = {
            "broker": "Apache Kafka" if broker.real else "embedded broker",
            "redis": "Redis" if redis.real else "embedded Valkey",
        }
        yield Places(broker.bootstrap, redis.url, kinds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a marketplace's orders; check the books.")
    parser.add_argument("--orders", type=Path, required=True, help="directory with orders.csv, …")
    parser.add_argument("--speed", type=float, default=SPEED, help="times as fast as the data")
    parser.add_argument(
        "--delivered-weight",
        type=float,
        default=1.0,
        help="how many delivered orders each delivered one in the tables stands for",
    )
    parser.add_argument("--keep", type=Path, help="folder for logs that is kept")
    parser.add_argument("--json", action="store_true", help="print the books as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

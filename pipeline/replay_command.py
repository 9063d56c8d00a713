"""`forewarn replay`: files in, decisions and a scorecard out."""

import base64
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from configs.load import load_config
from pipeline.garbage import collect_seldom
from pipeline.recordings import Block, ScanBlock, is_packed
from pipeline.records import DeadLetter
from pipeline.replay import replay
from pipeline.scorecard import read_truth, score, show
from pipeline.settings import Settings
from pipeline.task import Input

_encode: Final = msgspec.json.Encoder().encode


def replay_command(
    *,
    decisions: Annotated[Path, typer.Option(dir_okay=False, help="Where decisions are written.")],
    tracking: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Scans: NDJSON, plain, gzip or zstd."),
    ] = None,
    complaints: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Complaints, likewise; both repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Directory of the configuration; default: the shipped one.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Truth of a simulated world, to score by."),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Default: kafka.partitions (4).")
    ] = None,
    dead_letters: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Where refused lines are written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scorecard as JSON.")] = False,
) -> None:
    """Run the worker's detectors and configuration over files, and score what they say.

    Files are merged by arrival. With as many partitions as the topics have, the decisions are
    those of the worker.

    Example: forewarn replay --tracking world/tracking.ndjson --complaints world/complaints.ndjson
    --truth world/truth.ndjson --decisions decisions.ndjson
    """
    if not tracking and not complaints:
        raise typer.BadParameter("nothing to read: give --tracking or --complaints (or both)")
    settings = Settings.load()
    loaded = load_config(config or settings.config)
    truths = None if truth is None else read_truth(truth)
    named = _Named()
    collect_seldom()
    began = time.monotonic()
    with _progress([*(tracking or ()), *(complaints or ())]) as seen:
        replayed = replay(
            loaded,
            tracking or (),
            complaints or (),
            partitions or settings.kafka.partitions,
            seen=seen,
            read=named.read,
        )
    seconds = time.monotonic() - began
    _write(decisions, (_encode(each) for each in replayed.decisions))
    if dead_letters is not None:
        _write(dead_letters, (_encode(_dead(*each)) for each in replayed.dead))
    card = score(replayed, named.times, truths, seconds)
    if as_json:
        typer.echo(_encode(card).decode())
    else:
        show(card, Console())


class _Named:
    """Remembers when complaints named which parcel."""

    def __init__(self) -> None:
        self.times: dict[str, list[datetime]] = defaultdict(list)

    def read(self, source: Input, lines: Block) -> None:
        """Take note of a block of lines."""
        if source is Input.COMPLAINTS and not isinstance(lines, ScanBlock):
            for line in lines:
                if line.parcel_id and math.isfinite(line.arrival):
                    at = datetime.fromtimestamp(line.arrival, UTC)
                    self.times[line.parcel_id].append(at)


@contextmanager
def _progress(paths: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """Show how far the files are read, on a terminal; packed ones have no known end."""
    sizes = [path.stat().st_size for path in paths if not is_packed(path)]
    total = sum(sizes) if len(sizes) == len(paths) else None
    console = Console(stderr=True)
    columns = (TextColumn("replaying"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    if not console.is_terminal:
        yield lambda _: None
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda size: progress.advance(task, size)


def _write(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)


class _Dead(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refused line as written to a file."""

    input: str
    reason: str
    detail: str
    value: str | None
    """The line, if it is text."""
    value_base64: str | None = None
    """The line, if it is not."""


def _dead(source: Input, dead: DeadLetter) -> _Dead:
    value = dead.record.value or b""
    try:
        return _Dead(source.value, dead.reason, dead.detail, value.decode())
    except UnicodeDecodeError:
        packed = base64.b64encode(value).decode()
        return _Dead(source.value, dead.reason, dead.detail, None, packed)

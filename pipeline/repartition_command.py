"""`forewarn repartition`: more (or fewer) partitions for a running system."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from configs.load import load_config
from pipeline import logging
from pipeline.draining import Told
from pipeline.failures import Failure
from pipeline.repartition import Moved, Plan, Progress, Repartition
from pipeline.settings import Kafka, Settings


def repartition_command(  # one parameter a flag
    to: Annotated[int, typer.Option("--to", min=1, max=1024, help="How many partitions.")],
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="Of the new topics; else the old one and -N.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Of the new workers; else the new prefix.")
    ] = None,
    *,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make the new topics, sealed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would move; nothing need be stopped.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Go back: open the old topics again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Move a running system to another number of partitions, with its state and its money.

    Example: forewarn repartition --to 12 --prepare

    Run it with the settings of the running system. With --prepare it makes the new topics. Then
    stop the workers and deliver, switch the producers to the new topics, and run it again without
    --prepare. Killed, it goes on when it is run again. docs/scaling.md shows all steps.
    """
    if prepare + dry_run + cancel > 1:
        raise typer.BadParameter("--prepare, --dry-run and --cancel exclude each other")
    settings = Settings.load()
    logging.configure(settings.log, process="repartition")
    new = _new(settings.kafka, to, prefix, group)
    began = time.monotonic()
    with _bars(quiet=as_json) as progress:
        work = Repartition(settings, new, load_config(settings.config), progress)
        what, moved = _do(work, prepare=prepare, dry_run=dry_run, cancel=cancel)
    summary = _summary(settings, new, what, moved, time.monotonic() - began)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _tell(what, settings, new, moved)


def _do(
    work: Repartition, *, prepare: bool, dry_run: bool, cancel: bool
) -> tuple[str, Moved | Plan | None]:
    if prepare:
        work.prepare()
        return "prepared", None
    if cancel:
        work.cancel()
        return "cancelled", None
    if work.done():
        return "moved before", None
    return ("would move", work.plan()) if dry_run else ("moved", work.move())


def _new(old: Kafka, to: int, prefix: str | None, group: str | None) -> Kafka:
    name = prefix or f"{old.prefix}-{to}"
    changed = {"prefix": name, "group": group or name, "partitions": to}
    try:
        return Kafka.model_validate(old.model_dump() | changed)
    except ValueError as error:
        raise Failure(f"--prefix {name}, --group {group or name}: {error}") from error


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Progress]:
    """One bar a step, on standard error."""
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Bars(*columns, TimeElapsedColumn(), console=console, disable=quiet) as bars:

        def step(name: str) -> Told:
            return _bar(bars, bars.add_task(name, total=None))

        yield step


def _bar(bars: Bars, number: TaskID) -> Told:
    def told(done: int, total: int) -> None:
        bars.update(number, completed=done, total=total)

    return told


def _summary(
    settings: Settings, new: Kafka, what: str, moved: Moved | Plan | None, seconds: float
) -> dict[str, object]:
    old = settings.kafka
    return {
        "result": what,
        "from": {"prefix": old.prefix, "group": old.group, "partitions": old.partitions},
        "to": {"prefix": new.prefix, "group": new.group, "partitions": new.partitions},
        **(vars(moved) if moved else {}),
        "seconds": round(seconds, 3),
    }


def _tell(what: str, settings: Settings, new: Kafka, moved: Moved | Plan | None) -> None:
    old = settings.kafka
    typer.echo(
        f"{what}: {old.prefix}.* with {old.partitions} partitions to {new.prefix}.* "
        f"with {new.partitions}"
    )
    if moved is not None:
        typer.echo(f"  {sum(moved.parcels):,} parcels, by partition {_listed(moved.parcels)}")
        typer.echo(f"  {sum(moved.customers):,} customers")
        typer.echo(f"  {sum(moved.state_bytes):,} bytes of state")
        if isinstance(moved, Plan):
            typer.echo(f"  after {moved.records_waiting:,} records that wait in the old inputs")
        else:
            typer.echo(
                f"  {moved.entries:,} entries of the ledger, {moved.requests:,} requests and "
                f"{moved.decisions:,} decisions that deliver had not come to"
            )
            typer.echo(f"  after {moved.records_absorbed:,} records left in the old inputs")
    _tell_next(what, old, new)


def _tell_next(what: str, old: Kafka, new: Kafka) -> None:
    if what == "prepared":
        typer.echo(
            "Now, in this order: stop the workers and deliver; switch every producer to "
            f"{new.topic('tracking')} and {new.topic('complaints')}; run this command again "
            "without --prepare."
        )
    elif what.startswith("moved"):
        typer.echo("Now start workers and deliver with")
        for name, value in (
            ("KAFKA__PREFIX", new.prefix),
            ("KAFKA__GROUP", new.group),
            ("KAFKA__PARTITIONS", new.partitions),
            ("REDIS__PREFIX", new.prefix),
        ):
            typer.echo(f"  FOREWARN_{name}={value}")
    elif what == "cancelled":
        typer.echo(
            f"Workers and deliver may be started with {old.prefix} again; what producers wrote to "
            f"{new.prefix}.* was read by nobody."
        )


def _listed(counts: list[int]) -> str:
    return " ".join(f"{count:,}" for count in counts)

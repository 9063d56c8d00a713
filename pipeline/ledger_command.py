"""`forewarn ledger`: what was promised and paid, what waits for a person, whether it is true."""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from pipeline.books import (
    listed_coupons,
    read_redis,
    reconcile,
    summary_of,
)
from pipeline.failures import Failure
from pipeline.ledger import State
from pipeline.ledger_rebuild import rebuild
from pipeline.ledger_view import Row, history, named, read_books, rows, write_csv
from pipeline.ledger_word import Word, await_effect, say, waiting
from pipeline.remedies import Verdict
from pipeline.settings import Settings

ledger_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What was promised and paid, what waits for a person, and whether it is all true.",
)

Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Name = Annotated[str, typer.Argument(help="A parcel, an order, a customer or a remedy's id.")]
Who = Annotated[str, typer.Option("--who", help="Who says so: a name the company knows.")]
Why = Annotated[str, typer.Option("--why", help="Why: kept in the ledger.")]
Everything = Annotated[bool, typer.Option("--all", help="Every remedy of that name that waits.")]
Seconds = Annotated[float, typer.Option("--wait", help="Seconds to wait for the effect.")]


@ledger_app.command("show")
def show_command(name: Name, as_json: Json = False) -> None:  # noqa: FBT002
    """Tell the history of the remedies of a parcel, an order or a customer.

    Example: forewarn ledger show 1Z999AA10123456784
    """
    kafka = Settings.load().kafka
    found = named(rows(read_books(kafka)), name)
    if not found:
        raise Failure(f"the ledger has no remedy for {name}")
    histories = [(row, history(kafka, row)) for row in found]
    if as_json:
        _print_json([msgspec.to_builtins(row) | {"history": msgspec.to_builtins(events)}
                     for row, events in histories])  # fmt: skip
        return
    for row, events in histories:
        typer.echo(
            f"{row.remedy_id}: {row.state} {row.reason} {row.amount} for {row.subject}, rule "
            f"{row.rule}, decided {row.decided_at}"
        )
        for event in events:
            said = (event.at, event.what, event.reason, event.who, event.detail)
            typer.echo("  " + "  ".join(part for part in said if part))


@ledger_app.command("list")
def list_command(
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only these; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most lines.")] = 1000,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List remedies, newest first.

    Example: forewarn ledger list --state held --state parked
    """
    wanted = {str(one) for one in state or State}
    found = [row for row in rows(read_books(Settings.load().kafka)) if row.state in wanted]
    found.sort(key=lambda row: row.decided_at, reverse=True)
    if as_json:
        _print_json(msgspec.to_builtins(found[:limit]))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("remedy", "state", "reason", "waits for", "amount", "subject", "decided"):
        table.add_column(title, no_wrap=True)
    for row in found[:limit]:
        table.add_row(*(_plain(part) for part in _line(row)))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    counts = Counter(row.state for row in found)
    typer.echo(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none")


def _line(row: Row) -> tuple[str, ...]:
    decided = row.decided_at
    return row.remedy_id, row.state, row.reason, row.waits_for, row.amount, row.subject, decided


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


@ledger_app.command("approve")
def approve_command(
    name: Name,
    who: Who,
    why: Why,
    found: Annotated[
        str | None,
        typer.Option("--found", help="It is there already: the provider's name for the coupon."),
    ] = None,
    expires_hours: Annotated[
        float, typer.Option("--expires-hours", min=0.01, help="Without effect after this.")
    ] = 24.0,
    everything: Everything = False,  # noqa: FBT002
    wait: Seconds = 30.0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Give what is held, within budgets and caps; ask again for what is parked, with the same key.

    Example: forewarn ledger approve P1 --who "Li Wei" --why "called the customer"

    Example: forewarn ledger approve P1 --who "Li Wei" --why "it is in their list" --found c_123

    A provider that cannot be asked twice is not: look at its list, then --found or reject.
    """
    verdict = Verdict.APPROVE if found is None else Verdict.FOUND
    word = Word(verdict=verdict, who=who, why=why, expires_hours=expires_hours, reference=found)
    _rule(name, word, everything=everything, wait=wait, as_json=as_json)


@ledger_app.command("reject")
def reject_command(
    name: Name,
    who: Who,
    why: Why,
    everything: Everything = False,  # noqa: FBT002
    wait: Seconds = 30.0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Do not give what is held or parked; its money is free again.

    Example: forewarn ledger reject P1 --who "Li Wei" --why "the same customer, third name"

    Of what is parked the provider may have made a coupon: look there first.
    """
    word = Word(verdict=Verdict.REJECT, who=who, why=why)
    _rule(name, word, everything=everything, wait=wait, as_json=as_json)


def _rule(name: str, word: Word, *, everything: bool, wait: float, as_json: bool) -> None:
    settings = Settings.load()
    found = waiting(settings.kafka, name)
    if len(found) > 1 and not everything:
        listed = ", ".join(f"{row.remedy_id} ({row.state} {row.reason})" for row in found)
        raise Failure(f"{len(found)} remedies of {name} wait: {listed}. Name one, or say --all")
    if not settings.coupons.idempotent and word.verdict is Verdict.APPROVE:
        parked = [row.remedy_id for row in found if row.state == State.PARKED]
        if parked:
            raise Failure(
                f"{', '.join(parked)}: this provider cannot be asked twice. Look at its list, "
                "then say approve --found NAME, or reject"
            )
    outcomes = []
    for row in found:
        say(settings.kafka, row, word)
        after = await_effect(settings.kafka, row, wait)
        outcomes.append({"remedy_id": row.remedy_id, "state": after.state if after else None})
    if as_json:
        _print_json(outcomes)
    else:
        for outcome in outcomes:
            what = outcome["state"] or f"no effect in {wait:g} s; is `forewarn deliver` running?"
            typer.echo(f"{outcome['remedy_id']}: {what}")
    if any(outcome["state"] is None for outcome in outcomes):
        sys.exit(1)


@ledger_app.command("export")
def export_command(
    file: Annotated[
        Path | None, typer.Option("--csv", help="Where to; standard output without.")
    ] = None,
) -> None:
    """Write every remedy as CSV that is safe to open in a spreadsheet.

    Example: forewarn ledger export --csv remedies.csv
    """
    found = rows(read_books(Settings.load().kafka))
    with contextlib.ExitStack() as stack:
        stream = sys.stdout
        if file is not None:
            stream = stack.enter_context(file.open("w", encoding="utf-8-sig", newline=""))
        count = write_csv(found, stream)
    typer.echo(f"{count} remedies", err=True)


@ledger_app.command("rebuild")
def rebuild_command(
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.")] = 300.0,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Have Redis rebuilt from the ledger; it happens by itself whenever Redis differs.

    Example: forewarn ledger rebuild

    The owners of the partitions do it: no money moves until all have. Nothing is lost.
    """
    settings = Settings.load()
    books = read_books(settings.kafka)

    def progress(done: int, of: int) -> None:
        typer.echo(f"rebuilding: {done} of {of} remedies", err=True)

    done = asyncio.run(rebuild(settings, books, wait, progress))
    if as_json:
        _print_json({"rebuilt": done})
    elif done:
        typer.echo("Redis is as the ledger says.")
    if not done:
        raise Failure(f"not rebuilt in {wait:g} s: is a `forewarn deliver` running?")


@ledger_app.command("verify")
def verify_command(
    provider: Annotated[
        str | None,
        typer.Option("--provider", help="URL that lists the provider's coupons as JSON."),
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Compare ledger, Redis and provider and print what differs; exit code 1 when anything does.

    Example: forewarn ledger verify --provider https://coupons.example.com/list

    Compare when nothing is under way, or differences of the last moments show.
    """
    settings = Settings.load()
    books = read_books(settings.kafka)
    cache = asyncio.run(read_redis(settings))
    coupons = None if provider is None else listed_coupons(provider)
    found = reconcile(books, cache, coupons)
    summary = summary_of(books) | {"remedies_in_redis": len(cache.states)}
    if as_json:
        _print_json({**summary, "differences": [msgspec.to_builtins(one) for one in found]})
    else:
        for name, value in summary.items():
            typer.echo(f"{name}: {value}")
        for one in found:
            typer.echo(f"{one.what}: {one.key}: {one.detail}", err=True)
        typer.echo("The books balance." if not found else f"{len(found)} differences.")
    if found:
        sys.exit(1)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))

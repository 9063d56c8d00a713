"""`forewarn dead-letters`: what could not be read, why, and how to have another try."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.letters import Stored
from pipeline.limits import printable
from pipeline.quarantine import Selection, Shelf, read_all, replay
from pipeline.settings import Settings

_SHOWN_BYTES: Final = 4096
_PIPE_COLUMNS: Final = 240
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

dead_letters_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What could not be read, and why. Example: forewarn dead-letters list --reason too_deep",
)


class NoSuchLetter(Exception):
    """There is no dead letter of that name."""

    exit_code = 1


def moment(text: str) -> int:
    """Turn `2026-03-01T12:00:00Z` or an age such as `90m`, `24h`, `7d` into milliseconds.

    Raises `typer.BadParameter` for anything else.
    """
    if text[:-1].isdecimal() and text[-1:] in _UNITS:
        age = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return int((time.time() - age.total_seconds()) * 1000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("wanted: 2026-03-01T12:00:00Z, 90m, 24h or 7d") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _name(text: str) -> str:
    partition, _, offset = text.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not partition/offset, e.g. 2/1041")
    return f"{int(partition)}/{int(offset)}"


_Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Only these reasons (may be repeated).")
]
_Since = Annotated[
    int | None,
    typer.Option(
        "--since", parser=moment, metavar="TIME", help="Only from then on: RFC 3339, or 24h, 7d."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a letter.")]


@dead_letters_app.command("list")
def list_command(
    *,
    reason: _Reasons = None,
    since: _Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List dead letters, newest last.

    Example: forewarn dead-letters list --reason ahead_of_arrival --since 24h
    """
    settings = Settings.load()
    shelf = read_all(settings.kafka, Selection(frozenset(reason or ()), since))
    shown = shelf.letters[-limit:]
    if as_json:
        for letter in shown:
            typer.echo(msgspec.json.encode(_described(letter, shelf)))
        return
    if not shown:
        typer.echo("No dead letters." if not (reason or since) else "No such dead letters.")
        return
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width).print(_table(shown, shelf))
    more = len(shelf.letters) - len(shown)
    if more:
        typer.echo(f"{more} older ones are not shown: --limit {len(shelf.letters)}")


@dead_letters_app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="partition/offset, as `list` prints it.")],
    *,
    as_json: _Json = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the raw value alone, as it is.")
    ] = False,
) -> None:
    """Show one dead letter wholly; what is no text is shown as a hex dump.

    Example: forewarn dead-letters show 2/1041
    """
    settings = Settings.load()
    shelf = read_all(settings.kafka, Selection(names=frozenset({_name(name)})))
    if not shelf.letters:
        raise NoSuchLetter(f"there is no dead letter {name}; forewarn dead-letters list shows all")
    letter = shelf.letters[0]
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
    elif as_json:
        typer.echo(msgspec.json.encode(_described(letter, shelf) | _raw(letter)))
    else:
        typer.echo("\n".join(_page(letter, shelf)))


@dead_letters_app.command("replay")
def replay_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="partition/offset, as `list` prints it.")
    ] = None,
    *,
    reason: _Reasons = None,
    since: _Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    restamp: Annotated[
        bool,
        typer.Option(
            "--restamp",
            help="Give the records the present time as their timestamp, not their own.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Write raw records back to the topics and partitions they came from, each once.

    Example: forewarn dead-letters replay --reason unknown_version --dry-run

    A record that was written back is not written back again, also if this is interrupted and
    run once more. One that still cannot be read becomes a new dead letter.
    """
    selection = Selection(frozenset(reason or ()), since, frozenset(map(_name, names or ())))
    if selection == Selection() and not everything:
        raise typer.BadParameter("name some, or give --reason, --since or --all")
    kafka = Settings.load().kafka
    if dry_run:
        shelf = read_all(kafka, selection)
        waiting = [letter for letter in shelf.letters if letter.name not in shelf.replayed]
        _tell("would write back", waiting)
        return
    with Console(stderr=True).status("writing back") as status:
        done = replay(
            kafka,
            selection,
            now_ms=int(time.time() * 1000) if restamp else None,
            done=lambda count: status.update(f"writing back: {count:,}"),
        )
    _tell("wrote back", done)


def _tell(what: str, letters: list[Stored]) -> None:
    for letter in letters[:20]:
        typer.echo(f"{letter.name} -> {_source(letter)}  {letter.reason}")
    if len(letters) > 20:
        typer.echo(f"… and {len(letters) - 20} more")
    typer.echo(f"{what} {len(letters)} {'record' if len(letters) == 1 else 'records'}")


def _table(letters: list[Stored], shelf: Shelf) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("letter", "since", "reason", "from", "key", "replayed", "detail"):
        table.add_column(column, overflow="fold" if column == "detail" else "ellipsis")
    for letter in letters:
        cells = (
            letter.name,
            _time(letter.stored_ms),
            printable(letter.reason, 40),
            _source(letter),
            _text(letter.key, 40),
            "yes" if letter.name in shelf.replayed else "",
            printable(letter.detail, 500),
        )
        table.add_row(*map(Text, cells))  # as Text: brackets in them are no markup
    return table


def _described(letter: Stored, shelf: Shelf) -> dict[str, Any]:
    return {
        "letter": letter.name,
        "stored_at": _time(letter.stored_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": letter.source_partition,
        "offset": letter.source_offset,
        "timestamp_ms": letter.source_timestamp_ms,
        "key": _text(letter.key, _SHOWN_BYTES) if letter.key is not None else None,
        "value_bytes": None if letter.value is None else len(letter.value),
        "replayed": letter.name in shelf.replayed,
    }


def _raw(letter: Stored) -> dict[str, Any]:
    """Return what only base64 keeps exactly."""
    return {
        "key_base64": letter.key,
        "value_base64": letter.value,
        "headers": [{"name": name, "value_base64": value} for name, value in letter.headers],
    }


def _page(letter: Stored, shelf: Shelf) -> Iterator[str]:
    yield f"letter     {letter.name}, stored {_time(letter.stored_ms)}"
    yield f"reason     {letter.reason}"
    yield f"detail     {printable(letter.detail, _SHOWN_BYTES)}"
    yield f"from       {_source(letter)}, timestamp {_time(letter.source_timestamp_ms)}"
    yield f"replayed   {'yes' if letter.name in shelf.replayed else 'no'}"
    yield f"key        {_text(letter.key, _SHOWN_BYTES)}"
    for name, value in letter.headers:
        yield f"header     {printable(name, 200)}: {_text(value, 400)}"
    if letter.value is None:
        yield "value      none (null record)"
        return
    yield f"value      {len(letter.value)} bytes"
    shown = letter.value[:_SHOWN_BYTES]
    try:
        text = shown.decode("utf-8")
    except UnicodeDecodeError:
        yield from _hex(shown)
    else:
        yield from (printable(line, _SHOWN_BYTES) for line in text.split("\n"))
    if len(letter.value) > _SHOWN_BYTES:
        yield f"… {len(letter.value) - _SHOWN_BYTES} more bytes: --raw prints all of them"


def _hex(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):<47}  {text}"


def _source(letter: Stored) -> str:
    return f"{letter.topic}/{letter.source_partition}/{letter.source_offset}"


def _text(value: bytes | None, limit: int) -> str:
    if value is None:
        return "none"
    return printable(value.decode("utf-8", "backslashreplace"), limit)


def _time(milliseconds: int) -> str:
    if milliseconds <= 0:
        return "none"
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return at.isoformat(timespec="milliseconds")

"""The command `forewarn`: one entry a command, each in the module of what it does.

Only the module of the command that was asked for is imported, so `forewarn --help` is quick and
`forewarn check` needs no broker library. Exit codes: 0 done, 1 failed, 2 wrong usage, settings
or configuration. Results go to standard output, messages to standard error.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from pipeline import __version__


class Entry(NamedTuple):
    """One command: what it is called, where it is, what it is for."""

    name: str
    target: str
    """`module:attribute`, a function or a `typer.Typer` of sub-commands."""
    summary: str


ENTRIES: Final = (
    Entry("demo", "pipeline.demo:demo_command", "See it all work, on this machine alone."),
    Entry("worker", "pipeline.run:worker_command", "Judge events: Kafka in, decisions out."),
    Entry("deliver", "pipeline.run:deliver_command", "Decisions in, coupons and alerts out."),
    Entry("topics", "pipeline.topics_command:topics_app", "Create or check Forewarn's topics."),
    Entry(
        "repartition",
        "pipeline.repartition_command:repartition_command",
        "More partitions for a running system.",
    ),
    Entry("simulate", "pipeline.simulate:simulate_command", "Make parcels with planted trouble."),
    Entry("ingest", "pipeline.ingest.command:ingest_command", "Pour in what carriers send."),
    Entry("import-orders", "pipeline.importer:import_command", "Turn a shop's orders into events."),
    Entry("replay", "pipeline.replay_command:replay_command", "Run the same detectors over files."),
    Entry("surges", "pipeline.surges_command:surges_app", "Score counts of any kind for surges."),
    Entry("explain", "pipeline.explain_command:explain_command", "Tell why a parcel was flagged."),
    Entry("effect", "pipeline.effect_command:effect_command", "Tell whether remedies work."),
    Entry("check", "pipeline.check:check_command", "Check a configuration."),
    Entry("test", "pipeline.case_command:case_command", "Try detectors and policies on cases."),
    Entry("preview", "pipeline.preview:preview_command", "Look at what customers would read."),
    Entry(
        "dead-letters", "pipeline.dead_letters:dead_letters_app", "What was unreadable, and why."
    ),
    Entry(
        "ledger",
        "pipeline.ledger_command:ledger_app",
        "What was promised and paid, and what waits for a person.",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        application(wanted(words))(args=words, prog_name="forewarn")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): not a failure. Nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        failures = importlib.import_module("pipeline.failures")
        raise SystemExit(failures.report(error)) from error


def wanted(words: Sequence[str]) -> str | None:
    """Return the command among the words of a command line: the first that is no option."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--settings":
            skip = True
        elif not word.startswith("-"):
            return word
    return None


def application(command: str | None = None) -> typer.Typer:
    """Return the command line with one command ready and the others only by name and summary."""
    app = typer.Typer(
        name="forewarn",
        help="Warns of stalled parcels and surging complaints before the customer complains.",
        epilog="Example: forewarn demo     Help on a command: forewarn worker --help",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for entry in ENTRIES:
        target = load(entry) if entry.name == command else _not_loaded
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=entry.name, help=entry.summary)
        else:
            app.command(entry.name, short_help=entry.summary)(target)
    return app


def load(entry: Entry) -> Callable[..., Any] | typer.Typer:
    """Import the module of a command and return its function or its group."""
    module, attribute = entry.target.split(":")
    target: Callable[..., Any] | typer.Typer = getattr(importlib.import_module(module), attribute)
    return target


def _not_loaded() -> None:
    """Stand in for a command that was not asked for, in the list of commands."""


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"forewarn {__version__}")
        raise typer.Exit


def _options(
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="YAML or TOML file of settings; also FOREWARN_SETTINGS.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    if settings is not None:
        # By the variable, so that processes started from here read the same file.
        os.environ["FOREWARN_SETTINGS"] = str(settings.resolve())


if __name__ == "__main__":
    main()

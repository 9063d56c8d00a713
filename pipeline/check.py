"""`forewarn check`: says whether a configuration is right, and if not, where it is wrong."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.load import SHIPPED, Config, load_config
from configs.problems import ConfigError, Problem
from pipeline.failures import USAGE
from pipeline.lints import find
from pipeline.settings import Settings


def check_command(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Directory of detectors.yaml and policies.yaml; without it the shipped ones.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - a flag of a command
) -> None:
    """Check the configuration and the settings; every problem with file, line and field.

    Also of rules: never reached, sharing decisions, beyond authority or budgets, in another
    currency, with texts that name unknown facts or promise what is not given.

    Example: forewarn check --config my-config

    Exit code 0 when all is right (warnings may be meant), 2 when not.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    loaded: Config | None = None
    try:
        Settings.load()
    except ConfigError as error:
        problems += error.problems
    try:
        loaded = load_config(config)
    except ConfigError as error:
        problems += error.problems
    if loaded is not None:
        found = find(loaded)
        problems += found.errors
        warnings += found.warnings
    if as_json:
        report = {
            "ok": not problems,
            "problems": [asdict(problem) for problem in problems],
            "warnings": [asdict(problem) for problem in warnings],
        }
        typer.echo(json.dumps(report | _about(loaded)))
    else:
        for problem in problems:
            typer.echo(f"error: {problem}", err=True)
        for problem in warnings:
            typer.echo(f"warning: {problem}", err=True)
        if loaded is not None and not problems:
            typer.echo(_summary(loaded))
    if problems:
        raise typer.Exit(USAGE)


def _about(config: Config | None) -> dict[str, Any]:
    if config is None:
        return {}
    return {"version": config.version, "files": [str(path) for path in config.files]}


def _summary(config: Config) -> str:
    lines = [f"ok: {path}" for path in config.files]
    lines.append(f"version {config.version}")
    if all(path.parent == SHIPPED for path in config.files):
        lines.append(f"These files ship with Forewarn; copy {SHIPPED} to change them.")
    return "\n".join(lines)

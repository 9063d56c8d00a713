"""`forewarn test`: cases of detectors and policies, in virtual time, with readable differences."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from configs.case_schema import Cases
from configs.load import SHIPPED, Config, load_config
from configs.problems import ConfigError, Problem, problems_of
from configs.source import Source, read_source
from pipeline.cases import Difference, run
from pipeline.failures import Failure
from pipeline.settings import Settings

FOLDER = "cases"


def case_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            help="Files or directories of cases; default: `cases` of the configuration.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None, typer.Option(help="Directory of the configuration; default: the shipped one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try detectors and policies on cases: what happens, and what must be said and given.

    Example: forewarn test --config my-config

    Example: forewarn test my-config/cases/weekend.yaml --config my-config

    Exit code 0 when all is as expected, 1 when not.
    """
    chosen = config or Settings.load().config
    loaded = load_config(chosen)
    files = list(_files(paths or [(chosen or SHIPPED) / FOLDER]))
    if not files:
        raise Failure("no cases: give files, or put some into the configuration's folder `cases`")
    results = [result for file in files for result in _results(file, loaded)]
    failed = [result for result in results if not result["ok"]]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "cases": results}))
    else:
        _show(results)
    if failed:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    return [path for path in found if path.exists()]


def _results(file: Path, config: Config) -> list[dict[str, Any]]:
    source = read_source(file)
    cases = _read(source)
    results = []
    for index, case in enumerate(cases.cases):
        _, line = source.place(("cases", index))
        differences = _run(source, index, cases, config)
        results.append(
            {
                "file": str(file),
                "line": line,
                "name": case.name,
                "ok": not differences,
                "differences": [
                    {"wanted": each.wanted, "found": each.found} for each in differences
                ],
            }
        )
    return results


def _read(source: Source) -> Cases:
    try:
        return Cases.model_validate(source.data)
    except ValidationError as error:
        raise ConfigError(problems_of(error, Cases, source.place)) from None


def _run(source: Source, index: int, cases: Cases, config: Config) -> list[Difference]:
    """Run one; what cannot be an event or a decision is a problem of the file."""
    try:
        return run(cases.cases[index], config)
    except ValueError as error:
        file, line = source.place(("cases", index))
        raise ConfigError([Problem(file, line, f"cases[{index}]", str(error))]) from error


def _show(results: list[dict[str, Any]]) -> None:
    for result in results:
        if result["ok"]:
            continue
        typer.echo(f"FAILED {result['file']}:{result['line']}: {result['name']}")
        for each in result["differences"]:
            difference = Difference(each["wanted"], each["found"])
            typer.echo("\n".join(f"    {line}" for line in str(difference).splitlines()))
    failed = sum(not result["ok"] for result in results)
    typer.echo(f"{len(results) - failed} of {len(results)} cases are as expected.")

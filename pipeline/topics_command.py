"""`forewarn topics`: create Forewarn's topics, or say what is wrong with them."""

import json
from typing import Annotated, Final

import typer

from pipeline import topics
from pipeline.failures import FAILURE
from pipeline.settings import Settings

topics_app: Final = typer.Typer(
    help="Create or check Forewarn's topics. Example: forewarn topics create",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@topics_app.command("create")
def create_command(*, as_json: Json = False) -> None:
    """Create every topic that is missing; what exists is left as it is and checked.

    Example: FOREWARN_KAFKA__REPLICATION=3 forewarn topics create
    """
    kafka = Settings.load().kafka
    done = topics.create(kafka)
    problems = topics.check(kafka)
    if as_json:
        made = [{"topic": spec.name, "action": str(action)} for spec, action in done]
        typer.echo(json.dumps({"topics": made, "problems": list(map(str, problems))}))
    else:
        width = max(len(spec.name) for spec, _ in done)
        for spec, action in done:
            typer.echo(
                f"{action!s:8} {spec.name:{width}}  {spec.partitions} partitions, "
                f"replication {spec.replication}: {spec.purpose}"
            )
    _tell(problems, as_json=as_json)


@topics_app.command("check")
def check_command(*, as_json: Json = False) -> None:
    """Say what is wrong with the topics, and the command that mends it.

    Example: forewarn topics check --json
    """
    kafka = Settings.load().kafka
    problems = topics.check(kafka)
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "problems": list(map(str, problems))}))
    elif not problems:
        typer.echo(f"ok: all topics {kafka.prefix}.* of {kafka.brokers}")
    _tell(problems, as_json=as_json)


def _tell(problems: list[topics.Problem], *, as_json: bool) -> None:
    if not problems:
        return
    if not as_json:
        for problem in problems:
            typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(FAILURE)

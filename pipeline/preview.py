"""`forewarn preview`: what a customer would read, as files to look at, before anybody gets it."""

import json
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from configs.load import Config, load_config
from configs.policy_schema import Rule
from detectors.decisions import Decision
from pipeline.explain import lines_of
from pipeline.failures import Failure
from pipeline.policy import judge, request_of
from pipeline.reading import read_to_end
from pipeline.remedies import RemedyRequest
from pipeline.samples import sample_decision
from pipeline.settings import Settings
from pipeline.wording import Wording
from sinks.letters import as_html, as_text

_DECODER: Final = msgspec.json.Decoder(Decision)


def preview_command(
    policy: Annotated[str, typer.Argument(help="Name of a rule in policies.yaml.")],
    *,
    parcel: Annotated[
        str | None,
        typer.Option(help="`carrier/parcel_id`, or the id alone: its last decision of the rule."),
    ] = None,
    decisions: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Decisions as NDJSON; repeatable."),
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Read the decisions of the settings' topics instead.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Directory of the configuration; default: the shipped one.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the files go.")] = Path(
        "forewarn-preview"
    ),
    open_browser: Annotated[bool, typer.Option("--open", help="Show them in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write what a rule would send, for a sample parcel or for one that was decided about.

    Example: forewarn preview stalled-parcel --open

    Example: forewarn preview stalled-parcel --parcel swift/SW00000042 --decisions
    decisions.ndjson
    """
    settings = Settings.load()
    loaded = load_config(config or settings.config)
    rule = _rule(loaded, policy)
    if parcel is None:
        decision: Decision = sample_decision(rule)
    else:
        decision = _last(parcel, _lines(decisions or [], settings, kafka=kafka), rule, loaded)
    request = request_of(decision, rule, loaded.policies)
    pages = _write(request, Wording(loaded.texts), out)
    if as_json:
        about: dict[str, Any] = {"policy": policy, "files": [str(page) for page in pages]}
        typer.echo(json.dumps(about | {"request": msgspec.to_builtins(request)}))
    else:
        for line in _summary(request, pages):
            typer.echo(line)
    if open_browser:
        for page in pages:
            if page.suffix == ".html":
                webbrowser.open(page.resolve().as_uri())


def _rule(config: Config, name: str) -> Rule:
    rule = next((rule for rule in config.policies.policies if rule.name == name), None)
    if rule is None:
        known = ", ".join(rule.name for rule in config.policies.policies if rule.remedy)
        raise Failure(f"no rule is called {name!r}; with a message: {known}")
    if rule.remedy is None:
        raise Failure(f"rule {name!r} sends customers nothing")
    return rule


def _lines(paths: list[Path], settings: Settings, *, kafka: bool) -> Iterator[bytes]:
    yield from lines_of(paths)
    if kafka:
        topic = settings.kafka.topic("decisions")
        yield from (message.value() or b"" for message in read_to_end(settings.kafka, topic))


def _last(parcel: str, lines: Iterator[bytes], rule: Rule, config: Config) -> Decision:
    """Return the parcel's last decision that the rule decides."""
    found: Decision | None = None
    name = parcel.rsplit("/", 1)[-1].encode()
    for line in lines:
        if name not in line:
            continue
        decision = _DECODER.decode(line)
        verdict = judge(decision, config.policies)
        names = {getattr(decision, "parcel_id", None), decision.subject.removeprefix("parcel/")}
        if isinstance(verdict, RemedyRequest) and verdict.rule == rule.name and parcel in names:
            found = decision
    if found is None:
        raise Failure(f"rule {rule.name!r} decides nothing about parcel {parcel}")
    return found


def _write(request: RemedyRequest, wording: Wording, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    pages = []
    for language, letter in wording.write(request).items():
        stem = f"{request.rule}.{language}"
        for suffix, text in (
            (".html", as_html(letter, language)),
            (".txt", f"{letter.subject}\n\n{as_text(letter)}"),
        ):
            page = out / f"{stem}{suffix}"
            page.write_text(text, encoding="utf-8")
            pages.append(page)
    return pages


def _summary(request: RemedyRequest, pages: list[Path]) -> Iterator[str]:
    if request.hold is not None:
        who = f", by {request.person}" if request.person else ""
        yield f"Held first ({request.hold}{who})."
    if request.refuse is not None:
        yield f"Not sent to this customer ({request.refuse})."
    yield "What would be sent:"
    yield from (f"  {page}" for page in pages)

"""`forewarn effect`: whether remedies work, and what each complaint avoided costs."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from configs.load import load_config
from detectors.decisions import Decision
from detectors.events import Complaint, InvalidEvent
from pipeline.effect import Evidence, Group, Outcome, is_held_out, measure
from pipeline.effect_report import cost, lines, picture
from pipeline.explain import lines_of
from pipeline.failures import Failure
from pipeline.ledger import decode_entry, fold
from pipeline.ledger_log import read_book
from pipeline.reading import read_to_end
from pipeline.settings import Kafka, Settings

_decision: Final = msgspec.json.Decoder(Decision).decode
_complaint: Final = msgspec.json.Decoder(Complaint).decode


def effect_command(
    *,
    ledger: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Ledger entries as NDJSON; repeatable."),
    ] = None,
    complaints: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Complaints, likewise."),
    ] = None,
    decisions: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Decisions: when late parcels arrived."),
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Read the topics of the settings instead of files.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Directory of the configuration; default: the shipped one.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.5, help="Share held out; default: that of policies.yaml."),
    ] = None,
    window_days: Annotated[
        int, typer.Option(min=1, max=365, help="How long after its first remedy a customer counts.")
    ] = 14,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="That all intervals hold, at every look.")
    ] = 0.95,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Where a picture (SVG) goes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare customers who were held out with the others: complaints, late parcels, cost.

    Needs a hold-out (hold_out.share of policies.yaml above 0). May be run every day: its intervals
    hold at every look.

    Example: forewarn effect --kafka --plot effect.svg

    Example: forewarn effect --ledger ledger.ndjson --complaints complaints.ndjson
    --decisions decisions.ndjson --share 0.1
    """
    if not kafka and not ledger:
        raise typer.BadParameter("say where from: --ledger FILE … or --kafka")
    settings = Settings.load()
    policies = load_config(config or settings.config).policies
    evidence = Evidence()
    if kafka:
        _from_kafka(evidence, settings.kafka)
    _from_files(evidence, ledger or (), complaints or (), decisions or ())
    held_out = share or policies.hold_out.share
    if not held_out or not any(is_held_out(account) for account in evidence.accounts):
        raise Failure(
            "nobody is held out, so there is nothing to compare with: set hold_out.share in "
            "policies.yaml (0.05 is one in twenty) and let some weeks pass"
        )
    groups = measure(
        evidence,
        treated_share=1 - held_out,
        window=timedelta(days=window_days),
        confidence=confidence,
    )
    if plot is not None:
        plot.write_text(picture(groups), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.encode(_report(groups, confidence, window_days)).decode())
    else:
        typer.echo("\n".join(lines(groups, policies.currency, confidence)))


def _report(groups: list[Group], confidence: float, window_days: int) -> dict[str, object]:
    rows = [
        msgspec.to_builtins(group)
        | {
            "works": group.works,
            "minor_for_each": cost(group, group.avoided or 0.0)
            if group.outcome is Outcome.COMPLAINTS
            else None,
        }
        for group in groups
    ]
    return {"confidence": confidence, "window_days": window_days, "groups": rows}


def _from_kafka(evidence: Evidence, kafka: Kafka) -> None:
    for partition in range(kafka.partitions):
        evidence.see_book(read_book(kafka, partition))
    for message in read_to_end(kafka, kafka.topic("complaints")):
        _see_complaint(evidence, message.value() or b"")
    for message in read_to_end(kafka, kafka.topic("decisions")):
        evidence.see_decision(_decision(message.value() or b""))


def _from_files(
    evidence: Evidence,
    ledger: list[Path] | tuple[()],
    complaints: list[Path] | tuple[()],
    decisions: list[Path] | tuple[()],
) -> None:
    if ledger:
        evidence.see_book(fold(decode_entry(line) for line in lines_of(ledger)))
    for line in lines_of(complaints):
        _see_complaint(evidence, line)
    for line in lines_of(decisions):
        evidence.see_decision(_decision(line))


def _see_complaint(evidence: Evidence, line: bytes) -> None:
    try:
        evidence.see_complaint(_complaint(line))
    except (msgspec.DecodeError, InvalidEvent):
        return  # a dead letter, which the worker has counted

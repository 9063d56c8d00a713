"""`forewarn ingest`: pour in what carriers, aggregators and help desks send."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer
from rich.console import Console

from pipeline.failures import Failure
from pipeline.ingest.files import STDIN
from pipeline.ingest.intake import Outgoing
from pipeline.ingest.learn import learned
from pipeline.ingest.report import Report, unknown_lines
from pipeline.ingest.run import Rejects, Run
from pipeline.ingest.serve import serve as serve_webhooks
from pipeline.ingest.serve import served_unknowns
from pipeline.ingest.sources import open_source
from pipeline.producer import Outgoing as KafkaRecord
from pipeline.producer import RecordProducer
from pipeline.settings import Settings


class Target(StrEnum):
    """Where events go."""

    NDJSON = "ndjson"
    KAFKA = "kafka"


def ingest_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files to read; - is standard input, the default.")
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="aftership, 17track, easypost, shippo, emsevt, epcis, zendesk, freshdesk, "
            "tracking, complaints, a source of the settings, or a mapping FILE.yaml.",
        ),
    ] = None,
    to: Annotated[Target, typer.Option(help="Where events go.")] = Target.NDJSON,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File of --to ndjson; without it standard output."),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File for rejected lines, to correct and feed again."),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Zone of times without an offset, e.g. Europe/Berlin.")
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="The past: events were received when they occurred."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and report; write no event.")
    ] = False,
    unknown: Annotated[
        bool,
        typer.Option(
            "--unknown",
            help="List values no table knows, of the files or, without files, of the endpoint.",
        ),
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Take webhooks of the sources of the settings.")
    ] = False,
    learn: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Propose a mapping for an unknown export."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Turn what a provider sends into tracking events or complaints.

    Example: forewarn ingest --from aftership trackings.ndjson --out tracking.ndjson

    Example: forewarn ingest --from 17track webhooks.ndjson --to kafka

    Example: forewarn ingest --learn export.csv > export.yaml

    Example: forewarn ingest --from export.yaml export.csv --dry-run
    """
    settings = Settings.load()
    if serve:
        serve_webhooks(settings)
    elif learn is not None:
        typer.echo(learned(learn), nl=False)
    elif unknown and not files and source is None:
        for line in served_unknowns(settings.ingest):
            typer.echo(line)
    elif source is None:
        raise typer.BadParameter("say what: --from NAME, --serve or --learn FILE")
    else:
        run = Run(open_source(source, settings.ingest, zone), files or [STDIN], history=history)
        with Rejects(rejects) as rejected:
            if unknown or dry_run:
                run.report.written = sum(1 for _ in run.events(rejected))
            elif to is Target.KAFKA:
                run.report.written = _to_kafka(run, rejected, settings)
            else:
                _to_ndjson(run, rejected, out)
        _tell(run, unknown=unknown, dry_run=dry_run, as_json=as_json)


def _to_ndjson(run: Run, rejects: Rejects, out: Path | None) -> None:
    if out is None:
        _write_lines(run, rejects, sys.stdout.buffer)
        return
    with out.open("wb") as file:
        _write_lines(run, rejects, file)


def _write_lines(run: Run, rejects: Rejects, file: BinaryIO) -> None:
    with Console(stderr=True).status("reading") as status:
        for event in run.events(rejects, lambda report: status.update(_progress(report))):
            file.write(event.value + b"\n")
            run.report.written += 1
    file.flush()


def _to_kafka(run: Run, rejects: Rejects, settings: Settings) -> int:
    topic = settings.kafka.topic(run.intake.adapter.kind)
    with Console(stderr=True).status("reading") as status:

        def records() -> Iterator[KafkaRecord]:
            for event in run.events(rejects, lambda report: status.update(_progress(report))):
                yield _record(topic, event)

        return sum(RecordProducer(settings.kafka.brokers).send(records()).values())


def _record(topic: str, event: Outgoing) -> KafkaRecord:
    return KafkaRecord(topic, event.key, event.value, 0)


def _progress(report: Report) -> str:
    return f"{report.documents:,} read, {report.rejected.total():,} rejected"


def _tell(run: Run, *, unknown: bool, dry_run: bool, as_json: bool) -> None:
    """Print the books: on standard output what was asked for, else beside the events."""
    report, unknowns = run.report, run.intake.unknowns
    if unknown:
        for line in unknown_lines(unknowns):
            typer.echo(line)
    elif as_json:
        typer.echo(msgspec.json.encode(report.as_data(unknowns)).decode(), err=not dry_run)
    else:
        for line in report.lines(unknowns):
            typer.echo(line, err=not dry_run)
    if report.rejected and not report.written and not report.duplicates:
        raise Failure("nothing could be read; is it the right --from?")

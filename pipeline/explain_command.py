"""`forewarn explain`: tells why a parcel was flagged, from files or from Kafka."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline.explain import Story, lines_of, render, timeline
from pipeline.reading import read_to_end
from pipeline.settings import Kafka, Settings


def explain_command(
    parcel: Annotated[str, typer.Argument(help="`carrier/parcel_id`, or the id alone.")],
    *,
    decisions: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Decisions as NDJSON; repeatable."),
    ] = None,
    tracking: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Scans as NDJSON, also compressed."),
    ] = None,
    complaints: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Complaints, likewise."),
    ] = None,
    ledger: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Ledger entries, likewise."),
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Read the topics of the settings instead of files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the timeline as JSON.")] = False,
) -> None:
    """Tell why a parcel was flagged: its scans, decisions with their evidence, and remedies.

    Example: forewarn explain swift/SW00000042 --decisions decisions.ndjson --tracking
    tracking.ndjson

    Example: forewarn explain swift/SW00000042 --kafka
    """
    if not kafka and not decisions:
        raise typer.BadParameter("say where from: --decisions FILE or --kafka")
    story = Story(parcel)
    if kafka:
        _from_kafka(story, Settings.load().kafka)
    for line in lines_of(decisions or ()):
        story.see_decision(line)
    for line in lines_of(tracking or ()):
        story.see_scan(line)
    for line in lines_of(complaints or ()):
        story.see_complaint(line)
    for line in lines_of(ledger or ()):
        story.see_entry(line)
    moments = timeline(story)
    if as_json:
        typer.echo(msgspec.json.encode({"parcel": parcel, "timeline": moments}).decode())
    else:
        typer.echo("\n".join(render(parcel, moments)))
    if not moments:
        raise typer.Exit(1)


def _from_kafka(story: Story, kafka: Kafka) -> None:
    readers = {
        "tracking": story.see_scan,
        "complaints": story.see_complaint,
        "decisions": story.see_decision,
        "ledger": story.see_entry,
    }
    for name, see in readers.items():
        for message in read_to_end(kafka, kafka.topic(name)):
            see(message.value() or b"")

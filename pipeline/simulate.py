"""`forewarn simulate`: a world into files, or onto a real Kafka."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from pipeline.producer import Outgoing, send_with_progress
from pipeline.settings import Settings
from simulator.files import Compression, write_simulation
from simulator.kinds import WorldKind
from simulator.simulation import Simulation, simulate
from simulator.world import START


def simulate_command(
    *,
    parcels: Annotated[int, typer.Option(min=1, max=5_000_000, help="How many parcels.")] = 4000,
    days: Annotated[int, typer.Option(min=1, max=730, help="How many days.")] = 35,
    seed: Annotated[
        int, typer.Option(min=0, help="Which world; the same seed, the same bytes.")
    ] = 1,
    kind: Annotated[
        WorldKind,
        typer.Option("--world", help="Which kind of network and trouble; see docs/worlds.md."),
    ] = WorldKind.DEMO,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory for the files.")
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress the streams with gzip.")] = False,
    zstd: Annotated[bool, typer.Option("--zstd", help="Compress the streams with zstd.")] = False,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Write to the topics, in order of arrival.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="With --kafka: how much faster than time. Default: at once."),
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day, a Monday (UTC). Default: 2026-03-02."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Describe the world as JSON.")] = False,
) -> None:
    """Make parcels, complaints and planted trouble, with the truth about it.

    With --out it writes tracking.ndjson, complaints.ndjson, truth.ndjson and world.json. With
    --kafka it writes to the topics of the settings (kafka.brokers, kafka.prefix).

    Example: forewarn simulate --parcels 4000 --days 35 --seed 1 --out world

    Example: forewarn simulate --world hard --parcels 60000 --days 90 --out hard --zstd

    Example: forewarn simulate --seed 2 --kafka --speed 36000
    """
    if (out is None) and not kafka:
        raise typer.BadParameter("say where to: --out DIR or --kafka (or both)")
    if gzip and zstd:
        raise typer.BadParameter("choose one of --gzip and --zstd")
    if speed is not None and not kafka:
        raise typer.BadParameter("--speed goes with --kafka")
    first = START if start is None else start.replace(tzinfo=UTC)
    if first.weekday():
        raise typer.BadParameter("--start must be a Monday")
    simulation = simulate(parcels, days, seed, first, kind)
    written: list[Path] = []
    if out is not None:
        packing = Compression.GZIP if gzip else Compression.ZSTD if zstd else Compression.NONE
        written = write_simulation(simulation, out, packing)
    if kafka:
        settings = Settings.load()
        total = len(simulation.scans) + len(simulation.complaints)
        send_with_progress(outgoing(simulation, settings), total, settings, speed)
    if as_json:
        typer.echo(msgspec.json.encode(simulation.describe()).decode())
    else:
        _tell(simulation, written)


def outgoing(simulation: Simulation, settings: Settings) -> Iterator[Outgoing]:
    """Yield scans and complaints as records for the topics, in order of arrival."""
    topics = {name: settings.kafka.topic(name) for name in ("tracking", "complaints")}
    for stream, (key, value, arrival_ms) in simulation.records():
        yield Outgoing(topics[stream], key, value, arrival_ms)


def _tell(simulation: Simulation, written: list[Path]) -> None:
    described = json.loads(msgspec.json.encode(simulation.describe()))
    world = simulation.world
    console = Console()
    console.print(
        f"World {world.seed} ({world.kind}): {world.parcels:,} parcels in {world.days} days, "
        f"{len(world.carriers)} carriers, {len(world.regions)} regions"
    )
    console.print(
        f"{described['tracking_events']:,} scans and {described['complaints']:,} complaints; "
        f"trouble from {described['learning_until'][:16]} on"
    )
    table = Table("planted", "number", title=None)
    for kind, number in described["truth"].items():
        table.add_row(kind, f"{number:,}")
    console.print(table)
    for path in written:
        console.print(f"wrote {path} ({path.stat().st_size:,} bytes)", soft_wrap=True)

"""`forewarn demo`: the whole product on one machine, with nothing to install beside it.

Embedded broker and Valkey, the real worker, the real deliver and a coupon provider run as their
own processes. Simulated parcels pass through Kafka at many times their speed; what the detectors
say is compared with what was planted.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console

from configs.load import load_config
from pipeline import demo_books
from pipeline.demo_parts import PARTITIONS, Parts, running
from pipeline.demo_summary import Summary, render, summarise
from pipeline.demo_view import Frame, viewing
from pipeline.explain import Story, lines_of, timeline
from pipeline.explain import render as render_story
from pipeline.failures import Failure
from pipeline.passage import Passage
from pipeline.simulate import outgoing
from simulator.files import write_simulation
from simulator.simulation import Simulation, simulate

FOLDER: Final = Path("forewarn-demo")
STREAM_SECONDS: Final = 45.0
"""How long the simulated weeks take."""


def demo_command(
    *,
    parcels: Annotated[int, typer.Option(min=500, help="How many parcels.")] = 6000,
    days: Annotated[int, typer.Option(min=14, help="How many simulated days.")] = 35,
    seed: Annotated[int, typer.Option(min=0, help="Which world; another seed, another one.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=5, help="How long the simulated days take.")
    ] = STREAM_SECONDS,
    keep: Annotated[
        Path, typer.Option("--keep", file_okay=False, help="Where data, decisions and logs go.")
    ] = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """See it all work: parcels stall, customers are told, a region surges.

    Example: forewarn demo --seed 3

    Starts an embedded broker and an embedded Valkey, the real worker and the real deliver, and
    sends simulated parcels through them. Ends by itself and leaves nothing running.
    """
    console = Console(stderr=True)
    prepare(keep)
    simulation = simulate(parcels, days, seed)
    write_simulation(simulation, keep)
    with _terminated_as_interrupted():
        console.print("starting broker, Valkey, provider, worker and deliver …", highlight=False)
        with running(keep) as parts:
            summary = Demo(parts, simulation, seconds).run(console, keep)
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        _tell(summary, keep)
    if summary.unsettled or summary.books:
        raise typer.Exit(1)


class Demo:
    """One run on parts that are ready."""

    def __init__(self, parts: Parts, simulation: Simulation, seconds: float) -> None:
        self._parts, self._simulation = parts, simulation
        self._policies = load_config(parts.settings.config).policies
        self._passage = Passage(
            parts,
            self._policies,
            outgoing(simulation, parts.settings),
            len(simulation.scans) + len(simulation.complaints),
            speed=simulation.world.days * 86_400 / seconds,
        )
        self._began = time.monotonic()

    def run(self, console: Console, folder: Path) -> Summary:
        """Stream, settle, compare; the decisions and the ledger are written to the folder."""
        passage = self._passage
        with viewing(console) as view:
            self._began = time.monotonic()
            state = passage.run(lambda stage: view.show(self._frame(stage)))
        seconds = time.monotonic() - self._began
        seen = passage.seen
        _write(folder / "decisions.ndjson", map(msgspec.json.encode, seen.decisions))
        _write(folder / "ledger.ndjson", iter(seen.entries))
        return summarise(
            seen,
            self._simulation.truth,
            self._policies,
            parcels=self._simulation.world.parcels,
            scans=len(self._simulation.scans),
            complaints=len(self._simulation.complaints),
            seconds=seconds,
            through=passage.latest() or datetime.now(UTC),
            dead_letters=state.dead_letters,
            books=demo_books.compare(self._parts),
        )

    def _frame(self, stage: str) -> Frame:
        elapsed = max(time.monotonic() - self._began, 0.1)
        passage = self._passage
        return Frame(
            stage,
            passage.latest(),
            passage.sent,
            passage.total,
            passage.sent / elapsed,
            passage.seen,
            self._policies.budgets.global_per_day_minor,
            self._policies.currency,
        )


def prepare(folder: Path) -> None:
    """Make the folder; refuse one with things in it that no demo has left there."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / ".forewarn-demo"
    if not marker.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty; choose another with --keep DIR")
    marker.touch()
    for log in folder.glob("*.log"):
        log.unlink()


def _write(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that its processes are stopped in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(summary: Summary, folder: Path) -> None:
    typer.echo("\n".join(render(summary)))
    files = {
        name: folder / f"{name}.ndjson"
        for name in ("decisions", "tracking", "complaints", "ledger")
    }
    if summary.example is not None:
        story = Story(summary.example)
        for name, see in {
            "decisions": story.see_decision,
            "tracking": story.see_scan,
            "complaints": story.see_complaint,
            "ledger": story.see_entry,
        }.items():
            for line in lines_of([files[name]]):
                see(line)
        typer.echo("\nFor example:")
        typer.echo("\n".join(render_story(summary.example, timeline(story))))
    options = " ".join(f"--{name} {path}" for name, path in files.items())
    typer.echo(
        f"\nEverything is in {folder}/. Where to look next:\n"
        f"  forewarn explain {summary.example or 'PARCEL'} {options}\n"
        f"  forewarn replay --tracking {files['tracking']} --complaints {files['complaints']} "
        f"--truth {folder / 'truth.ndjson'} --partitions {PARTITIONS} --decisions replayed.ndjson"
    )

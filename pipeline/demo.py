"""`forewarn demo`: the whole product on one machine, with nothing to install beside it.

Embedded broker and Valkey, the real worker, the real deliver and a coupon provider run as their
own processes. Simulated parcels pass through Kafka at many times their speed; what the detectors
say is compared with what was planted.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console

from configs.load import Config, load_config
from pipeline import demo_books
from pipeline.demo_parts import IDLE_SECONDS, PARTITIONS, Parts, get, running
from pipeline.demo_summary import Summary, render, summarise
from pipeline.demo_view import Frame, View, viewing
from pipeline.demo_watch import Watch, WorkerState, read_metrics
from pipeline.explain import Story, lines_of, timeline
from pipeline.explain import render as render_story
from pipeline.failures import Failure
from pipeline.policy import judge
from pipeline.producer import Outgoing, RecordProducer
from pipeline.remedies import RemedyRequest
from pipeline.simulate import outgoing
from simulator.files import write_simulation
from simulator.simulation import Simulation, simulate

FOLDER: Final = Path("forewarn-demo")
STREAM_SECONDS: Final = 50.0
"""How long the simulated weeks take."""
STUCK_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 1.5
_LOOK_SECONDS: Final = 0.2
_AHEAD: Final = 4000
"""Events sent and not yet judged at most, so that a slow machine has a slower demo, not another
one: a coupon for an episode that has long ended is refused."""


def demo_command(
    *,
    parcels: Annotated[int, typer.Option(min=500, help="How many parcels.")] = 6000,
    days: Annotated[int, typer.Option(min=14, help="How many simulated days.")] = 28,
    seed: Annotated[int, typer.Option(min=0, help="Which world; another seed, another one.")] = 7,
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
        self._config: Config = load_config(parts.settings.config)
        self._watch = Watch(parts.settings.kafka)
        self._total = len(simulation.scans) + len(simulation.complaints)
        self._stream = _Stream(parts, simulation, seconds)
        self._began = time.monotonic()
        self._wanted: set[str] = set()
        self._judged = 0

    def run(self, console: Console, folder: Path) -> Summary:
        """Stream, settle, compare; the decisions and the ledger are written to the folder."""
        try:
            with viewing(console) as view:
                self._began = time.monotonic()
                self._stream.start()
                while not self._stream.done():
                    self._look(view, "streaming")
                    self._stream.judged = self._events()
                state = self._settle(view)
        finally:
            self._stream.stop()
            self._watch.close()
        seconds = time.monotonic() - self._began
        seen = self._watch.seen
        _write(folder / "decisions.ndjson", map(msgspec.json.encode, seen.decisions))
        _write(folder / "ledger.ndjson", iter(seen.entries))
        return summarise(
            seen,
            self._simulation.truth,
            self._config.policies,
            parcels=self._simulation.world.parcels,
            scans=len(self._simulation.scans),
            complaints=len(self._simulation.complaints),
            seconds=seconds,
            through=self._stream.latest() or datetime.now(UTC),
            dead_letters=state.dead_letters,
            books=demo_books.compare(self._parts),
        )

    def _settle(self, view: View) -> WorkerState:
        """Wait until everything sent is judged, every clock is at the end, every remedy ended."""
        state = WorkerState(0, 0, None, 0)
        moved = time.monotonic()
        while True:
            before = state
            looked = self._look(view, "settling")
            state = self._worker() or state
            if looked or (state.events, state.clock) != (before.events, before.clock):
                moved = time.monotonic()
            quiet_seconds = time.monotonic() - moved
            done = self._caught_up(state) and self._all_ended()
            if done and quiet_seconds >= _QUIET_SECONDS + IDLE_SECONDS:
                return state
            if quiet_seconds > STUCK_SECONDS:
                raise Failure(
                    f"nothing moved for {STUCK_SECONDS:.0f} s: {state.events:,} of "
                    f"{self._total:,} events judged, {state.lag_records:,} records waiting, "
                    f"clock {state.clock}, {self._missing()} remedies without an outcome"
                )

    def _caught_up(self, state: WorkerState) -> bool:
        end = self._stream.latest()
        return (
            state.events >= self._total
            and state.lag_records == 0
            and state.clock is not None
            and end is not None
            and state.clock >= end - timedelta(minutes=2)
        )

    def _all_ended(self) -> bool:
        return self._missing() == 0 and self._watch.seen.unsettled() == 0

    def _missing(self) -> int:
        """Count the remedies the policies ask for that the ledger does not know yet."""
        seen = self._watch.seen
        for decision in seen.decisions[self._judged :]:
            wish = judge(decision, self._config.policies)
            if isinstance(wish, RemedyRequest):
                self._wanted.add(wish.remedy_id)
        self._judged = len(seen.decisions)
        return len(self._wanted - seen.book.accounts.keys())

    def _look(self, view: View, stage: str) -> int:
        self._parts.check()
        count = self._watch.look(_LOOK_SECONDS)
        view.show(self._frame(stage))
        return count

    def _frame(self, stage: str) -> Frame:
        elapsed = max(time.monotonic() - self._began, 0.1)
        policies = self._config.policies
        return Frame(
            stage,
            self._stream.latest(),
            self._stream.sent,
            self._total,
            self._stream.sent / elapsed,
            self._watch.seen,
            policies.budgets.global_per_day_minor,
            policies.currency,
        )

    def _events(self) -> int:
        state = self._worker()
        return self._stream.judged if state is None else state.events

    def _worker(self) -> WorkerState | None:
        """Return how far the worker is; None while it is too busy to say."""
        try:
            return read_metrics(get(f"{self._parts.worker_url}/metrics").decode())
        except TimeoutError:
            return None


class _Stream(threading.Thread):
    """Sends the simulation, paced, beside the view."""

    def __init__(self, parts: Parts, simulation: Simulation, seconds: float) -> None:
        super().__init__(name="stream", daemon=True)
        self._settings, self._simulation = parts.settings, simulation
        self._speed = simulation.world.days * 86_400 / seconds
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._latest_ms = 0
        self.sent = 0
        self.judged = 0
        """How many events the worker has judged; told from outside."""

    def run(self) -> None:
        try:
            RecordProducer(self._settings.kafka.brokers).send(self._records(), speed=self._speed)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def _records(self) -> Iterator[Outgoing]:
        for record in outgoing(self._simulation, self._settings):
            while self.sent - self.judged > _AHEAD and not self._stopping.wait(0.05):
                pass
            if self._stopping.is_set():
                return
            yield record
            self._latest_ms = max(self._latest_ms, record.timestamp_ms)
            self.sent += 1

    def latest(self) -> datetime | None:
        """Return the simulated time that has been reached."""
        return datetime.fromtimestamp(self._latest_ms / 1000, UTC) if self._latest_ms else None

    def done(self) -> bool:
        """Tell whether everything was sent; raises what went wrong."""
        if self._error is not None:
            raise self._error
        return not self.is_alive()

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()


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

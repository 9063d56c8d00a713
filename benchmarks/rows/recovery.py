"""SIGKILL with a million parcels of state: how long until another worker has caught up.

The worker is killed, scans go on arriving, and it is started again at once, as a supervisor would.
The broker gives its partitions to nobody before the dead one's session has ended; what comes
beyond is ours: joining, reading the state log, loading, the backlog.
"""

import time
from typing import Final

from benchmarks.bench import PARTITIONS, Bench, Worker, fill
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, spread
from benchmarks.standing import SESSION_SECONDS, Standing, caught_up, standing, wait
from benchmarks.watching import scrape, tracking_done

BEYOND: Final = "caught up, beyond the session timeout"
PARTS: Final = ("process answers", "partitions assigned", "state loaded", "caught up")
AFTER: Final = "s after the kill"


def run(bench: Bench) -> Measurement:
    """Kill again and again."""
    world = standing(bench)
    backlog = bench.size(short=20_000, full=100_000)
    moments: list[list[float]] = []
    loading: list[float] = []
    for _ in range(bench.rounds(short=2, full=5)):
        times, seconds = _killed(bench, world, backlog)
        moments.append(times)
        loading.append(seconds)
        said = (f"{part} {at:.1f} s" for part, at in zip(PARTS, times, strict=True))
        bench.say(f"after the kill: {', '.join(said)}")
    beyond = [max(0.0, times[-1] - SESSION_SECONDS) for times in moments]
    steps = zip(PARTS, zip(*moments, strict=True), strict=True)
    title = f"{world.parcels:,} parcels: back {spread(beyond).median:.1f} s after the session's end"
    return Measurement(
        row="recovery",
        what=f"SIGKILL with {world.parcels:,} parcels of state until caught up",
        goals=[Goal(BEYOND, Bound.AT_MOST, 10.0)],
        series=[
            Series(BEYOND, "s", beyond),
            *(Series(f"until {part}", AFTER, list(found)) for part, found in steps),
            Series("reading and loading a partition", "s a partition", loading),
        ],
        charts=[Chart(name="recovery", title=title, y_label=AFTER, unit=AFTER)],
        notes=[
            f"session timeout {SESSION_SECONDS:.0f} s; {backlog:,} scans arrive after the kill",
            "started again at once by the same command",
        ],
    )


def _killed(bench: Bench, world: Standing, backlog: int) -> tuple[list[float], float]:
    """Return seconds after the kill of each part, and of one partition's recovery."""
    victim = bench.worker(world.kafka, "victim")
    with victim.child:
        wait(victim, lambda: _recovered(victim), "recover")
        wait(victim, lambda: caught_up(victim), "catch up")
        killed = time.monotonic()
        victim.child.kill()
    fill(world.kafka.brokers, world.topic, world.population.scans(backlog))
    heir = bench.worker(world.kafka, "heir")
    with heir.child:
        moments = [
            wait(heir, lambda: _answers(heir), "answer"),
            wait(heir, lambda: _has(heir, "assigned"), "join"),
            wait(heir, lambda: _recovered(heir), "recover"),
            wait(heir, lambda: tracking_done(heir.port) >= backlog, "catch up"),
        ]
        metrics = scrape(heir.port)
    seconds = metrics.total("forewarn_recovery_seconds_sum")
    partitions = metrics.total("forewarn_recovery_seconds_count")
    return [moment - killed for moment in moments], seconds / max(partitions, 1)


def _answers(worker: Worker) -> bool:
    return bool(scrape(worker.port))


def _has(worker: Worker, what: str) -> bool:
    return scrape(worker.port).total(f"forewarn_{what}_partitions") == PARTITIONS


def _recovered(worker: Worker) -> bool:
    return _has(worker, "recovered")

"""The table of attacks: what a row is, how one is run, and how the outcomes are printed."""

import asyncio
import json
import math
import shutil
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from statistics import median
from time import monotonic
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.faults.parts import Run, Shared, running
from tests.faults.verify import Truth

_RUN_SECONDS: Final = 240.0

Attack = Callable[[Run], Awaitable[None]]
Checks = Callable[[Run, Truth], Iterable[str]]
Cluster = Callable[[Shared], AbstractAsyncContextManager[tuple[str, str]]]


def no_checks(_run: Run, _truth: Truth) -> Iterable[str]:
    """Nothing but what holds for every row."""
    return ()


@dataclass(frozen=True)
class Row:
    """One attack.

    Parameters
    ----------
    name
        For `--rows`.
    group
        The line of the attack table it belongs to.
    attack
        Leaves deliver running, or stopped when there is nothing more to wait for.
    checks
        What must hold besides: says what does not.
    options
        For `running`.
    """

    name: str
    group: str
    attack: Attack
    checks: Checks = no_checks
    options: Mapping[str, Any] = field(default_factory=dict)
    cluster: Cluster | None = None
    """Brokers of its own, shared by its seeds."""


ROWS: Final[dict[str, Row]] = {}


def row(
    name: str,
    group: str,
    *,
    checks: Checks = no_checks,
    cluster: Cluster | None = None,
    **options: Any,
) -> Callable[[Attack], Attack]:
    """Enter an attack into the table."""

    def enter(attack: Attack) -> Attack:
        assert name not in ROWS, name
        ROWS[name] = Row(name, group, attack, checks, options, cluster)
        return attack

    return enter


@dataclass(frozen=True)
class Outcome:
    """One run."""

    row: str
    seed: int
    wanted: int
    found: int
    doubled: int
    lost: int
    overspent: int
    recovered_seconds: float | None
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not (self.doubled or self.lost or self.overspent or self.problems)


async def run_one(shared: Shared, one: Row, seed: int, brokers: tuple[str, str] | None) -> Outcome:
    """Run a row with a seed; an attack that fails is an outcome with a problem."""
    name = f"{one.name}-{seed}-{shared.runs()}"
    try:
        async with (
            asyncio.timeout(_RUN_SECONDS),
            running(shared, name, seed, brokers=brokers, **one.options) as run,
        ):
            await one.attack(run)
            if run.last_truth is None:
                await run.until_ended()
            recovered = monotonic() - run.fault_at if run.fault_at else None
            await run.stop()
            truth = run.last_truth or await run.truth()
            outcome = _judged(one, seed, run, truth, recovered)
    except Exception as error:  # noqa: BLE001  one run must not end the table
        said = "".join(traceback.format_exception(error))
        outcome = Outcome(one.name, seed, 0, 0, 0, 0, 0, None, (said,))
    if outcome.good:
        shutil.rmtree(shared.folder / name, ignore_errors=True)
    return outcome


def _judged(one: Row, seed: int, run: Run, truth: Truth, recovered: float | None) -> Outcome:
    lost = truth.lost()
    problems = [f"{key} was paid and not promised" for key in truth.unpromised()]
    problems += [f"{key} was issued and not paid" for key in lost]
    problems += [f"{key} has not ended" for key in truth.unfinished]
    problems += one.checks(run, truth)
    if truth.found > run.wanted:
        problems.append(f"{truth.found} coupons, {run.wanted} wanted")
    return Outcome(
        one.name,
        seed,
        run.wanted,
        truth.found,
        truth.doubled,
        max(run.wanted - truth.found, 0) + len(lost),
        truth.overspent(run.limits),
        recovered,
        tuple(problems),
    )


async def run_rows(
    shared: Shared, rows: Sequence[Row], seeds: Sequence[int], minutes: float = math.inf
) -> AsyncIterator[Outcome]:
    """Run all rows with each seed, some at once; yields outcomes as they come.

    Rows with brokers of their own go beside the others, one at a time: they kill them. After
    `minutes` none is started any more.
    """
    runs = _Runs(shared, rows, seeds, monotonic() + minutes * 60)
    work = asyncio.create_task(runs.everything())
    while (outcome := await runs.outcomes.get()) is not None:
        yield outcome
    await work


class _Runs:
    """What is to be run, and what came of it: `None` is the last outcome."""

    def __init__(
        self, shared: Shared, rows: Sequence[Row], seeds: Sequence[int], until: float
    ) -> None:
        self._shared, self._rows, self._seeds, self._until = shared, rows, seeds, until
        self._busy = asyncio.Semaphore(shared.busy)
        self.outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()

    async def everything(self) -> None:
        shared_broker = [one for one in self._rows if one.cluster is None]
        try:
            await asyncio.gather(
                self._with_brokers(),
                *(self._in_turn(one, seed) for seed in self._seeds for one in shared_broker),
            )
        finally:
            self.outcomes.put_nowait(None)

    async def _with_brokers(self) -> None:
        for one in self._rows:
            if one.cluster is not None:
                async with one.cluster(self._shared) as brokers:
                    for seed in self._seeds:
                        await self._run(one, seed, brokers)

    async def _in_turn(self, one: Row, seed: int) -> None:
        async with self._busy:
            await self._run(one, seed, None)

    async def _run(self, one: Row, seed: int, brokers: tuple[str, str] | None) -> None:
        if monotonic() < self._until:
            self.outcomes.put_nowait(await run_one(self._shared, one, seed, brokers))


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the table, and what went wrong."""
    table = Table(title="Money under attack: real Kafka, real Redis, a provider with a list")
    for title in ("attack", "row"):
        table.add_column(title, overflow="fold")
    for title in ("runs", "wanted", "found", "doubled", "lost", "overspent", "recovers s"):
        table.add_column(title, justify="right")
    table.add_column("holds")
    shown = ""
    ran = {outcome.row for outcome in outcomes}
    for name in (name for name in ROWS if name in ran):
        group = ROWS[name].group
        table.add_row("" if group == shown else group, *_line(name, outcomes))
        shown = group
    console.print(table)
    for outcome in outcomes:
        if not outcome.good:
            console.print(f"{outcome.row} seed {outcome.seed}: {outcome}", style="red")
            for problem in outcome.problems:
                console.print(problem, markup=False)


def _line(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    mine = [outcome for outcome in outcomes if outcome.row == name]
    bad = sum(not outcome.good for outcome in mine)
    times = [o.recovered_seconds for o in mine if o.recovered_seconds is not None]
    sums = [sum(getattr(o, what) for o in mine) for what in
            ("wanted", "found", "doubled", "lost", "overspent")]  # fmt: skip
    recovers = f"{median(times):.1f} (≤ {max(times):.1f})" if times else "-"
    return [name, str(len(mine)), *map(str, sums), recovers, f"{bad} do not" if bad else "yes"]


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Every outcome, for programs."""
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=1)

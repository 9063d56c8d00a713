"""More ask at once than there is money for."""

from collections.abc import Iterable

from tests.faults.parts import BUDGETS, Run
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import stall


def _refused(_run: Run, truth: Truth) -> Iterable[str]:
    found = truth.reasons["refused/budget_campaign"]
    return [] if found == 450 else [f"{found} refusals, 450 wanted"]


@row(
    "budget",
    "500 concurrent requests against a budget for 50",
    checks=_refused,
    partitions=4,
    policies={"budgets": BUDGETS | {"campaigns": {"stalls": {"total_minor": 500 * 50}}}},
    FOREWARN_DELIVER__SHARING="group",
)
async def budget(run: Run) -> None:
    """Two processes with two partitions each, all at once."""
    numbers = list(range(500))
    run.dice.shuffle(numbers)
    await run.decide(*(stall(number) for number in numbers), wanted=50)
    await run.supervise()
    await run.supervise()

"""`forewarn deliver`, on a clock that is wrong or runs faster when FOREWARN_TEST_TIMES says so.

`{"ahead_seconds": 3600}`: this machine's clock is an hour ahead. `{"speed": 3600}`: an hour passes
in a second, so days of back-off pass while a test looks on.
"""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from time import monotonic

from configs.load import load_config
from pipeline import cli, logging
from pipeline.deliver import run
from pipeline.settings import Settings
from pipeline.times import Times


class Fast(Times):
    """Shared time stays real: receivers of signed requests have no fast clock."""

    def shared(self) -> datetime:
        return datetime.now(UTC)


def other_times(*, speed: float = 1.0, ahead_seconds: float = 0.0) -> Times:
    """A clock that runs from now on `speed` times as fast, or one that is ahead."""
    began, wall = monotonic(), datetime.now(UTC) + timedelta(seconds=ahead_seconds)

    def passed() -> float:
        return (monotonic() - began) * speed

    kind = Times if speed == 1.0 else Fast
    return kind(lambda: wall + timedelta(seconds=passed()), passed)


def deliver() -> None:
    """Run the command, or the same with another clock."""
    wanted = os.environ.pop("FOREWARN_TEST_TIMES", None)
    if wanted is None:
        cli.main(["deliver"])
        return
    settings = Settings.load()
    logging.configure(settings.log, process="deliver")
    policies = load_config(settings.config).policies
    asyncio.run(run(settings, policies, other_times(**json.loads(wanted))))

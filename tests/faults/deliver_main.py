"""`forewarn deliver` that dies by SIGKILL right after a step, for the fault tests.

FOREWARN_TEST_KILL_AFTER=STEP:N kills it when that step has been done for the Nth time.
"""

import asyncio
import os
import signal

from configs.load import load_config
from pipeline import logging
from pipeline.deliver import run
from pipeline.issuer import Step
from pipeline.settings import Settings


def killer(wanted: str) -> "_Killer":
    step, _, count = wanted.partition(":")
    return _Killer(Step(step), int(count or 1))


class _Killer:
    def __init__(self, step: Step, count: int) -> None:
        self._step, self._left = step, count

    def __call__(self, step: Step) -> None:
        if step is self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    settings = Settings.load()
    logging.configure(settings.log, process="deliver")
    wanted = os.environ.get("FOREWARN_TEST_KILL_AFTER")
    step = killer(wanted) if wanted else lambda _: None
    asyncio.run(run(settings, load_config(settings.config).policies, step=step))


if __name__ == "__main__":
    main()

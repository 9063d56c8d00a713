"""The real worker process with counting cores: `python -m tests.pipeline.counting_worker`.

`FOREWARN_TEST_SLOW_SECONDS` makes every chunk take that long, so that something can happen to it.
"""

import os
import sys
import time
from typing import Any

from pipeline import logging, worker
from pipeline.settings import Settings
from tests.pipeline import counting


def main() -> int:
    """Run the worker as `forewarn worker` does."""
    slow_seconds = float(os.environ.get("FOREWARN_TEST_SLOW_SECONDS", "0"))
    if slow_seconds:
        observe = counting.CountingCore.observe

        def slowly(core: counting.CountingCore, batch: Any) -> Any:
            time.sleep(slow_seconds)
            return observe(core, batch)

        _replace(counting.CountingCore, observe=slowly)
    _replace(worker, load_config=lambda _directory: counting.counting_config())
    settings = Settings.load()
    logging.configure(settings.log, process="worker")
    return worker.main(settings)


def _replace(place: Any, **replaced: Any) -> None:
    """Replace attributes in this process: the worker's own code is not told."""
    for name, value in replaced.items():
        setattr(place, name, value)


if __name__ == "__main__":
    sys.exit(main())

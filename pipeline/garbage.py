"""How often this process looks for cycles of objects."""

import gc
from typing import Final

_THRESHOLD: Final = (100_000, 50, 100)


def collect_seldom() -> None:
    """Look for cycles seldom: a chunk makes thousands of objects and no cycle.

    Looking every 700 objects, as Python does by itself, took a tenth of a worker's time.
    """
    gc.set_threshold(*_THRESHOLD)

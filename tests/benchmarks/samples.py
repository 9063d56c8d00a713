"""A small run of the suite, as data."""

from pathlib import Path
from typing import Final

from benchmarks.results import Results, read

SAMPLE: Final = Path(__file__).parent.parent / "data" / "benchmark-results.json"


def sample() -> Results:
    """Return the committed sample."""
    return read(SAMPLE)

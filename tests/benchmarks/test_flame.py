"""The flame graph names code and no machine."""

from pathlib import Path

from benchmarks.flame import anonymous


def test_paths_are_those_of_project_and_packages() -> None:
    """Where it was recorded is nobody's business."""
    own = Path(__file__).resolve().parent.parent.parent
    svg = (
        f"<title>run ({own}/pipeline/worker.py:12)</title>"
        "<title>poll (/opt/v/lib/python3.11/site-packages/faust/app.py:3)</title>"
        "<title>wait (/usr/lib/python3.11/asyncio/base.py:4)</title>"
    )
    assert anonymous(svg) == (
        "<title>run (pipeline/worker.py:12)</title>"
        "<title>poll (faust/app.py:3)</title>"
        "<title>wait (asyncio/base.py:4)</title>"
    )

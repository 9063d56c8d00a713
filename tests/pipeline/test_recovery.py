"""A recovery says how far it is, in the log now and then."""

from structlog.testing import capture_logs

from pipeline.recovery import SAY_SECONDS, Recovery


def test_says_now_and_then_how_far_it_is() -> None:
    """Not a line a record, and none for a short recovery."""
    times = iter([0.0, *(SAY_SECONDS * step / 4 for step in range(1, 10))])
    with capture_logs() as logs:
        recovery = Recovery(7, clock=lambda: next(times))
        for done in range(1, 9):
            recovery.read(100, done, 8)
        recovery.loaded(1, 2)
    assert [(line["stage"], line["records"], line["read_bytes"]) for line in logs] == [
        ("read", 4, 400),
        ("read", 8, 800),
    ]
    assert logs[0]["of_records"] == 8

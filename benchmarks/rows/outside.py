"""A provider that takes two seconds an answer and a Redis that stands still: detection goes on.

The worker and `forewarn deliver` are processes of their own with a topic between them. The rate
of the worker over a backlog with everything healthy, beside the same with every call slow and
Redis frozen (SIGSTOP) all the while, in turn. Deliver's memory must stay bounded, since it reads
ahead of what it can issue only so far.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench, fill
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, ratios, spread
from benchmarks.traffic import traffic
from benchmarks.watching import Rate, measure, peak_bytes, tracking_done
from pipeline.processes import Child, answers, free_port
from pipeline.settings import Kafka

HEALTHY: Final = "worker, all healthy"
SLOW: Final = "worker, provider slow and Redis frozen"
PEAK: Final = "deliver's peak memory, both slow"
UNIT: Final = "events/s"
_SIGNED_WITH: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_SLOW_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Around:
    """Deliver and what it calls."""

    deliver: Child
    redis: Child


def run(bench: Bench) -> Measurement:
    """Measure healthy and slow in turn."""
    events = bench.size(short=200_000, full=1_000_000)
    rates: dict[bool, list[Rate]] = {False: [], True: []}
    peaks: list[float] = []
    for _ in range(bench.rounds(short=1, full=3)):
        for slow, found in rates.items():
            rate, peak = _rate(bench, events, slow=slow)
            found.append(rate)
            bench.say(f"{SLOW if slow else HEALTHY}: {rate.events_per_second:,.0f} {UNIT}")
            if slow:
                peaks.append(peak / 2**20)
    healthy, hindered = (
        Series(name, UNIT, [rate.events_per_second for rate in found])
        for name, found in zip((HEALTHY, SLOW), rates.values(), strict=True)
    )
    times = spread(ratios(hindered, healthy)).median
    title = f"With its provider slow and Redis frozen, detection runs {times:.2f} times as fast"
    return Measurement(
        row="outside",
        what="detection beside a slow provider and a frozen Redis",
        goals=[
            Goal(SLOW, Bound.AT_LEAST, 0.9, over=HEALTHY),
            Goal(PEAK, Bound.AT_MOST, 512.0),
        ],
        series=[healthy, hindered, Series(PEAK, "MiB", peaks)],
        charts=[Chart(name="outside", title=title, y_label=UNIT, unit=UNIT)],
        notes=[f"every call takes {_SLOW_SECONDS:.0f} s; Redis gets SIGSTOP before the first scan"],
    )


def _rate(bench: Bench, events: int, *, slow: bool) -> tuple[Rate, int]:
    """Return the worker's rate and deliver's peak memory."""
    kafka = bench.kafka("outside")
    total = fill(kafka.brokers, kafka.topic("tracking"), traffic(events))
    with _around(bench, kafka, slow=slow) as around:
        if slow:
            around.redis.send(signal.SIGSTOP)
        try:
            worker = bench.worker(kafka)
            with worker.child:
                rate = measure({worker.child: lambda: tracking_done(worker.port)}, total)
            return rate, peak_bytes(around.deliver.pid)
        finally:
            around.redis.send(signal.SIGCONT)


@contextmanager
def _around(bench: Bench, kafka: Kafka, *, slow: bool) -> Iterator[_Around]:
    from tests.real_parts import running_redis  # noqa: PLC0415  # tests are not needed elsewhere

    port, health = free_port(), free_port()
    provider = [sys.executable, "-m", "pipeline.provider", "--port", str(port)]
    provider += ["--secret", _SIGNED_WITH]
    if slow:
        provider += ["--slow", "1", "--slow-seconds", str(_SLOW_SECONDS)]
    with ExitStack() as stack:
        place = bench.folder / f"{kafka.prefix}-redis"
        place.mkdir()
        redis = stack.enter_context(running_redis(place))
        log = bench.folder / f"{kafka.prefix}-provider.log"
        stack.enter_context(Child("provider", provider, log=log, ready=lambda: answers(port)))
        environment = {
            "FOREWARN_KAFKA__BROKERS": kafka.brokers,
            "FOREWARN_KAFKA__PREFIX": kafka.prefix,
            "FOREWARN_KAFKA__GROUP": kafka.group,
            "FOREWARN_REDIS__URL": redis.url,
            "FOREWARN_REDIS__PREFIX": kafka.prefix,
            "FOREWARN_METRICS__DELIVER_PORT": str(health),
            "FOREWARN_DELIVER__SHARING": "all",
            "FOREWARN_OUTBOUND__ALLOW": "127.0.0.1",
            **_receiver("COUPONS", f"http://127.0.0.1:{port}/coupons"),
            **_receiver("NOTIFICATIONS", f"http://127.0.0.1:{port}/notifications"),
        }
        deliver = Child(
            "deliver",
            [sys.executable, "-m", "pipeline.cli", "deliver"],
            log=bench.folder / f"{kafka.prefix}-deliver.log",
            environment=environment,
            ready=lambda: answers(health),
        )
        yield _Around(stack.enter_context(deliver), redis.child)


def _receiver(name: str, url: str) -> dict[str, str]:
    return {f"FOREWARN_{name}__URL": url, f"FOREWARN_{name}__SECRET": _SIGNED_WITH}

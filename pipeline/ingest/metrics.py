"""Metrics of the endpoint. Labels are bounded: sources of the settings and closed reasons."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

REGISTRY: Final = CollectorRegistry()

REQUESTS: Final = Counter(
    "forewarn_ingest_requests_total",
    "Webhooks answered, by source and HTTP status.",
    ["source", "status"],
    registry=REGISTRY,
)
EVENTS: Final = Counter(
    "forewarn_ingest_events_total",
    "Events Kafka has acknowledged, by source.",
    ["source"],
    registry=REGISTRY,
)
DUPLICATES: Final = Counter(
    "forewarn_ingest_duplicates_total",
    "Events that had been acknowledged before, by source.",
    ["source"],
    registry=REGISTRY,
)
REJECTED: Final = Counter(
    "forewarn_ingest_rejected_total",
    "Scans and tickets that could not be used, by source and reason.",
    ["source", "reason"],
    registry=REGISTRY,
)
RETRACTED: Final = Counter(
    "forewarn_ingest_retracted_total",
    "Events a source has taken back, by source and whether in time.",
    ["source", "when"],
    registry=REGISTRY,
)
UNKNOWN: Final = Counter(
    "forewarn_ingest_unknown_total",
    "Values no table knows, by source; /unknown lists them.",
    ["source"],
    registry=REGISTRY,
)
UNKNOWN_VALUES: Final = Gauge(
    "forewarn_ingest_unknown_values",
    "Events with each value no table knows, by source; bounded, personal ones withheld.",
    ["source", "value"],
    registry=REGISTRY,
)


class Latencies(Collector):
    """A histogram of one thread: the client's own costs a webhook ten times as much."""

    def __init__(self, name: str, text: str, buckets: Sequence[float]) -> None:
        self._name, self._text, self._buckets = name, text, tuple(buckets)
        self._counts = [0] * (len(self._buckets) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time."""
        self._counts[bisect_left(self._buckets, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as Prometheus wants it: running sums up to each bound."""
        sums = list(accumulate(self._counts))
        bounds = [*map(floatToGoString, self._buckets), "+Inf"]
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], list(zip(bounds, sums, strict=True)), self._sum)
        yield family


SECONDS: Final = Latencies(
    "forewarn_ingest_request_seconds",
    "From a webhook's first byte to its answer, Kafka's acknowledgement included.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
REGISTRY.register(SECONDS)
PENDING: Final = Gauge(
    "forewarn_ingest_pending_events",
    "Events on their way to Kafka.",
    registry=REGISTRY,
)

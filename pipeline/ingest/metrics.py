"""Metrics of the endpoint. Labels are bounded: sources of the settings and closed reasons."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
SECONDS: Final = Histogram(
    "forewarn_ingest_request_seconds",
    "From a webhook's first byte to its answer, Kafka's acknowledgement included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
PENDING: Final = Gauge(
    "forewarn_ingest_pending_events",
    "Events on their way to Kafka.",
    registry=REGISTRY,
)

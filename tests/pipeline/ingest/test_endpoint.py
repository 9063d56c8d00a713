"""Webhooks against the running endpoint and a real Kafka: believed, written, and only then 2xx."""

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.ingest.settings import Scheme
from tests.pipeline.adapters.conformance import FOLDER
from tests.pipeline.ingest.serving import (
    JSON,
    SECRET,
    Served,
    answered,
    serving,
    signed,
    webhook,
    written,
)
from tests.pipeline.ingest.test_signatures import SIGNERS, STANDARD
from tests.real_parts import Broker

PREFIX = "endpoint"
NOW = datetime.now(UTC)
SOURCES = {
    "aftership": {"secrets": ["an older secret", SECRET]},
    "17track": {"secrets": [SECRET], "zone": "UTC"},
    "easypost": {"secrets": [SECRET]},
    "shippo": {"secrets": [SECRET]},
    "zendesk": {"secrets": [SECRET], "region": "unknown"},
    "epcis": {"secrets": [STANDARD]},
    "freshdesk": {"secrets": [SECRET], "region": "unknown"},
    "shipments": {
        "mapping": str(FOLDER / "table" / "debezium.yaml"),
        "secrets": [SECRET],
        "signature": "token",
    },
    "slow": {
        "adapter": "aftership",
        "secrets": [SECRET],
        "requests_per_second": 0.01,
        "burst": 2,
        "max_body_bytes": 2048,
    },
}


@pytest.fixture(scope="module")
def served(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    for topic in ("tracking", "complaints"):
        broker.create_topic(f"{PREFIX}.{topic}", partitions=2)
    folder = tmp_path_factory.mktemp("ingest")
    key = "conformance-key-0123456789"
    limits = {"pseudonym_key": key, "body_seconds": 2.0}
    with serving(folder, broker.bootstrap, PREFIX, SOURCES, **limits) as running:
        yield running


def at(minutes: int = 60) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_signed_webhook_is_written_and_then_acknowledged(served: Served, broker: Broker) -> None:
    """The event is in Kafka under its key when the answer comes."""
    body = webhook("SIGNED000001", at())
    answer = served.post("/aftership", body, signed(body))
    assert (answer.status, answer.body) == (200, {"accepted": 1, "duplicates": 0, "rejected": {}})
    (event,) = [e for e in written(broker.bootstrap, PREFIX) if e["parcel_id"] == "SIGNED000001"]
    assert event["(key)"] == "swift/SIGNED000001"
    assert event["milestone"] == "arrived"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (JSON, "signature_missing"),
        (signed(b"another body"), "signature_wrong"),
        ({**JSON, "aftership-hmac-sha256": "\xfc"}, "signature_wrong"),
    ],
)
def test_what_is_not_signed_is_not_written(
    served: Served, broker: Broker, headers: dict[str, str], reason: str
) -> None:
    """401 with a reason, and nothing in Kafka."""
    body = webhook("FORGED000001", at())
    answer = served.post("/aftership", body, headers)
    assert (answer.status, answer.body) == (401, {"error": reason})
    assert "FORGED000001" not in str(written(broker.bootstrap, PREFIX))


def test_wrong_secret_is_refused_and_either_of_two_is_good(served: Served) -> None:
    """While a secret is being replaced both are in the settings."""
    body = webhook("ROTATED00001", at())
    assert served.post("/aftership", body, signed(body, "an older secret")).status == 200
    assert served.post("/aftership", body, signed(body, "a secret of nobody")).status == 401


PACKED = JSON | {"Content-Encoding": "gzip"}
SIGNED = {
    "aftership": Scheme.AFTERSHIP,
    "17track": Scheme.TRACK17,
    "easypost": Scheme.EASYPOST_V2,
    "shippo": Scheme.SHIPPO,
    "zendesk": Scheme.ZENDESK,
    "epcis": Scheme.STANDARD,
    "freshdesk": Scheme.TOKEN,
}
EXAMPLES = [
    ("aftership", "webhook_delivered.json", 6),
    ("17track", "tracking_updated.json", 8),
    ("easypost", "tracker_updated.json", 7),
    ("shippo", "track_updated.json", 5),
    ("zendesk", "ticket_created.json", 1),
    ("epcis", "document.jsonld", 4),
    ("freshdesk", "automation.json", 1),
]


def recent(body: bytes) -> bytes:
    """A payload as if of last month: scans of over a year ago are refused, whenever this runs."""
    month = (NOW.replace(day=1) - timedelta(days=1)).strftime("%Y-%m-")
    return body.replace(b"2026-03-", month.encode())


@pytest.mark.parametrize(("source", "file", "events"), EXAMPLES)
def test_documented_payload_under_the_provider_s_own_signature(
    served: Served, source: str, file: str, events: int
) -> None:
    """Each provider's example is taken, and taken again as duplicates."""
    body = recent((FOLDER / source / file).read_bytes())
    scheme = SIGNED[source]
    secret = STANDARD if scheme is Scheme.STANDARD else SECRET
    headers = {**JSON, **SIGNERS[scheme](secret, body, datetime.now(UTC).timestamp())}
    first = served.post(f"/{source}", body, headers)
    assert (first.status, first.body["accepted"]) == (200, events)
    again = served.post(f"/{source}", body, headers)
    assert (again.body["accepted"], again.body["duplicates"]) == (0, events)


def test_changes_of_a_database_are_taken_by_their_mapping(served: Served) -> None:
    """Debezium's envelope, posted by something that has the token."""
    row = {"tracking_no": "CHANGE000001", "carrier": "swift", "status": "shipped", "region": "R01"}
    after = {**row, "changed_at": int((NOW - timedelta(hours=1)).timestamp() * 1000)}
    body = json.dumps({"op": "c", "before": None, "after": after, "ts_ms": 1}).encode()
    headers = JSON | {"Authorization": f"Bearer {SECRET}"}
    assert served.post("/shipments", body, headers).body["accepted"] == 1
    assert served.post("/shipments", body, JSON).status == 401


def test_replayed_signature_is_refused(served: Served) -> None:
    """Signed half an hour ago."""
    body = b"{}"
    old = datetime.now(UTC).timestamp() - 1800
    headers = {**JSON, **SIGNERS[Scheme.SHIPPO](SECRET, body, old)}
    assert served.post("/shippo", body, headers).body == {"error": "signature_stale"}


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "reason"),
    [
        ("/nobody", JSON, b"{}", 404, "no_such_source"),
        ("/aftership", {"Content-Type": "text/csv"}, b"a,b", 415, "not_json_content"),
        ("/aftership", {}, b"{}", 415, "not_json_content"),
        ("/aftership", PACKED, gzip.compress(b"{}"), 415, "not_json_content"),
        ("/slow", JSON, b"x" * 4096, 413, "too_large"),
        ("/aftership", signed(b"{"), b"{", 400, "not_json"),
        ("/aftership", signed(b"{}"), b"{}", 422, "unreadable"),
        ("/aftership", signed(b"[" * 50_000), b"[" * 50_000, 422, "unreadable"),
    ],
)
def test_what_cannot_be_taken_is_told(
    served: Served, path: str, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    """A status and a reason in JSON."""
    answer = served.post(path, body, headers)
    assert (answer.status, answer.body["error"]) == (status, reason)
    assert answer.headers["Content-Type"].startswith("application/json")


def test_large_body_without_a_length_is_cut_off(served: Served) -> None:
    """A chunked body is counted while it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("POST", "/slow", iter([b"x" * 1024] * 64), JSON, encode_chunked=True)
    assert answered(connection.getresponse()).status == 413
    connection.close()


def test_other_methods_are_refused(served: Served) -> None:
    """Only POST."""
    assert served.get("/aftership", admin=False)[0] == 405


def test_flood_is_answered_429_and_forgeries_take_nothing_from_it(served: Served) -> None:
    """Unsigned requests do not use up a source's share."""
    body = webhook("FLOOD0000001", at())
    assert [served.post("/slow", body, JSON).status for _ in range(5)] == [401] * 5
    answers = [served.post("/slow", body, signed(body)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].body == {"error": "too_many_requests"}
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_part_of_a_payload_that_cannot_be_used_is_told(served: Served) -> None:
    """The good scans are written, the bad one is counted; a retry would not help."""
    good, bad = json.loads(webhook("PARTLY000001", at())), json.loads(webhook("X", "soon"))
    good["msg"]["checkpoints"] += bad["msg"]["checkpoints"]
    body = json.dumps(good).encode()
    answer = served.post("/aftership", body, signed(body))
    assert (answer.status, answer.body["accepted"]) == (200, 1)
    assert answer.body["rejected"] == {"unreadable_time": 1}


def test_a_body_that_trickles_is_given_up(served: Served) -> None:
    """After `body_seconds` it is answered 408, whatever was promised in its headers."""
    body = webhook("TRICKLE00001", at())
    lines = [f"{name}: {value}" for name, value in signed(body).items()]
    head = "\r\n".join(
        ["POST /aftership HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines]
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as slow:
        slow.sendall(head.encode() + b"\r\n\r\n" + body[:20])
        answer = b""
        while b"slow_body" not in answer:
            read = slow.recv(4096)
            assert read, answer
            answer += read
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_metrics_health_and_unknown_values(served: Served) -> None:
    """Counted by source; the values themselves are listed on the admin port only."""
    body = webhook("UNKNOWN00001", at(), subtag="InTransit_777")
    assert served.post("/aftership", body, signed(body)).status == 200
    assert served.get("/healthz") == (200, '{"status":"ok"}')
    assert served.get("/healthz", admin=False)[0] == 200
    status, metrics = served.get("/metrics")
    assert status == 200
    assert 'forewarn_ingest_unknown_total{source="aftership"} 1.0' in metrics
    assert 'forewarn_ingest_requests_total{source="aftership",status="200"}' in metrics
    assert 'forewarn_ingest_unknown_values{source="aftership",value="InTransit_777"} 1.0' in metrics
    assert 'forewarn_ingest_request_seconds_bucket{le="+Inf"}' in metrics
    unknown = json.loads(served.get("/unknown")[1])
    assert unknown["aftership"]["InTransit_777"]["count"] == 1
    assert served.get("/metrics", admin=False)[0] == 404
    settings = served.log.parent / "settings.yaml"
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--settings", settings, "ingest", "--unknown"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "aftership: InTransit_777  (swift/UNKNOWN00001)" in shown.stdout


def test_log_holds_nothing_of_the_webhooks(served: Served) -> None:
    """No tracking number, no name, no secret, no signature."""
    log = served.log.read_text("utf-8")
    assert "takes webhooks" in log
    for word in ("SIGNED000001", "Jane", "example.com", SECRET, "aftership-hmac"):
        assert word not in log


def test_stops_gracefully(broker: Broker, tmp_path: Path, name: str) -> None:
    """SIGTERM: what is acknowledged is written, and the process ends with 0."""
    broker.create_topic(f"{name}.tracking")
    sources = {"aftership": {"secrets": [SECRET]}}
    with serving(tmp_path, broker.bootstrap, name, sources) as running:
        body = webhook("LAST00000001", at())
        assert running.post("/aftership", body, signed(body)).status == 200
        running.child.send(signal.SIGTERM)
        assert running.child.wait(20) == 0
    assert len(written(broker.bootstrap, name)) == 1


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({}, "no sources"),
        ({"aftership": {}}, "has no secret"),
        ({"x": {"secrets": ["s"]}}, "adapter"),
    ],
)
def test_does_not_start_without_what_it_needs(
    tmp_path: Path, sources: dict[str, object], said: str
) -> None:
    """An endpoint that would believe anybody is none."""
    from pipeline.failures import Failure
    from pipeline.ingest.serve import gates
    from pipeline.settings import Settings

    with pytest.raises(Failure, match=said):
        gates(Settings(ingest={"sources": sources}))

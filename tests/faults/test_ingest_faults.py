"""The endpoint killed under load, and its broker taken away: what was acknowledged is in Kafka."""

import http.client
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.processes import answers
from tests.pipeline.ingest.serving import (
    SECRET,
    Served,
    answered,
    serving,
    signed,
    webhook,
    written,
)
from tests.real_parts import Broker

SOURCES = {"aftership": {"secrets": [SECRET], "requests_per_second": 1e6, "burst": 1_000_000}}
PROVIDERS = 8


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Provider(threading.Thread):
    """Sends webhooks one after the other until the endpoint is gone, and keeps what was 200."""

    def __init__(self, served: Served, number: int) -> None:
        super().__init__(daemon=True)
        self._served, self._number = served, number
        self.acknowledged: list[str] = []
        self.unanswered: list[bytes] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._served.port, timeout=20)
        for count in range(1_000_000):
            parcel = f"LOAD{self._number:02}{count:07}"
            body = webhook(parcel, now())
            try:
                connection.request("POST", "/aftership", body, signed(body))
                answer = answered(connection.getresponse())
            except (OSError, http.client.HTTPException):
                self.unanswered.append(body)
                return
            if answer.status == 200:
                self.acknowledged.append(parcel)


def test_killed_under_load_loses_nothing_it_acknowledged(
    kafka: Broker, tmp_path: Path, name: str
) -> None:
    """SIGKILL between two answers; what was not answered is sent again, as a provider does."""
    kafka.create_topic(f"{name}.tracking", partitions=4)
    with serving(tmp_path, kafka.bootstrap, name, SOURCES) as served:
        providers = [Provider(served, number) for number in range(PROVIDERS)]
        for provider in providers:
            provider.start()
        while sum(len(provider.acknowledged) for provider in providers) < 2000:
            threading.Event().wait(0.05)
        served.child.kill()
        for provider in providers:
            provider.join(30)
        acknowledged = {parcel for each in providers for parcel in each.acknowledged}
        found = {event["parcel_id"] for event in written(kafka.bootstrap, name)}
        assert len(acknowledged) >= 2000
        assert acknowledged - found == set()
        served.child.start()
        retried = [body for provider in providers for body in provider.unanswered]
        assert retried
        assert {served.post("/aftership", body, signed(body)).status for body in retried} == {200}
    events = written(kafka.bootstrap, name)
    ids = {event["event_id"] for event in events}
    assert len({event["parcel_id"] for event in events}) == len(ids)


@pytest.fixture
def away(own_kafka: Broker, name: str) -> Broker:
    own_kafka.create_topic(f"{name}.tracking", partitions=2)
    return own_kafka


@pytest.mark.slow
def test_broker_goes_away_and_comes_back(away: Broker, tmp_path: Path, name: str) -> None:
    """503 while it is gone, so that the provider retries; 200 and every event once it is back."""
    with serving(tmp_path, away.bootstrap, name, SOURCES, acknowledge_seconds=2) as served:
        before, during = webhook("BEFORE000001", now()), webhook("DURING000001", now())
        assert served.post("/aftership", before, signed(before)).status == 200
        away.child.stop()
        refused = served.post("/aftership", during, signed(during))
        assert (refused.status, refused.body) == (503, {"error": "kafka_unavailable"})
        assert refused.headers["Retry-After"]
        assert served.get("/healthz")[0] == 503
        away.child.start()
        for _ in range(60):
            if served.post("/aftership", during, signed(during)).status == 200:
                break
        assert served.get("/healthz")[0] == 200
        events = written(away.bootstrap, name)
        assert {event["parcel_id"] for event in events} == {"BEFORE000001", "DURING000001"}
        assert len({event["event_id"] for event in events}) == 2
        assert answers(served.port)


@pytest.mark.slow
def test_flood_while_the_broker_is_away_is_put_off_and_lost_nowhere(
    away: Broker, tmp_path: Path, name: str
) -> None:
    """Only so much is held for Kafka; the rest is told to come again, does, and is written once."""
    bodies = {f"FLOOD{number:07}": webhook(f"FLOOD{number:07}", now()) for number in range(120)}
    few = {"acknowledge_seconds": 2, "pending_events": 30}
    with serving(tmp_path, away.bootstrap, name, SOURCES, **few) as served:

        def send(body: bytes) -> int:
            return served.post("/aftership", body, signed(body)).status

        away.child.kill()
        with ThreadPoolExecutor(40) as senders:
            assert set(senders.map(send, bodies.values())) == {503}
            pending = re.search(r"_pending_events (\d\S*)", served.get("/metrics")[1])
            assert pending is not None
            assert 0 < float(pending[1]) <= few["pending_events"]
            away.child.start()
            waiting = list(bodies.values())
            while waiting:  # providers come again and again; the test's own time limit ends it
                statuses = list(senders.map(send, waiting))
                waiting = [body for body, s in zip(waiting, statuses, strict=True) if s != 200]
                threading.Event().wait(0.2)
    events = written(away.bootstrap, name)
    assert {event["parcel_id"] for event in events} == set(bodies)
    assert len({event["event_id"] for event in events}) == len(bodies)

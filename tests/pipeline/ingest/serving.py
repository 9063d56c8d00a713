"""The endpoint as a process of its own, and what sends webhooks to it."""

import base64
import hashlib
import hmac
import http.client
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.processes import Child, answers, free_port
from pipeline.reading import read_to_end
from pipeline.settings import Kafka

SECRET = "the secret of all sources"
JSON = {"Content-Type": "application/json"}


class Answered(NamedTuple):
    """What a webhook was answered."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Served:
    """A running endpoint."""

    port: int
    admin_port: int
    child: Child
    log: Path

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = JSON) -> Answered:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body, dict(headers))
            return answered(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, *, admin: bool = True) -> tuple[int, str]:
        """Ask the admin port, or the port of webhooks."""
        port = self.admin_port if admin else self.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


def answered(response: http.client.HTTPResponse) -> Answered:
    text = response.read()
    return Answered(response.status, json.loads(text or b"{}"), dict(response.getheaders()))


@contextmanager
def serving(
    folder: Path, brokers: str, prefix: str, sources: dict[str, Any], **ingest: Any
) -> Iterator[Served]:
    """Run `forewarn ingest --serve` until the end of the block."""
    port, admin_port = free_port(), free_port()
    settings = {
        "kafka": {"brokers": brokers, "prefix": prefix},
        "ingest": {"port": port, "admin_port": admin_port, "sources": sources, **ingest},
    }
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(settings), "utf-8")
    log = folder / "ingest.log"
    command = [sys.executable, "-m", "pipeline.cli", "--settings", str(file), "ingest", "--serve"]
    child = Child("ingest", command, log=log, ready=lambda: answers(admin_port), stop_seconds=30)
    with child:
        yield Served(port, admin_port, child, log)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Headers of AfterShip."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {**JSON, "aftership-hmac-sha256": base64.b64encode(digest).decode()}


def webhook(number: str, at: str, **checkpoint: str) -> bytes:
    """A webhook of AfterShip with one scan."""
    scan = {"checkpoint_time": at, "tag": "InTransit", "subtag": "InTransit_003", **checkpoint}
    tracking = {"tracking_number": number, "slug": "swift", "checkpoints": [scan]}
    return json.dumps({"event": "tracking_update", "msg": tracking}).encode()


def written(brokers: str, prefix: str, topic: str = "tracking") -> list[dict[str, Any]]:
    """Every event in a topic, with its key."""
    kafka = Kafka(brokers=brokers, prefix=prefix)
    return [
        {**json.loads(message.value() or b"{}"), "(key)": (message.key() or b"").decode()}
        for message in read_to_end(kafka, kafka.topic(topic))
    ]

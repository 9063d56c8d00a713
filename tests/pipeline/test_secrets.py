"""What must stay inside does: real programs, with secrets set and hostile people, said nothing.

Everything a program writes where others read it (its log at its most talkative, its metrics, its
health, its error messages) is searched for every secret it was given, and for the telephone
numbers and e-mail addresses that came in with events.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis
from confluent_kafka import Producer

from detectors.events import Milestone
from pipeline.partition import partition_of
from pipeline.processes import Child, free_port
from tests.pipeline.adapters.test_privacy import HOSTILE as PEOPLE
from tests.pipeline.delivering import SECRET, delivering, stall
from tests.pipeline.ingest.serving import JSON, serving, signed, webhook
from tests.pipeline.stage import Stage
from tests.real_parts import Broker, RedisServer
from tests.sinks.hostile import HOSTILE

PASSWORD: Final = "redis-password-5c0ffee5"
MAIL_PASSWORD: Final = "mail-password-0ddba11"
OTHER_SECRET: Final = "whsec_bm9ib2R5IG1heSByZWFkIHRoaXMh"
INGEST_SECRET: Final = "ingest-secret-7ea5e7"
PSEUDONYM_KEY: Final = "pseudonym-key-of-some-length"
SECRETS: Final = (
    PASSWORD,
    MAIL_PASSWORD,
    INGEST_SECRET,
    PSEUDONYM_KEY,
    *(secret.removeprefix("whsec_") for secret in (SECRET, OTHER_SECRET)),
)
PAGES: Final = ("/metrics", "/health/live", "/health/ready")
PERSONAL: Final = ("jane.roe", "9988776", "555-0143", "0013 8000", "00138000")
"""Of each telephone number and e-mail address among `PEOPLE`."""
CORPUS: Final = (*PEOPLE, *(f"{text} jane.roe@example.com +49 170 9988776" for text in HOSTILE))


def assert_silent(what: str, text: str, *words: str) -> None:
    """Fail with what was said and around it."""
    for word in (*SECRETS, *words):
        at = text.find(word)
        assert at < 0, f"{what} says {word!r}: …{text[max(at - 200, 0) : at + 200]}…"


def until(done: Callable[[], object]) -> None:
    """Wait for something, and not for ever."""
    deadline = time.monotonic() + 90
    while not done():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.1)


def page(port: int, path: str) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        with error:
            return str(error.read().decode())


@contextmanager
def parrot() -> Iterator[str]:
    """A receiver that says everything it was told, secrets' signatures too, in all its answers."""
    statuses = cycle([422, 500, 429, 302, 401, 200])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = f"{self.headers}".encode() + body + " ".join(PEOPLE).encode()
            self.send_response(next(statuses))
            self.send_header("Content-Length", str(len(said)))
            self.send_header("Location", f"/{PEOPLE[0]}")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Not here."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_deliver(broker: Broker, own_redis: RedisServer, tmp_path: Path, name: str) -> None:
    """Whatever receivers answer and whoever a remedy is for; with Redis lost and found again."""
    host = own_redis.url.partition("//")[2]
    url = f"redis://:{PASSWORD}@{host}"
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", PASSWORD)
    port = free_port()
    with (
        parrot() as there,
        delivering(
            tmp_path,
            broker.bootstrap,
            url,
            name,
            FOREWARN_COUPONS__URL=f"{there}/coupons",
            FOREWARN_COUPONS__SECRET=f"{OTHER_SECRET} {SECRET}",
            FOREWARN_ACTIONS__URL=f"{there}/actions",
            FOREWARN_EMAIL__URL=f"smtp://127.0.0.1:{free_port()}",
            FOREWARN_EMAIL__SENDER="service@shop.example",
            FOREWARN_EMAIL__RECIPIENT_DOMAIN="relay.example",
            FOREWARN_EMAIL__USER="forewarn",
            FOREWARN_EMAIL__PASSWORD=MAIL_PASSWORD,
            FOREWARN_LOG__LEVEL="debug",
            FOREWARN_LOG__FORMAT="json",
            FOREWARN_METRICS__DELIVER_PORT=str(port),
        ) as stage,
    ):
        del stage.environment["FOREWARN_NOTIFICATIONS__URL"]
        del stage.environment["FOREWARN_NOTIFICATIONS__SECRET"]
        printable = [text for text in CORPUS if text.isprintable()]
        many, log_file = len(printable), tmp_path / "deliver.log"
        stage.decide(
            *(
                stall(number, customer_id=text, order_id=text, facility=text, region=text)
                for number, text in enumerate(printable)
            )
        )
        command = [sys.executable, *stage.main]
        with Child("deliver", command, log=log_file, environment=stage.environment):
            until(
                lambda: len(states := stage.states()) >= many and "reserved" not in states.values()
            )
            with redis.Redis.from_url(url) as client:
                client.config_set("requirepass", "another")
                client.client_kill_filter(_type="normal", skipme=True)
            stage.decide(stall(1000), stall(1001))
            until(lambda: "no money moves until" in log_file.read_text(errors="replace"))
            shown = "".join(page(port, path) for path in PAGES)
        asked = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "ledger", "verify"],
            env=stage.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        log = log_file.read_text(errors="replace")
        assert asked.returncode == 1
        assert "forewarn_remedies_total" in shown
        assert_silent("the log", log, *PERSONAL, "v1,")
        assert_silent("metrics and health", shown, *PERSONAL)
        assert_silent("an error of the command line", asked.stdout + asked.stderr)


WRONG: Final[tuple[dict[str, str], ...]] = (
    {"FOREWARN_COUPONS__URL": "https://a.example", "FOREWARN_COUPONS__SECRET": f"{PASSWORD}!"},
    {
        "FOREWARN_COUPONS__URL": f"https://u:{PASSWORD}@a.example",
        "FOREWARN_COUPONS__SECRET": SECRET,
    },
    {"FOREWARN_REDIS__URL": f"http://:{PASSWORD}@localhost:1"},
    {"FOREWARN_REDIS__URL": f"redis://:{PASSWORD}@localhost:not-a-port"},
    {"FOREWARN_COUPONS__SECRETT": PASSWORD},
    {"FOREWARN_COUPONS": f'{{"secret": "{PASSWORD}", "urll": 1}}'},
    {"FOREWARN_COUPONS": f'{{"secret": "{PASSWORD}'},
    {"FOREWARN_EMAIL__URL": "ftp://a.example", "FOREWARN_EMAIL__PASSWORD": MAIL_PASSWORD},
    {"FOREWARN_INGEST__PSEUDONYM_KEY": PASSWORD[:15]},
    {"FOREWARN_INGEST__SOURCES": f'{{"x": {{"secrets": "{INGEST_SECRET}"}}}}'},
)


@pytest.mark.parametrize("wrong", WRONG, ids="+".join)
def test_wrong_settings(wrong: dict[str, str]) -> None:
    """What is wrong with a setting is said without the setting, where it is a secret."""
    given = {
        "FOREWARN_KAFKA__BROKERS": "127.0.0.1:1",
        "FOREWARN_KAFKA__REQUEST_TIMEOUT_SECONDS": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "deliver"],
        env={"PATH": "/usr/bin:/bin", **given, **wrong},
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert said
    assert "Traceback" not in said
    assert_silent("the error", said, PASSWORD[:15])


@pytest.mark.slow
def test_worker(broker: Broker, tmp_path: Path, name: str) -> None:
    """Scans, complaints and broken records with people in every field."""
    stage = Stage(broker.bootstrap, name, tmp_path)
    stage.create()
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number, text in enumerate(CORPUS):
        at = f"2026-03-02T{number % 24:02d}:00:00Z"
        scan = {
            "event_id": f"e{number}", "parcel_id": f"P{number}", "carrier": "swift",
            "milestone": str(Milestone.ARRIVED), "occurred_at": at, "received_at": at,
            "facility": text, "region": text, "order_id": text, "customer_id": text,
        }  # fmt: skip
        complaint = {
            "complaint_id": f"k{number}", "customer_id": text, "occurred_at": at,
            "received_at": at, "region": text, "issue": text, "text": text, "order_id": text,
        }  # fmt: skip
        broken = scan | {"milestone": text, "address_hash": text}
        for topic, key, event in (
            ("tracking", f"swift/P{number}", scan),
            ("tracking", f"swift/P{number}", broken),
            ("complaints", text, complaint),
        ):
            place = partition_of(key.encode(), stage.kafka.partitions)
            value = json.dumps(event, ensure_ascii=number % 2 == 0).encode()
            producer.produce(stage.kafka.topic(topic), value, key.encode(), partition=place)
    assert producer.flush(30) == 0
    port = free_port()
    talkative = {"FOREWARN_LOG__LEVEL": "debug", "FOREWARN_LOG__FORMAT": "json"}
    environment = stage.environment | talkative | {"FOREWARN_METRICS__PORT": str(port)}
    command = [sys.executable, "-m", "pipeline.cli", "worker"]
    with Child(
        "worker", command, log=stage.log, environment=environment, stop_seconds=40
    ) as worker:
        stage.until(lambda: len(stage.letters()) >= len(CORPUS), worker)
        shown = "".join(page(port, path) for path in PAGES)
    assert "forewarn_dead_letters_total" in shown
    assert_silent("the log", stage.log.read_text(errors="replace"), *PERSONAL)
    assert_silent("metrics and health", shown, *PERSONAL)


@pytest.mark.slow
def test_ingest(broker: Broker, tmp_path: Path, name: str) -> None:
    """Webhooks with people where codes should be, signed rightly and wrongly."""
    broker.create_topic(f"{name}.tracking")
    sources = {"aftership": {"secrets": [INGEST_SECRET]}}
    with serving(tmp_path, broker.bootstrap, name, sources, pseudonym_key=PSEUDONYM_KEY) as running:
        for number, text in enumerate(CORPUS):
            body = webhook(f"NUMBER{number:06d}", "2026-03-02T12:00:00Z", subtag=text, tag=text,
                           message=text, city=text, location=text)  # fmt: skip
            assert running.post("/aftership", body, signed(body, INGEST_SECRET)).status == 200
            wrong = JSON | {"aftership-hmac-sha256": INGEST_SECRET, "X-Name": PSEUDONYM_KEY}
            assert running.post("/aftership", body, wrong).status == 401
            assert running.post(f"/{number}", body, wrong).status == 404
        shown = "".join(running.get(path)[1] for path in ("/metrics", "/healthz", "/unknown"))
    assert "forewarn_ingest" in shown
    assert_silent("the log", running.log.read_text(errors="replace"), *PERSONAL)
    assert_silent("metrics and unknown values", shown, *PERSONAL)

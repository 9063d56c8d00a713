"""The demo's machine: embedded broker and Valkey, and the real processes around them.

Others give a broker and a Redis of their own and get the same processes around these. Everything
listens on a free port of the loopback interface, in a process group of its own, and is stopped by
its id when the block ends, however it ends (pipeline.processes).
"""

import base64
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import topics
from pipeline.embedded import embedded_broker, embedded_redis
from pipeline.failures import Failure
from pipeline.processes import Child, free_port
from pipeline.settings import Settings, variable

IDLE_SECONDS: Final = 2.0
PARTITIONS: Final = 2
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What is running."""

    settings: Settings
    children: Sequence[Child]
    worker_url: str
    provider_url: str

    def check(self) -> None:
        """Raise `Failure` when one of our processes has ended by itself."""
        for child in self.children:
            if not child.running:
                raise Failure(
                    f"{child.name} ended with {child.returncode}; its messages: {child.log}\n"
                    f"{child.log_tail(1500)}"
                )


@contextmanager
def running(
    folder: Path,
    broker: str | None = None,
    redis: str | None = None,
    name: str = "forewarn",
) -> Iterator[Parts]:
    """Start everything, in order; the logs go to the folder.

    A broker (`host:port`) and a Redis (URL) that are given are used instead of embedded ones.
    `name` is the prefix of topics and of Redis' keys, for parts that others use as well.
    """
    ports = {name: free_port() for name in ("worker", "deliver", "provider")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    secret = "whsec_" + base64.b64encode(os.urandom(24)).decode()
    with ExitStack() as stack:
        environment = _environment(
            broker or stack.enter_context(embedded_broker(folder)),
            redis or stack.enter_context(embedded_redis(folder)),
            urls["provider"],
            secret,
            ports,
        ) | _named(name)
        settings = settings_for(environment)
        topics.create(settings.kafka)
        pages = {
            _child(folder, name, command, environment): urls[name] + page
            for name, command, page in (
                ("provider", _provider(ports["provider"], secret), "/coupons"),
                ("worker", ["pipeline.cli", "worker"], "/health/ready"),
                ("deliver", ["pipeline.cli", "deliver"], "/health/ready"),
            )
        }
        for child in pages:
            stack.enter_context(child)
        parts = Parts(settings, list(pages), urls["worker"], urls["provider"])
        _wait_ready(parts, list(pages.values()))
        yield parts


def _wait_ready(parts: Parts, pages: list[str]) -> None:
    """Wait for all of them at once: each takes its seconds to start."""
    deadline = time.monotonic() + _START_SECONDS
    while waiting := [page for page in pages if not responds(page)]:
        parts.check()
        if time.monotonic() > deadline:
            raise Failure(f"not ready after {_START_SECONDS:.0f} s: {', '.join(waiting)}")
        time.sleep(0.1)


def _environment(
    broker: str, redis: str, provider: str, secret: str, ports: dict[str, int]
) -> dict[str, str]:
    return {
        variable(("kafka", "brokers")): broker,
        variable(("kafka", "partitions")): str(PARTITIONS),
        variable(("kafka", "replication")): "1",
        variable(("redis", "url")): redis,
        variable(("clock",)): "data",
        variable(("idle_seconds",)): str(IDLE_SECONDS),
        variable(("tick_seconds",)): "0.5",
        variable(("coupons", "url")): f"{provider}/coupons",
        variable(("coupons", "secret")): secret,
        variable(("notifications", "url")): f"{provider}/notifications",
        variable(("notifications", "secret")): secret,
        variable(("actions", "url")): f"{provider}/actions",
        variable(("actions", "secret")): secret,
        variable(("outbound", "allow")): "127.0.0.1",
        variable(("metrics", "host")): "127.0.0.1",
        variable(("metrics", "port")): str(ports["worker"]),
        variable(("metrics", "deliver_port")): str(ports["deliver"]),
        variable(("deliver", "sharing")): "all",
        variable(("log", "format")): "json",
    }


def _named(name: str) -> dict[str, str]:
    return {
        variable(("kafka", "prefix")): name,
        variable(("kafka", "group")): f"{name}-demo",
        variable(("redis", "prefix")): name,
    }


@contextmanager
def _as_environment(environment: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def settings_for(environment: dict[str, str]) -> Settings:
    """Return the settings a process with these variables would have."""
    with _as_environment(environment):
        return Settings.load()


def _provider(port: int, secret: str) -> list[str]:
    return ["pipeline.provider", "--port", str(port), "--secret", secret]


def _child(folder: Path, name: str, command: list[str], environment: dict[str, str]) -> Child:
    return Child(
        name,
        [sys.executable, "-m", *command],
        log=folder / f"{name}.log",
        environment=environment,
    )


def get(url: str) -> bytes:
    """Fetch a page of one of our processes. Raises `OSError`."""
    with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - ours, on loopback
        body: bytes = answer.read()
    return body


def responds(url: str) -> bool:
    """Tell whether a page answers with 200."""
    try:
        get(url)
    except OSError:
        return False
    return True

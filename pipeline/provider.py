"""A small, honest coupon provider and notification service for demos and tests.

It does what a real one must: verifies the signature, answers a repeated key with what it answered
before, refuses a key that comes with another body, and keeps a list. It can be told to fail:
before the effect (503), after it (the connection is reset) and by being slow, each at a rate and
all from one seed. `GET /coupons` and `GET /notifications` list what had an effect.

    python -m pipeline.provider --port 0 --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
"""

import argparse
import asyncio
import json
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

_MAX_BODY_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Faults:
    """How often it fails, each 0..1, and how slow it is."""

    before: float = 0.0
    """503, without effect."""
    after: float = 0.0
    """The effect, and then a reset connection."""
    refused: float = 0.0
    """422: the customer cannot have it; the same answer for the same key."""
    slow: float = 0.0
    slow_seconds: float = 10.0
    seed: int = 0


class Given(msgspec.Struct, frozen=True):
    """One key that had its effect."""

    key: str
    reference: str
    body: msgspec.Raw
    received_at: datetime
    list: str
    """`coupons` or `notifications`."""


@dataclass(slots=True)
class Shelf:
    """What had an effect, in memory and, with a file, beyond a restart."""

    file: Path | None = None
    given: dict[str, Given] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    repeated: int = 0
    """How often a key came again."""

    def load(self) -> None:
        if self.file is None or not self.file.exists():
            return
        for line in self.file.read_bytes().splitlines():
            given = msgspec.json.decode(line, type=Given)
            self.given[given.key] = given

    def add(self, given: Given) -> None:
        if self.file is not None:
            with self.file.open("ab") as file:
                file.write(msgspec.json.encode(given) + b"\n")
        self.given[given.key] = given


class Provider:
    """The server.

    Parameters
    ----------
    secret
        `whsec_…`: what requests must be signed with.
    faults
        How it fails.
    file
        Where the list is kept, None for memory only.
    """

    def __init__(self, secret: str, *, faults: Faults = Faults(), file: Path | None = None) -> None:
        self.shelf = Shelf(file)
        self._verifier, self.faults = Webhook(secret), faults
        self._random = random.Random(faults.seed)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen and return the port."""
        self.shelf.load()
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        for name in ("coupons", "notifications", "actions"):
            app.router.add_post(f"/{name}", self._receive)
            app.router.add_get(f"/{name}", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]
        return self.port

    async def stop(self) -> None:
        """Stop listening; the list stays."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def url(self, name: str = "coupons") -> str:
        """Return where to post."""
        return f"http://127.0.0.1:{self.port}/{name}"

    async def _list(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        rows = [given for given in self.shelf.given.values() if given.list == name]
        return web.Response(body=msgspec.json.encode(rows), content_type="application/json")

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._verifier.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            return _problem(401, str(error))
        key = request.headers.get("Idempotency-Key", "")
        if not key or key != request.headers.get("webhook-id"):
            return _problem(400, "Idempotency-Key and webhook-id must be there and the same")
        if self._random.random() < self.faults.before:
            return _problem(503, "out of order")
        answer = self._act(key, body, request.path.strip("/"))
        if self._random.random() < self.faults.slow:
            await asyncio.sleep(self.faults.slow_seconds)
        if self._random.random() < self.faults.after and request.transport is not None:
            request.transport.abort()
        return answer

    def _act(self, key: str, body: bytes, name: str) -> web.Response:
        known = self.shelf.given.get(key)
        if known is not None:
            self.shelf.repeated += 1
            if bytes(known.body) != body:
                return _problem(422, "this key came with another body")
            return web.json_response({"id": known.reference}, status=200)
        if key in self.shelf.refused or self._random.random() < self.faults.refused:
            self.shelf.refused.add(key)
            return _problem(422, "this customer cannot have it")
        reference = f"{name[:3]}_{len(self.shelf.given) + 1:08d}"
        self.shelf.add(Given(key, reference, msgspec.Raw(body), datetime.now(UTC), name))
        return web.json_response({"id": reference}, status=201)


def _problem(status: int, title: str) -> web.Response:
    return web.json_response({"status": status, "title": title}, status=status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM; prints one line of JSON with the port when it listens."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--secret", required=True, help="whsec_…")
    parser.add_argument("--file", type=Path, help="keep the list here")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("before", "after", "refused", "slow"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="rate of that failure, 0..1")
    parser.add_argument("--slow-seconds", type=float, default=10.0)
    given = parser.parse_args(arguments)
    faults = Faults(
        given.before, given.after, given.refused, given.slow, given.slow_seconds, given.seed
    )
    asyncio.run(_serve(Provider(given.secret, faults=faults, file=given.file), given.port))


async def _serve(provider: Provider, port: int) -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    await provider.start(port)
    print(json.dumps({"port": provider.port}), flush=True)  # noqa: T201  what it is asked for
    try:
        await stopped.wait()
    finally:
        await provider.stop()


if __name__ == "__main__":
    main()

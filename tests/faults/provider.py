"""The test provider: a process of its own, a durable list a run, and faults that are switched.

It verifies signatures and answers a repeated key as before, as an honest provider does, unless it
is told not to: `PUT /RUN/behaviour` with a `Behaviour`. Every effect is a line of
`FOLDER/RUN.ndjson` before it is answered; nothing else counts for the verifier.

    python -m tests.faults.provider --folder /tmp/lists
"""

import argparse
import asyncio
import json
import random
import signal
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Fault(StrEnum):
    """What it does wrong."""

    NONE = "none"
    DROP = "drop"
    """The effect, and then a reset connection instead of an answer."""
    ERROR = "error"
    """500, sometimes after the effect."""
    BUSY = "busy"
    """429 with Retry-After, without effect."""
    REDIRECT = "redirect"
    """302 to an address that would give a coupon to whoever follows."""
    GONE = "gone"
    """410."""
    SLOW = "slow"
    """The effect, and an answer later than anybody waits for."""
    TWICE = "twice"
    """Two answers to one request."""
    CHANGED = "changed"
    """A repeated key is answered otherwise than before: another reference, or refused."""
    DOWN = "down"
    """A reset connection, without effect."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How it behaves from now on."""

    fault: Fault = Fault.NONE
    share: float = 1.0
    """Of requests."""
    seed: int = 0
    idempotent: bool = True
    slow_seconds: float = 2.0
    retry_after_seconds: int = 1


@dataclass
class Shop:
    """One run's list and behaviour."""

    file: Path
    behaviour: Behaviour = field(default_factory=Behaviour)
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    given: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    requests: int = 0

    def effect(self, kind: str, key: str, body: bytes) -> str:
        """Write it down, then it counts."""
        reference = f"{kind[:3]}_{len(self.given) + 1:06d}"
        line = {"list": kind, "key": key, "reference": reference, "body": json.loads(body)}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.given[kind, key] = reference, body
        return reference


class TestProvider:
    """The server."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shops: dict[str, Shop] = {}
        self._verifier = Webhook(SECRET)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_put("/{run}/behaviour", self._switch)
        app.router.add_get("/{run}/count", self._count)
        app.router.add_route("*", "/{run}/{kind:coupons|notifications|elsewhere}", self._receive)
        return app

    def _shop(self, request: web.Request) -> Shop:
        run = request.match_info["run"]
        return self._shops.setdefault(run, Shop(self._folder / f"{run}.ndjson"))

    async def _switch(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        shop.behaviour = msgspec.json.decode(await request.read(), type=Behaviour)
        shop.dice = random.Random(shop.behaviour.seed)
        return web.Response()

    async def _count(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        kinds = [kind for kind, _ in shop.given]
        counts = {kind: kinds.count(kind) for kind in ("coupons", "notifications")}
        return web.json_response(counts | {"requests": shop.requests})

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body, shop = await request.read(), self._shop(request)
        kind = request.match_info["kind"]
        if kind == "elsewhere":  # whoever follows a redirect buys here
            shop.effect("coupons", f"elsewhere-{len(shop.given)}", b"{}")
            return web.json_response({"id": "elsewhere"}, status=201)
        try:
            self._verifier.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            return web.json_response({"title": str(error)}, status=401)
        key = request.headers.get("Idempotency-Key", "")
        if not key or key != request.headers.get("webhook-id"):
            return web.json_response({"title": "keys differ"}, status=400)
        shop.requests += 1
        return await self._misbehave(request, shop, kind, key, body)

    async def _misbehave(
        self, request: web.Request, shop: Shop, kind: str, key: str, body: bytes
    ) -> web.StreamResponse:
        now = shop.behaviour
        fault = now.fault if shop.dice.random() < now.share else Fault.NONE
        if fault is Fault.DOWN or (fault is Fault.ERROR and shop.dice.random() < 0.5):
            return _reset(request) if fault is Fault.DOWN else web.Response(status=500)
        if fault is Fault.BUSY:
            after = {"Retry-After": str(now.retry_after_seconds)}
            return web.Response(status=429, headers=after)
        if fault is Fault.REDIRECT:
            there = request.path.replace(kind, "elsewhere")
            return web.Response(status=302, headers={"Location": there})
        if fault is Fault.GONE:
            return web.Response(status=410)
        known = shop.given.get((kind, key))
        if known is not None and now.idempotent:
            return self._again(shop, known, body, fault)
        reference = shop.effect(kind, key, body)
        if fault is Fault.ERROR:
            return web.Response(status=500)
        if fault is Fault.DROP or (fault is Fault.CHANGED and shop.dice.random() < 0.5):
            return _reset(request)
        if fault is Fault.SLOW:
            await asyncio.sleep(now.slow_seconds)
        answer = web.json_response({"id": reference}, status=201)
        return await _twice(request, answer, reference) if fault is Fault.TWICE else answer

    def _again(
        self, shop: Shop, known: tuple[str, bytes], body: bytes, fault: Fault
    ) -> web.StreamResponse:
        reference, before = known
        if before != body:
            return web.json_response({"title": "this key came with another body"}, status=422)
        if fault is Fault.CHANGED and shop.dice.random() < 0.5:
            return web.json_response({"title": "never heard of it"}, status=422)
        if fault is Fault.CHANGED:
            reference += "-changed"
        return web.json_response({"id": reference}, status=200)


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _twice(request: web.Request, answer: web.Response, reference: str) -> web.StreamResponse:
    """Answer, and a moment later answer again: to nobody, or to the next request."""
    await answer.prepare(request)
    await answer.write_eof()
    body = json.dumps({"id": f"{reference}-stray"})
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    if request.transport is not None:
        request.transport.write(f"{head}\r\n\r\n{body}".encode())
    return answer


async def _serve(folder: Path) -> None:
    runner = web.AppRunner(TestProvider(folder).application(), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)  # noqa: T201  asked for
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.provider", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the lists are kept")
    asyncio.run(_serve(parser.parse_args().folder))


if __name__ == "__main__":
    main()

"""The contract, sink by sink."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from pipeline.processes import free_port
from sinks.alertmanager import AlertmanagerSink
from sinks.base import Delivered, Message, MessageKind, Refused, RefusedReason, Sink, Unknown
from sinks.base import UnknownReason as Why
from sinks.console import ConsoleSink
from sinks.http import Outbound
from sinks.memory import MemorySink
from sinks.webhook import WebhookSink
from tests.sinks.contract import MESSAGE, Behaviour, Received, check

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEAR = Outbound(timeout_seconds=0.3, allow=("127.0.0.1",))
STATUS = {
    Behaviour.ACCEPTS: 201, Behaviour.REJECTS: 422, Behaviour.FAILS: 503, Behaviour.BUSY: 429,
    Behaviour.REDIRECTS: 307, Behaviour.DENIES: 401, Behaviour.CLOSED: 410,
}  # fmt: skip


class OtherSide:
    """An HTTP server that behaves as told."""

    def __init__(self) -> None:
        self.behaviour = Behaviour.ACCEPTS
        self.received: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append((request.headers.get("Idempotency-Key", ""), body))
        self.headers.append(dict(request.headers))
        if self.behaviour is Behaviour.HANGS:
            await asyncio.sleep(30)
        if self.behaviour is Behaviour.RESETS and request.transport is not None:
            request.transport.abort()
        if self.behaviour is Behaviour.FLOODS:
            return web.Response(status=200, body=b"x" * 5_000_000)
        if self.behaviour is Behaviour.TALKS_NONSENSE:
            return web.Response(status=200, body=b'{"coupon_id": [1]}')
        status = STATUS.get(self.behaviour, 200)
        headers = {"Retry-After": "7"} if status == 429 else {}
        if status == 307:
            headers["Location"] = "/elsewhere"
        return web.Response(status=status, body=b'{"id": "c1"}\x1b[31m', headers=headers)


@asynccontextmanager
async def other_side() -> AsyncIterator[tuple[OtherSide, str]]:
    other = OtherSide()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", other.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield other, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["webhook", "alertmanager"])
def test_http_sinks(name: str) -> None:
    """The sinks that speak HTTP keep the contract, whatever the other side does."""

    async def run() -> None:
        async with other_side() as (other, url):

            async def make(behaviour: Behaviour) -> tuple[Sink, Received]:
                other.behaviour = behaviour
                other.received = []
                where = (
                    url if behaviour is not Behaviour.GONE else f"http://127.0.0.1:{free_port()}"
                )
                sink: Sink = (
                    WebhookSink(f"{where}/hook", SECRET, outbound=NEAR)
                    if name == "webhook"
                    else AlertmanagerSink(where, outbound=NEAR)
                )
                return sink, lambda: other.received

            assert await check(make) == set(Behaviour)

    asyncio.run(run())


def test_memory_sink() -> None:
    """The in-memory sink keeps the contract."""

    async def make(behaviour: Behaviour) -> tuple[Sink, Received] | None:
        scripts: dict[Behaviour, list[Delivered | Refused | Unknown]] = {
            Behaviour.ACCEPTS: [],
            Behaviour.REJECTS: [Refused(RefusedReason.REJECTED, "no")] * 2,
            Behaviour.FAILS: [Unknown(Why.SERVER_ERROR, "503")] * 2,
        }
        if behaviour not in scripts:
            return None
        sink = MemorySink(scripts[behaviour])
        return sink, lambda: [(m.key, m.body) for m in sink.messages.values()]

    assert len(asyncio.run(check(make))) == 3


def test_console_sink() -> None:
    """The console sink keeps the contract, also when the console is gone."""

    async def make(behaviour: Behaviour) -> tuple[Sink, Received] | None:
        if behaviour is Behaviour.ACCEPTS:
            stream = io.StringIO()
            lines = lambda: [(line, b"") for line in stream.getvalue().splitlines()]  # noqa: E731
            return ConsoleSink(stream), lines
        if behaviour is Behaviour.GONE:
            stream = io.StringIO()
            stream.close()
            return ConsoleSink(stream), list
        return None

    assert len(asyncio.run(check(make))) == 2


def test_signature_can_be_verified() -> None:
    """A receiver verifies the request with the standard's own library, and finds the key."""

    async def run() -> None:
        async with other_side() as (other, url):
            sink = WebhookSink(url, SECRET, outbound=NEAR)
            assert await sink.deliver(MESSAGE) == Delivered(None)
            await sink.close()
            [headers], [(key, body)] = other.headers, other.received
            assert Webhook(SECRET).verify(body, headers) == {"amount_minor": 500, "text": "¥5"}
            assert key == headers["webhook-id"] == "rem_1"

    asyncio.run(run())


def test_retry_after_is_passed_on() -> None:
    """How long the other side asks to be left alone is known to the stage that waits."""

    async def run() -> None:
        async with other_side() as (other, url):
            other.behaviour = Behaviour.BUSY
            sink = WebhookSink(url, SECRET, outbound=NEAR)
            outcome = await sink.deliver(MESSAGE)
            await sink.close()
            assert isinstance(outcome, Unknown)
            assert outcome.reason is Why.BUSY
            assert outcome.retry_after_seconds == 7.0

    asyncio.run(run())


def test_memory_refuses_another_body() -> None:
    """A key that comes with other bytes is refused, as an honest provider does."""

    async def run() -> None:
        sink = MemorySink()
        await sink.deliver(MESSAGE)
        other = Message(kind=MessageKind.COUPON, key=MESSAGE.key, body=b"{}")
        assert isinstance(await sink.deliver(other), Refused)

    asyncio.run(run())

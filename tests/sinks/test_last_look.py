"""Whoever may not send any more sends nothing, although a connection stands already."""

import asyncio
import contextlib

from sinks.base import Delivered, Message, Sink, Unknown
from sinks.last_look import look_first
from sinks.webhook import WebhookSink
from tests.sinks.contract import MESSAGE
from tests.sinks.mail_server import mail_server
from tests.sinks.test_contract import NEAR, SECRET, other_side
from tests.sinks.test_mail import notice
from tests.sinks.test_mail import sink as mail_sink


class NotMine(Exception):
    """Somebody else sends this now."""


async def tried(sink: Sink, message: Message) -> int:
    """Deliver, then lose the right to, on a used connection and on a new one; return the looks."""
    looks, lost = 0, False

    async def may_send() -> None:
        nonlocal looks
        looks += 1
        if lost:
            raise NotMine

    async def deliver() -> object:
        look_first(may_send)
        return await sink.deliver(message)

    assert isinstance(await asyncio.create_task(deliver()), Delivered)
    lost = True
    for _ in range(2):
        with contextlib.suppress(NotMine):
            assert isinstance(await asyncio.create_task(deliver()), Unknown)
    lost = False
    assert isinstance(await asyncio.create_task(deliver()), Delivered)
    await sink.close()
    return looks


def test_a_webhook_is_looked_at_once_connected() -> None:
    """No request comes while it may not be sent; before and after it does."""

    async def run() -> None:
        async with other_side() as (other, url):
            looks = await tried(WebhookSink(url, SECRET, outbound=NEAR), MESSAGE)
            assert (looks, len(other.received)) == (4, 2)

    asyncio.run(run())


def test_a_mail_is_looked_at_before_its_text() -> None:
    """The server has greeted and taken the addresses; it gets no mail."""

    async def run() -> None:
        async with mail_server() as server:
            looks = await tried(mail_sink(server.port), notice())
            assert (looks, len(server.received)) == (4, 2)

    asyncio.run(run())


def test_others_are_not_looked_at() -> None:
    """What one task may not send is no other task's business."""

    async def run() -> None:
        async def never() -> None:
            raise NotMine

        async def mine() -> None:
            look_first(never)

        async with other_side() as (_, url):
            await asyncio.create_task(mine())
            sink = WebhookSink(url, SECRET, outbound=NEAR)
            assert isinstance(await sink.deliver(MESSAGE), Delivered)
            await sink.close()

    asyncio.run(run())


def test_not_a_byte_of_a_request() -> None:
    """The connection stands, and what comes over it is nothing, not even the head."""
    came: list[bytes] = []
    over = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()
        over.set()

    async def never() -> None:
        raise NotMine

    async def run() -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        sink = WebhookSink(f"http://{host}:{port}", SECRET, outbound=NEAR)
        look_first(never)
        assert isinstance(await sink.deliver(MESSAGE), Unknown)
        await sink.close()
        await over.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    assert came == [b""]

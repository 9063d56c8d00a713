"""Proxies between deliver and everything it talks to: they see each step from outside.

A proxy passes bytes on in pieces that mean something (a request of Kafka's protocol; whatever a
client of Redis or HTTP writes at once) and strikes at a piece it was told of: before it is passed
on, or at its answer. What strikes decides nothing about the bytes: a piece at which it struck is
not passed on, as if the process had died before it wrote it, or before it read it.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_CHUNK: Final = 65_536


class Side(StrEnum):
    """Which way a piece goes."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass
class Trap:
    """Strikes at the n-th piece that fits.

    Parameters
    ----------
    side
        Requests, or the answers to requests that fit.
    fits
        Told a request.
    strike
        What to do then.
    nth
        At which one.
    """

    side: Side
    fits: Callable[[bytes], bool]
    strike: Callable[[], None]
    nth: int = 1
    sprung: bool = False

    def counts(self, piece: bytes) -> bool:
        """Count a piece; True when this is the one."""
        if self.sprung or not self.fits(piece):
            return False
        self.nth -= 1
        self.sprung = self.nth <= 0
        return self.sprung


@dataclass(eq=False)
class Link:
    """One connection through a proxy, both ways."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    asked: list[bytes] = field(default_factory=list)
    """Requests that have not been answered."""

    def cut(self) -> None:
        for writer in self.writers:
            with suppress(OSError, RuntimeError):
                writer.transport.abort()


class Proxy:
    """Passes connections on to another port of this machine.

    Parameters
    ----------
    target
        Port; may be changed, for connections that come later.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.traps: list[Trap] = []
        self.seen: Callable[[bytes], None] = lambda _: None
        """Told every request that is passed on."""
        self.delay_seconds = 0.0
        """Before each request is passed on."""
        self._open = asyncio.Event()
        self._open.set()
        self.refusing = False
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Forget what the last run did with it."""
        self.cut()
        self.up()
        self.traps, self.delay_seconds = [], 0.0
        self.seen = lambda _: None

    def cut(self) -> None:
        """Reset every connection."""
        for link in tuple(self._links):
            link.cut()

    def down(self) -> None:
        """Reset every connection and refuse new ones."""
        self.refusing = True
        self.cut()

    def up(self) -> None:
        """Take connections again, let what was held go on."""
        self.refusing = False
        self._open.set()

    def hold(self) -> None:
        """Take requests and pass nothing on: the other side is frozen."""
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._link(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self.target)
        link = Link((writer, to_there))
        self._links.add(link)
        try:
            ways = [
                asyncio.ensure_future(self._requests(link, reader, to_there)),
                asyncio.ensure_future(self._answers(link, there, writer)),
            ]
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._links.discard(link)
            link.cut()

    async def _requests(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for piece in self.pieces(reader):
            if self._struck(Side.REQUEST, piece):
                return
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await self._open.wait()
            self.seen(piece)
            self.ask(link, piece)
            writer.write(piece)
            await writer.drain()

    async def _answers(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for piece in self.pieces(reader):
            asked = self.asked_for(link, piece)
            if asked is not None and self._struck(Side.ANSWER, asked):
                return
            await self._open.wait()
            writer.write(piece)
            await writer.drain()

    def _struck(self, side: Side, piece: bytes) -> bool:
        for trap in self.traps:
            if trap.side is side and trap.counts(piece):
                trap.strike()
                return True
        return False

    async def pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Yield what is written at once."""
        while piece := await reader.read(_CHUNK):
            yield piece

    def ask(self, link: Link, piece: bytes) -> None:
        """Note a request; Redis and HTTP answer one before the next is asked."""
        if link.asked:
            link.asked[0] += piece
        else:
            link.asked.append(piece)

    def asked_for(self, link: Link, answer: bytes) -> bytes | None:
        """Return the request an answer belongs to."""
        return link.asked.pop(0) if link.asked and answer else None


class KafkaProxy(Proxy):
    """Knows requests of Kafka's protocol: size, api key, version, correlation id, client id."""

    async def pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Yield whole requests, or whole answers."""
        while True:
            try:
                head = await reader.readexactly(4)
                yield head + await reader.readexactly(struct.unpack(">i", head)[0])
            except asyncio.IncompleteReadError:
                return

    def ask(self, link: Link, piece: bytes) -> None:
        link.asked.append(piece)

    def asked_for(self, link: Link, answer: bytes) -> bytes | None:
        number = answer[4:8]
        for index, asked in enumerate(link.asked):
            if asked[8:12] == number:
                return link.asked.pop(index)
        return None


class Api(StrEnum):
    """Requests of Kafka's protocol that move money's records."""

    PRODUCE = "0"
    ADD_OFFSETS = "25"
    END_TRANSACTION = "26"
    COMMIT_OFFSETS = "28"


def api_of(request: bytes) -> str:
    """Return the api key of a request."""
    return str(struct.unpack(">h", request[4:6])[0])


def client_of(request: bytes) -> str:
    """Return the client id of a request."""
    size: int = struct.unpack(">h", request[12:14])[0]
    return request[14 : 14 + max(size, 0)].decode(errors="replace")

"""One message over SMTP (RFC 5321), with TLS (RFC 3207, 8314) and AUTH PLAIN (RFC 4954).

On asyncio's streams: everything ends at the deadline, an answer is read up to a limit, and the
connection goes to the address that was looked at. `smtps://` is TLS from the first byte; with
`smtp://` the server must offer STARTTLS, unless its host is allowed to do without.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from sinks.destination import Destination
from sinks.last_look import last_look

MAX_LINE_BYTES: Final = 4096
MAX_REPLY_LINES: Final = 64
_PORTS: Final = {"smtp": 587, "smtps": 465}
_NAME: Final = "forewarn.invalid"
"""What we call ourselves: a name that is nobody's (RFC 2606)."""


class Stage(StrEnum):
    """Where in the conversation an answer came."""

    CONNECT = "connect"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    DATA = "data"
    END = "end"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    stage: Stage
    code: int
    """0: nothing that could be read as an answer."""
    text: str
    capabilities: frozenset[str] = frozenset()

    @property
    def good(self) -> bool:
        """Whether the conversation goes on."""
        return 200 <= self.code < 400


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in; neither shows in messages."""

    user: str
    password: str = field(repr=False)


class SmtpClient:
    """Sends messages, each over a connection of its own.

    Parameters
    ----------
    destination
        `smtp://host[:port]` or `smtps://host[:port]`.
    account
        None: without login.
    context
        How TLS is verified.
    """

    def __init__(
        self, destination: Destination, account: Account | None, context: ssl.SSLContext
    ) -> None:
        parts = urlsplit(destination.url)
        self._destination, self._account, self._context = destination, account, context
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls_at_once = parts.scheme == "smtps"

    async def send(self, sender: str, recipient: str, message: bytes) -> Reply:
        """Send one; returns the last reply: the first bad one, or that to the whole message.

        Raises `OSError`, `EOFError` and `ssl.SSLError`; cancelled, it closes the connection.
        """
        (address, *_) = await self._destination.resolve(self._host, self._port)
        reader, writer = await asyncio.open_connection(
            address["host"],
            self._port,
            limit=MAX_LINE_BYTES,
            ssl=self._context if self._tls_at_once else None,
            server_hostname=self._host if self._tls_at_once else None,
        )
        try:
            talk = _Talk(reader, writer)
            reply = await self._converse(talk, sender, recipient, message)
            with contextlib.suppress(OSError):
                writer.write(b"QUIT\r\n")
            return reply
        finally:
            writer.close()

    async def _converse(self, talk: "_Talk", sender: str, recipient: str, message: bytes) -> Reply:
        reply = await talk.read(Stage.CONNECT)
        if reply.good:
            reply = await self._open(talk)
        steps: Sequence[tuple[Stage, bytes]] = (
            (Stage.SENDER, f"MAIL FROM:<{_bare(sender)}>".encode()),
            (Stage.RECIPIENT, f"RCPT TO:<{_bare(recipient)}>".encode()),
            (Stage.DATA, b"DATA"),
            (Stage.END, _stuffed(message)),
        )
        for stage, line in steps:
            if not reply.good:
                return reply
            if stage is Stage.END:
                await last_look()
            reply = await talk.say(stage, line)
        return reply

    async def _open(self, talk: "_Talk") -> Reply:
        """Greet, turn TLS on, log in."""
        hello = f"EHLO {_NAME}".encode()
        reply = await talk.say(Stage.CONNECT, hello)
        if reply.good and not self._tls_at_once and "STARTTLS" in reply.capabilities:
            reply = await talk.say(Stage.CONNECT, b"STARTTLS")
            if reply.good:
                await talk.secure(self._context, self._host)
                reply = await talk.say(Stage.CONNECT, hello)
        elif reply.good and not self._tls_at_once and not self._destination.allowed:
            return Reply(Stage.CONNECT, 530, "the server offers no STARTTLS")
        if self._account is None or not reply.good:
            return reply
        plain = f"\0{self._account.user}\0{self._account.password}".encode()
        return await talk.say(Stage.LOGIN, b"AUTH PLAIN " + base64.b64encode(plain))


class _Talk:
    """Lines to and fro."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, stage: Stage, line: bytes) -> Reply:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()
        return await self.read(stage)

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        if self._reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 - RFC 3207, 4.2
            raise ConnectionError("something was said before TLS began")
        await self._writer.start_tls(context, server_hostname=host)

    async def read(self, stage: Stage) -> Reply:
        lines: list[bytes] = []
        while len(lines) < MAX_REPLY_LINES:
            line = await self._line()
            lines.append(line)
            if line[3:4] != b"-":
                break
        texts = [_printable(line[4:]) for line in lines]
        found = re.match(rb"[2-5]\d\d(?=[ \r\n-]|$)", lines[-1])
        words = frozenset(word.upper() for text in texts for word in text.split()[:1])
        return Reply(stage, int(found[0]) if found else 0, " ".join(texts), words)

    async def _line(self) -> bytes:
        """Read a line, of a longer one the beginning."""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            return await self._reader.readexactly(min(error.consumed, MAX_LINE_BYTES) or 1)


def _printable(raw: bytes) -> str:
    text = raw.decode("ascii", "replace").strip()
    return "".join(character if character.isprintable() else " " for character in text)


def _bare(address: str) -> str:
    """Return an address that cannot be anything else; raises `ValueError`."""
    if not re.fullmatch(r"[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,190}", address):
        raise ValueError("not a plain address")
    return address


def _stuffed(message: bytes) -> bytes:
    """Return the data: lines end in CRLF, a leading dot is doubled, a dot alone ends it."""
    lines = re.split(rb"\r\n|\r|\n", message.rstrip(b"\r\n"))
    stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
    return b"\r\n".join(stuffed) + b"\r\n."

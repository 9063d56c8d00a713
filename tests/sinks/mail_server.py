"""A real SMTP server (aiosmtpd) that behaves as told, with or without TLS and login."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.sinks.contract import Behaviour


@dataclass
class MailServer:
    """What came in, and how to answer."""

    port: int = 0
    behaviour: Behaviour = Behaviour.ACCEPTS
    received: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answers = {
            Behaviour.REJECTS: "550 no such user here",
            Behaviour.FAILS: "451 local error",
            Behaviour.BUSY: "450 come back later",
        }
        if self.behaviour in answers:
            return answers[self.behaviour]
        if self.behaviour is Behaviour.RESETS:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        if self.behaviour is Behaviour.HANGS:
            await asyncio.sleep(30)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.received.append(envelope)
        assert server.transport is not None
        self.secure.append(server.transport.get_extra_info("ssl_object") is not None)
        if self.behaviour is Behaviour.FLOODS:
            return "250 " + "x" * 2_000_000
        if self.behaviour is Behaviour.TALKS_NONSENSE:
            return "250 \x1b[31m\x07\x00"
        return "250 queued as 17"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@asynccontextmanager
async def mail_server(
    *, tls: ssl.SSLContext | None = None, at_once: bool = False, login: bool = False
) -> AsyncIterator[MailServer]:
    """A server on a free port: STARTTLS with `tls`, TLS from the first byte with `at_once`."""
    there = MailServer()
    loop = asyncio.get_running_loop()
    conversations: list[SMTP] = []

    def protocol() -> SMTP:
        conversations.append(_conversation())
        return conversations[-1]

    def _conversation() -> SMTP:
        return SMTP(
            there,
            hostname="mail.test",
            loop=loop,
            tls_context=None if at_once else tls,
            require_starttls=tls is not None and not at_once,
            auth_required=login,
            auth_require_tls=False,
            authenticator=there.authenticate if login else None,
            timeout=5,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if at_once else None)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        for each in conversations:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate of its own for localhost, and of who trusts it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))

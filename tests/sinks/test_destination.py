"""Where messages may go: nowhere inside, nowhere without TLS, and never where DNS points later."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sinks.base import Delivered, Unknown
from sinks.base import UnknownReason as Why_
from sinks.destination import Destination, Forbidden, Why
from sinks.http import HttpClient, Outbound
from tests.pipeline.delivering import NOON
from tests.real_parts import require_program
from tests.sinks.contract import Behaviour
from tests.sinks.test_contract import NEAR, other_side

INSIDE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "[::1]", "[fe80::1]", "[fc00::1]"),
    *("[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::a00:1]", "[2002:a00:1::]"),
    *("[ff02::1]", "[::]", "[::7f00:1]"),
)


@pytest.mark.parametrize("host", INSIDE)
def test_addresses_inside(host: str) -> None:
    """An address that leads inside is refused when it is configured."""
    with pytest.raises(Forbidden) as refused:
        Destination(f"https://{host}/hook")
    assert refused.value.why is Why.INSIDE
    Destination(f"https://{host}/hook", allow=[host.strip("[]")])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://coupons.example.com/x", Why.PLAIN),
        ("file:///etc/passwd", Why.SCHEME),
        ("gopher://coupons.example.com/", Why.SCHEME),
        ("https://user:secret@coupons.example.com/", Why.CREDENTIALS),
        ("https:///nothing", Why.NO_HOST),
    ],
)
def test_other_addresses(url: str, why: Why) -> None:
    """Nothing but https to a host, and no secret in the message."""
    with pytest.raises(Forbidden) as refused:
        Destination(url)
    assert refused.value.why is why
    assert "secret" not in str(refused.value)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """DNS that answers so, one after the other; returns what was asked for."""
    asked: list[str] = []

    async def getaddrinfo(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the name over later gets nothing."""
    asked = answering(monkeypatch, ["93.184.216.34"], ["10.0.0.1"])

    async def run() -> None:
        there = Destination("https://coupons.example.com/x")
        for _ in range(3):
            [address] = await there.resolve("coupons.example.com", 443)
            assert address["host"] == "93.184.216.34"
        assert asked == ["coupons.example.com"]

    asyncio.run(run())


def test_a_name_with_one_address_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address inside among public ones refuses the name; the message is not sent."""
    answering(monkeypatch, ["93.184.216.34", "10.0.0.1"])

    async def run() -> None:
        client = HttpClient("https://coupons.example.com/x", Outbound())
        outcome = await client.post(b"{}", {}, NOON)
        await client.close()
        assert isinstance(outcome, Unknown)
        assert outcome.reason is Why_.NOT_ACCEPTED_HERE
        assert "10.0.0.1" in outcome.detail

    asyncio.run(run())


def test_a_stray_answer_is_nobodys() -> None:
    """A receiver that answers twice does not answer the next request with it."""

    async def run() -> None:
        asked = 0

        async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                asked += 1
                body = b'{"id":"%d"}' % asked
                answer = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                writer.write(answer)
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(answer)

        server = await asyncio.start_server(twice, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = HttpClient(f"http://127.0.0.1:{port}/", NEAR)
        outcomes = []
        for _ in range(4):
            outcomes.append(await client.post(b"{}", {}, NOON))
            await asyncio.sleep(0.05)
        await client.close()
        server.close()
        assert outcomes == [Delivered(str(number)) for number in range(1, 5)]

    asyncio.run(run())


def test_tls_is_verified(tmp_path: Path) -> None:
    """A certificate nobody vouches for is no receiver."""
    require_program("openssl", "apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [shutil.which("openssl") or "", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-keyout", str(key), "-out",
            str(certificate), *subject]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        received = []

        async def handle(request: web.Request) -> web.Response:
            received.append(request.path)
            return web.Response(status=201)

        runner = web.AppRunner(_app(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        client = HttpClient(f"https://127.0.0.1:{runner.addresses[0][1]}/", NEAR)
        outcome = await client.post(b"{}", {}, NOON)
        await client.close()
        await runner.cleanup()
        assert isinstance(outcome, Unknown)
        assert outcome.reason is Why_.UNREACHABLE
        assert received == []

    asyncio.run(run())


def _app(handle: Any) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handle)
    return app


def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the environment do not lead messages elsewhere; no redirect is followed."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def run() -> None:
        async with other_side() as (other, url):
            client = HttpClient(f"{url}/hook", NEAR)
            assert isinstance(await client.post(b"{}", {}, NOON), Delivered)
            other.behaviour = Behaviour.REDIRECTS
            before = len(other.received)
            assert isinstance(await client.post(b"{}", {}, NOON), Unknown)
            await client.close()
            assert len(other.received) == before + 1

    asyncio.run(run())

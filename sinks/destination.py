"""Where messages may go: the address of a receiver, resolved once, pinned, and looked at first.

Addresses come from configuration only. One that leads inside (loopback, private, link-local and so
the metadata service of a cloud, shared, reserved, or an IPv4 address of these kinds in the clothes
of an IPv6 one) is refused unless its host is allowed by name; so is plain HTTP. A name is resolved
at its first use and not again until the process is started anew, so whoever later takes over the
name's DNS gets nothing. OWASP ASVS 5.0, 1.3.6; OWASP API Security Top 10 2023, API7.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

HTTP: Final = ("http", "https")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Why(StrEnum):
    """Why a destination is refused."""

    SCHEME = "not an address that requests can go to"
    CREDENTIALS = "a user name or password in the address"
    PLAIN = "plain http to a host that is not allowed by name (outbound.allow)"
    INSIDE = "an address inside, and the host is not allowed by name (outbound.allow)"
    NO_HOST = "no host"


class Forbidden(ValueError):
    """Nothing may be sent there; the message has no secret."""

    def __init__(self, host: str, why: Why, address: str | None = None) -> None:
        super().__init__(f"{host}{f' ({address})' if address else ''}: {why}")
        self.why = why


class Destination(AbstractResolver):
    """One receiver; also the resolver of the connections that lead there.

    Parameters
    ----------
    url
        `https://host/path`.
    allow
        Hosts, as written in addresses, that may be inside or without TLS.
    schemes
        What the address may begin with.

    Raises `Forbidden`.

    Examples
    --------
    >>> Destination("https://169.254.169.254/latest/meta-data")
    Traceback (most recent call last):
    ...
    sinks.destination.Forbidden: 169.254.169.254: an address inside, and the host is not allowed \
by name (outbound.allow)
    """

    def __init__(
        self, url: str, allow: Collection[str] = (), *, schemes: Collection[str] = HTTP
    ) -> None:
        parts = urlsplit(url)
        self.url, self._host = url, (parts.hostname or "").lower()
        self.allowed = self._host in {name.lower() for name in allow}
        """It may be inside, and without TLS."""
        self._pinned: list[ResolveResult] = []
        self._resolving = asyncio.Lock()
        if parts.scheme not in schemes:
            raise Forbidden(self._host, Why.SCHEME)
        if parts.username or parts.password:
            raise Forbidden(self._host, Why.CREDENTIALS)
        if not self._host:
            raise Forbidden(url, Why.NO_HOST)
        if parts.scheme == "http" and not self.allowed:
            raise Forbidden(self._host, Why.PLAIN)
        literal = _literal(self._host)
        if literal is not None:
            self._look_at(literal)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the pinned addresses; raises `OSError`, or `Forbidden` if any leads inside."""
        async with self._resolving:
            if not self._pinned:
                self._pinned = await self._resolved(host, port, family)
        return [{**address, "hostname": host, "port": port} for address in self._pinned]

    async def close(self) -> None:
        """Nothing is open."""

    async def _resolved(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        for *_, address in found:
            self._look_at(ipaddress.ip_address(str(address[0]).partition("%")[0]))
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    def _look_at(self, address: Address) -> None:
        if not self.allowed and leads_inside(address):
            literal = str(address) != self._host
            raise Forbidden(self._host, Why.INSIDE, str(address) if literal else None)


def leads_inside(address: Address) -> bool:
    """Whether an address is anything but a public unicast one.

    Examples
    --------
    >>> [leads_inside(ipaddress.ip_address(text)) for text in ("8.8.8.8", "::ffff:10.0.0.1")]
    [False, True]
    """
    inner = _inner(address) if isinstance(address, ipaddress.IPv6Address) else None
    if inner is not None:
        return leads_inside(inner)
    return not address.is_global or address.is_multicast


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one carries."""
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None

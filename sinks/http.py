"""Posting to one receiver and what its answer means: shared by the sinks that speak HTTP."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.connector import Connection

from sinks.base import (
    MAX_DETAIL_CHARACTERS,
    Delivered,
    Outcome,
    Refused,
    RefusedReason,
    Unknown,
    UnknownReason,
)
from sinks.destination import Destination, Forbidden
from sinks.last_look import last_look

MAX_RESPONSE_BYTES: Final = 65_536
MAX_RETRY_AFTER_SECONDS: Final = 3600.0
MAX_REFERENCE_CHARACTERS: Final = 200
_CONNECTIONS: Final = 256
"""Open to one receiver at once; more wait for their turn."""
_BUSY: Final = frozenset({409, 423, 425, 429})
_NOT_HERE: Final = frozenset({401, 403, 404, 405, 407})


class _Answer(msgspec.Struct):
    """What a provider may say of an accepted message."""

    id: str | None = None
    coupon_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outbound:
    """How requests leave.

    `timeout_seconds` is for one request from connecting to the last byte of the answer, the others
    for its parts.
    """

    timeout_seconds: float = 5.0
    connect_seconds: float = 3.0
    read_seconds: float = 5.0
    """Longest silence within an answer."""
    allow: Collection[str] = ()
    """Hosts that may be inside or without TLS (sinks/destination.py)."""


PUBLIC: Final = Outbound()


class HttpClient:
    """Posts to one receiver; connects at its first message.

    No redirect is followed, no proxy and no cookie of the environment used, TLS is verified, an
    answer is read up to `MAX_RESPONSE_BYTES` and not unpacked.
    """

    def __init__(self, url: str, outbound: Outbound) -> None:
        self._destination = Destination(url, outbound.allow)
        self._timeout = aiohttp.ClientTimeout(
            total=outbound.timeout_seconds,
            sock_connect=outbound.connect_seconds,
            sock_read=outbound.read_seconds,
        )
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: dict[str, str], now: datetime) -> Outcome:
        """Post a body and judge the answer; every failure on the way is `Unknown`."""
        if self._session is None:
            self._session = self._connected()
        try:
            async with self._session.post(
                self._destination.url, data=_Body(body), headers=headers, allow_redirects=False
            ) as answer:
                content = await _head(answer)
                return judge(answer.status, content, answer.headers.get("Retry-After"), now)
        except Forbidden as error:
            return Unknown(UnknownReason.NOT_ACCEPTED_HERE, str(error)[:MAX_DETAIL_CHARACTERS])
        except TimeoutError:
            return Unknown(UnknownReason.TIMED_OUT, "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Unknown(UnknownReason.UNREACHABLE, type(error).__name__)

    async def close(self) -> None:
        """Let go of connections; safe to repeat."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connected(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=self._timeout,
            connector=_Connector(
                resolver=self._destination, use_dns_cache=False, limit=_CONNECTIONS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )


class _Body(aiohttp.BytesPayload):
    """A body that is looked at once more before its request's first byte.

    aiohttp keeps the head of a request back until its body is written, which it does in a task of
    its own: of what waits until then nothing is sent when the look fails, and the connection is
    closed.
    """

    async def write_with_length(self, *args: Any, **options: Any) -> None:
        await last_look()
        await super().write_with_length(*args, **options)


class _Connector(aiohttp.TCPConnector):
    """Never asks on a connection that holds an answer nobody asked for.

    aiohttp would hand such an answer (a receiver that answers twice) to the next request.
    """

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                return connection
            connection.close()
        return None


async def _head(answer: aiohttp.ClientResponse) -> bytes:
    """Read no more of an answer than is looked at, however long it is."""
    content = b""
    while len(content) < MAX_RESPONSE_BYTES:
        part = await answer.content.read(MAX_RESPONSE_BYTES - len(content))
        if not part:
            break
        content += part
    return content


def judge(status: int, content: bytes, retry_after: str | None, now: datetime) -> Outcome:
    """Return what a status means.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> judge(201, b'{"coupon_id": "c1"}', None, noon)
    Delivered(reference='c1')
    >>> judge(422, b"no such customer", None, noon)
    Refused(reason=<RefusedReason.REJECTED: 'rejected'>, detail='422 no such customer')
    >>> judge(429, b"", "7", noon).retry_after_seconds
    7.0
    """
    if 200 <= status < 300:
        return Delivered(_reference(content))
    detail = _detail(status, content)
    if status in _BUSY:
        return Unknown(UnknownReason.BUSY, detail, _seconds(retry_after, now))
    if status >= 500 or status == 408:
        return Unknown(UnknownReason.SERVER_ERROR, detail, _seconds(retry_after, now))
    if status == 410:
        return Unknown(UnknownReason.GONE, detail)
    if status < 400 or status in _NOT_HERE:
        return Unknown(UnknownReason.NOT_ACCEPTED_HERE, detail)
    return Refused(RefusedReason.REJECTED, detail)


def _reference(content: bytes) -> str | None:
    """Return the provider's name for what it made, if it says one we can read."""
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except msgspec.MsgspecError:
        return None
    reference = answer.coupon_id or answer.id
    return reference[:MAX_REFERENCE_CHARACTERS] if reference else None


def _detail(status: int, content: bytes) -> str:
    text = content[: 4 * MAX_DETAIL_CHARACTERS].decode("utf-8", "replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return f"{status} {printable}".strip()[:MAX_DETAIL_CHARACTERS]


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read Retry-After: seconds or an HTTP date; nonsense counts as not given."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return min(float(retry_after), MAX_RETRY_AFTER_SECONDS)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)

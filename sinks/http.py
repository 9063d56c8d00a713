"""What an HTTP answer means for a message: shared by the sinks that speak HTTP."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec

from sinks.base import (
    MAX_DETAIL_CHARACTERS,
    Delivered,
    Outcome,
    Refused,
    RefusedReason,
    Unknown,
    UnknownReason,
)

MAX_RESPONSE_BYTES: Final = 65_536
MAX_RETRY_AFTER_SECONDS: Final = 3600.0
MAX_REFERENCE_CHARACTERS: Final = 200
_BUSY: Final = frozenset({409, 423, 425, 429})
_NOT_HERE: Final = frozenset({401, 403, 404, 405, 407})


class _Answer(msgspec.Struct):
    """What a provider may say of an accepted message."""

    id: str | None = None
    coupon_id: str | None = None


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: dict[str, str],
    now: datetime,
) -> Outcome:
    """Post a body and judge the answer; every failure on the way is `Unknown`."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            content = await _head(answer)
            return judge(answer.status, content, answer.headers.get("Retry-After"), now)
    except TimeoutError:
        return Unknown(UnknownReason.TIMED_OUT, "no answer in time")
    except (aiohttp.ClientError, OSError) as error:
        return Unknown(UnknownReason.UNREACHABLE, type(error).__name__)


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

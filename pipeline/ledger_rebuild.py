"""Having Redis rebuilt by those who own the partitions, and looking on."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from pipeline.budget import key_prefix
from pipeline.ledger import Book
from pipeline.settings import Settings

_LOOK_SECONDS: Final = 0.3


async def rebuild(
    settings: Settings,
    books: Sequence[Book],
    seconds: float,
    progress: Callable[[int, int], None],
) -> bool:
    """Take the owners' marks away, so they rebuild; True when every partition is ready again.

    `progress` is told how many of how many remedies are in.
    """
    client: Redis = Redis.from_url(settings.redis.url.get_secret_value(), socket_timeout=10)
    prefix, total = key_prefix(settings.redis.prefix), sum(len(book.accounts) for book in books)
    try:
        await client.delete(f"{prefix}:lanes")
        deadline, shown = time.monotonic() + seconds, -1
        while time.monotonic() < deadline:
            lanes: list[Any] = await client.hvals(f"{prefix}:lanes")
            if len(lanes) == len(books) and all(bytes(lane).endswith(b"|1") for lane in lanes):
                progress(total, total)
                return True
            done = sum([await client.scard(f"{prefix}:ids:{p}") for p in range(len(books))])
            if done != shown:
                progress(done, total)
                shown = done
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await client.aclose()
    return False

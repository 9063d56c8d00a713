"""Whether ledger, Redis and the provider's own list agree at the end of the demo."""

import asyncio
import json

from redis.asyncio import Redis

from pipeline.books import Cache, read_cache, reconcile
from pipeline.demo_parts import Parts, get
from pipeline.ledger_log import read_book
from pipeline.settings import Settings


def compare(parts: Parts) -> list[str]:
    """Return every difference, in words; nothing when the books balance."""
    settings = parts.settings
    books = [read_book(settings.kafka, p) for p in range(settings.kafka.partitions)]
    coupons = [str(row["key"]) for row in json.loads(get(f"{parts.provider_url}/coupons"))]
    cache = asyncio.run(_cache(settings))
    return [f"{d.what}: {d.key}: {d.detail}" for d in reconcile(books, cache, coupons)]


async def _cache(settings: Settings) -> Cache:
    client: Redis = Redis.from_url(settings.redis.url.get_secret_value(), socket_timeout=10)
    try:
        return await read_cache(client, settings.redis.prefix)
    finally:
        await client.aclose()

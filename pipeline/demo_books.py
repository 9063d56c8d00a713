"""Whether ledger, Redis and the provider's own list agree at the end of the demo."""

import asyncio
import json

from pipeline.books import read_redis, reconcile
from pipeline.demo_parts import Parts, get
from pipeline.ledger_log import read_book


def compare(parts: Parts) -> list[str]:
    """Return every difference, in words; nothing when the books balance."""
    settings = parts.settings
    books = [read_book(settings.kafka, p) for p in range(settings.kafka.partitions)]
    coupons = [str(row["key"]) for row in json.loads(get(f"{parts.provider_url}/coupons"))]
    cache = asyncio.run(read_redis(settings))
    return [f"{d.what}: {d.key}: {d.detail}" for d in reconcile(books, cache, coupons)]

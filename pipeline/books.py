"""Do the books balance? Ledger, Redis and the provider's own list, compared to the last coupon."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from redis.asyncio import Redis

from pipeline.budget import key_prefix
from pipeline.ledger import Book, State
from pipeline.settings import Settings

_SCAN: Final = 1000
_LIST_SECONDS: Final = 30.0


class Disagreement(StrEnum):
    """What two of the three do not agree on."""

    REDIS_STATE = "redis_state"
    REDIS_BUDGET = "redis_budget"
    PAID_TWICE = "paid_twice"
    PAID_NOT_IN_LEDGER = "paid_not_in_ledger"
    """The provider has a coupon that the ledger did not promise, or refused."""
    IN_LEDGER_NOT_PAID = "in_ledger_not_paid"
    """The ledger says ISSUED and the provider does not have it."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    what: Disagreement
    key: str
    detail: str


class Cache(msgspec.Struct, frozen=True):
    """What Redis holds: states by remedy, (reserved, spent) by budget."""

    states: dict[str, str]
    budgets: dict[str, tuple[int, int]]


async def read_cache(client: Redis, prefix: str) -> Cache:
    """Read all of Redis that is about money."""
    first = key_prefix(prefix)
    states = _texts(await client.hgetall(f"{first}:remedies"))
    budgets = {}
    async for key in client.scan_iter(match=f"{first}:budget:*", count=_SCAN):
        fields = _texts(await client.hgetall(key))
        scope = _text(key).removeprefix(f"{first}:budget:")
        budgets[scope] = (_sum(fields, "r/"), _sum(fields, "s/"))
    return Cache(states, budgets)


def _texts(fields: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _sum(fields: Mapping[str, str], kind: str) -> int:
    return sum(int(minor) for name, minor in fields.items() if name.startswith(kind))


def expected_cache(books: Iterable[Book]) -> Cache:
    """Return what Redis must hold, by the ledger."""
    states: dict[str, str] = {}
    reserved: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for book in books:
        states |= {key: str(account.state) for key, account in book.accounts.items()}
        reserved.update(book.reserved_minor)
        spent.update(book.spent_minor)
    scopes = {*reserved, *spent}
    return Cache(states, {scope: (reserved[scope], spent[scope]) for scope in scopes})


def reconcile(
    books: Sequence[Book], cache: Cache | None, coupons: Sequence[str] | None
) -> list[Difference]:
    """Return every difference between ledger, Redis and the provider's list of keys.

    A coupon whose remedy is RESERVED, UNKNOWN or PARKED may or may not be there: that is what
    these states say.
    """
    found: list[Difference] = []
    if cache is not None:
        wanted = expected_cache(books)
        found += _compare(Disagreement.REDIS_STATE, wanted.states, cache.states)
        found += _compare(Disagreement.REDIS_BUDGET, _used(wanted), _used(cache))
    if coupons is not None:
        found += _compare_coupons(books, coupons)
    return found


def _used(cache: Cache) -> dict[str, object]:
    return {scope: both for scope, both in cache.budgets.items() if both != (0, 0)}


def _compare(
    what: Disagreement, ledger: Mapping[str, object], redis: Mapping[str, object]
) -> list[Difference]:
    return [
        Difference(what, key, f"ledger {ledger.get(key)}, Redis {redis.get(key)}")
        for key in sorted({*ledger, *redis})
        if ledger.get(key) != redis.get(key)
    ]


def _compare_coupons(books: Sequence[Book], coupons: Sequence[str]) -> list[Difference]:
    accounts = {key: account for book in books for key, account in book.accounts.items()}
    found = [
        Difference(Disagreement.PAID_TWICE, key, f"{count} coupons")
        for key, count in Counter(coupons).items()
        if count > 1
    ]
    for key in sorted(set(coupons)):
        account = accounts.get(key)
        if account is None or account.state in {State.REFUSED, State.HELD}:
            state = account.state if account else "nothing"
            found.append(Difference(Disagreement.PAID_NOT_IN_LEDGER, key, f"ledger says {state}"))
    paid = set(coupons)
    found += [
        Difference(Disagreement.IN_LEDGER_NOT_PAID, key, "ledger says issued")
        for key, account in sorted(accounts.items())
        if account.spent_minor and key not in paid
    ]
    return found


async def read_redis(settings: Settings) -> Cache:
    """Read it by the settings."""
    client: Redis = Redis.from_url(settings.redis.url.get_secret_value(), socket_timeout=10)
    try:
        return await read_cache(client, settings.redis.prefix)
    finally:
        await client.aclose()


def listed_coupons(url: str) -> list[str]:
    """Return the keys of the provider's own list; raises `OSError`."""
    if not url.startswith(("http://", "https://")):
        raise OSError(f"{url} is not an http:// or https:// URL")
    try:
        with urlopen(url, timeout=_LIST_SECONDS) as answer:  # noqa: S310  checked above
            return [str(row["key"]) for row in json.load(answer)]
    except (URLError, KeyError, TypeError, ValueError) as error:
        raise OSError(f"{url} gives no list of coupons: {error}") from error


def summary_of(books: Sequence[Book]) -> dict[str, int]:
    """Return how many remedies are in each state, and the money."""
    accounts = [account for book in books for account in book.accounts.values()]
    states = Counter(str(account.state) for account in accounts)
    return {
        **{str(state): states[str(state)] for state in State},
        "reserved_minor": sum(account.reserved_minor for account in accounts),
        "spent_minor": sum(account.spent_minor for account in accounts),
    }

"""Reservations of money in Redis: all budgets, caps and floods of a request in one Lua script.

Redis is a cache of the ledger that lanes share, never the truth. A *lane* is the owner of one
partition of the ledger; what it contributed to a budget stands in Redis under its own number, so
it can replace that alone. Nothing is reserved unless every lane is ready in this very server
process: after a restart, a failover or FLUSHALL money waits until every owner has rebuilt its part.

Order keeps `reserved + spent <= budget` true at every moment: a reservation is made here first and
in the ledger second; what frees money is written to the ledger first and here second. So Redis
never shows less than the ledger holds.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import resources
from typing import Any, Final, Protocol

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from pipeline.claims import Claim, Limits
from pipeline.ledger import Book
from pipeline.remedies import Reason

_CHUNK: Final = 500


class Verdict(StrEnum):
    """What became of a claim."""

    RESERVED = "reserved"
    HELD = "held"
    REFUSED = "refused"
    ALREADY = "already"
    """Another partition has this remedy: nothing to do here."""


class Silence(msgspec.Struct, frozen=True):
    """A carrier whose feed has fallen silent, or a place (`carrier/facility`) that is stuck."""

    carrier: str
    since: int
    """Whole seconds since the epoch."""


class NotReady(Exception):
    """Redis cannot be asked now: it is gone, was emptied, or another lane is being rebuilt."""


class Waiting(NotReady):
    """Another lane is not ready; nothing was changed."""


class Stale(NotReady):
    """Redis does not hold this lane as its ledger has it: rebuild it."""


class Behind(NotReady):
    """Redis has seen more of this ledger than this lane has: somebody else owns it."""


class Reservations(Protocol):
    """What the issuer asks of the cache of one lane."""

    async def reserve(
        self, claims: Sequence[Claim], offset: int
    ) -> list[tuple[Verdict, Reason | None]]:
        """Reserve, in order; raises `NotReady` or `Stale`, and then nothing was reserved."""
        ...

    async def settle(
        self,
        moves: Sequence[Claim],
        *,
        silent: Sequence[Silence],
        speaking: Sequence[str],
        offset: int,
        reached: int,
    ) -> None:
        """Follow the ledger from `offset` to `reached`; raises `NotReady` or `Stale`."""
        ...

    async def rebuild(self, book: Book, progress: Callable[[int], None]) -> None:
        """Replace everything this lane contributed by what its ledger says.

        `progress` is told how many accounts are in so far.
        """
        ...

    async def time(self) -> datetime:
        """Return the time of the cache's own clock; raises `NotReady`."""
        ...


class RedisReservations:
    """The lane of one partition in Redis.

    Parameters
    ----------
    redis
        A client with time-outs and without retries.
    prefix
        First part of every key.
    partition, partitions
        Which lane, of how many.
    token
        Another one for each owner a lane has had.
    limits
        What requests take.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        *,
        partition: int,
        partitions: int,
        token: str,
        limits: Limits,
    ) -> None:
        self._redis, self._keys = redis, [key_prefix(prefix)]
        self._partition, self._partitions, self._token = partition, partitions, token
        self._limits = limits
        self._reserve = redis.register_script(_script("reserve"))
        self._settle = redis.register_script(_script("settle"))
        self._rebuild = redis.register_script(_script("rebuild"))

    async def reserve(
        self, claims: Sequence[Claim], offset: int
    ) -> list[tuple[Verdict, Reason | None]]:
        answer = await self._call(self._reserve, offset, wanted=claims, partitions=self._partitions)
        status, *verdicts = answer
        if status == b"wait":
            raise Waiting(f"partition {verdicts[0].decode()} is not ready in Redis")
        _refuse_stale(status)
        return [_verdict(*pair) for pair in verdicts]

    async def settle(
        self,
        moves: Sequence[Claim],
        *,
        silent: Sequence[Silence],
        speaking: Sequence[str],
        offset: int,
        reached: int,
    ) -> None:
        answer = await self._call(
            self._settle, offset, moves=moves, silent=silent, speaking=speaking, reached=reached
        )
        _refuse_stale(answer)

    async def time(self) -> datetime:
        try:
            seconds, micros = await self._redis.time()
        except (RedisError, OSError, TimeoutError) as error:
            raise NotReady(f"Redis does not answer: {error}") from error
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)

    async def rebuild(self, book: Book, progress: Callable[[int], None]) -> None:
        """Raises `Behind` when somebody has written more of this ledger than `book` holds."""
        await self._refuse_eviction()
        if await self._call(self._rebuild, book.offset, step="begin") == b"behind":
            raise Behind(f"Redis has seen more of ledger partition {self._partition} than we have")
        left = 1
        while left:
            answer = await self._call(self._rebuild, book.offset, step="clear")
            _refuse_stale(answer)
            left = int(answer)
        accounts = [self._limits.account(account) for account in book.accounts.values()]
        for start in range(0, len(accounts), _CHUNK):
            await self._load(book.offset, accounts=accounts[start : start + _CHUNK])
            progress(min(start + _CHUNK, len(accounts)))
        await self._load(book.offset, silent=silences(book))
        _refuse_stale(await self._call(self._rebuild, book.offset, step="finish"))

    async def _refuse_eviction(self) -> None:
        """A Redis that drops keys when it is full would forget what is reserved."""
        try:
            memory = await self._redis.info("memory")
        except (RedisError, OSError, TimeoutError) as error:
            raise NotReady(f"Redis does not answer: {error}") from error
        if str(memory.get("maxmemory_policy", "")).startswith("allkeys"):
            raise NotReady("Redis may evict any key: set its maxmemory-policy to noeviction")

    async def _load(
        self, offset: int, *, accounts: Sequence[Claim] = (), silent: Sequence[Silence] = ()
    ) -> None:
        answer = await self._call(
            self._rebuild, offset, step="load", accounts=accounts, silent=silent
        )
        _refuse_stale(answer)

    async def _call(self, script: AsyncScript, offset: int, **request: object) -> Any:
        request |= {"partition": self._partition, "token": self._token, "offset": offset}
        try:
            return await script(keys=self._keys, args=[msgspec.json.encode(request)])
        except (RedisError, OSError, TimeoutError) as error:
            raise NotReady(f"Redis does not answer: {error}") from error


def key_prefix(prefix: str) -> str:
    """Return the first part of every key, in braces: one slot of a Redis Cluster."""
    return "{" + prefix + "}"


def silences(book: Book) -> list[Silence]:
    """Return the carriers that a ledger says are silent, and the places that are stuck."""
    alerts = (entry.alert for entry in book.alerts.values())
    return [
        Silence(alert.holds_back, int(alert.starts_at.timestamp()))
        for alert in alerts
        if alert.holds_back
    ]


def _script(name: str) -> str:
    folder = resources.files("pipeline") / "lua"
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("lane", name))


def _refuse_stale(answer: bytes) -> None:
    if answer == b"stale":
        raise Stale("Redis does not hold this partition as the ledger has it")


def _verdict(verdict: bytes, reason: bytes) -> tuple[Verdict, Reason | None]:
    known = Verdict(verdict.decode())
    if known is Verdict.ALREADY or not reason:
        return known, None
    return known, Reason(reason.decode())

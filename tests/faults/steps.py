"""The steps of issuing as they are seen from outside, each a place to die at."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha1
from importlib import resources
from typing import Final

from tests.faults.proxies import Api, Side, Trap, api_of, client_of


class Part(StrEnum):
    """Whom deliver talks to."""

    KAFKA = "kafka"
    REDIS = "redis"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Step:
    """One step: the request that shows it."""

    name: str
    part: Part
    side: Side
    fits: Callable[[bytes], bool]

    def trap(self, strike: Callable[[], None], nth: int = 1) -> Trap:
        return Trap(self.side, self.fits, strike, nth)


@cache
def script_sha(name: str) -> bytes:
    """What Redis calls a script."""
    folder = resources.files("pipeline") / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("lane", name))
    return sha1(text.encode()).hexdigest().encode()  # noqa: S324  Redis' own choice


def script(name: str) -> Callable[[bytes], bool]:
    return lambda piece: script_sha(name) in piece


def produces(what: bytes) -> Callable[[bytes], bool]:
    """A record of the ledger that says so."""
    return lambda piece: api_of(piece) == Api.PRODUCE and _ledger(piece) and what in piece


def _ledger(piece: bytes) -> bool:
    return "-ledger-" in client_of(piece)


def _judges(piece: bytes) -> bool:
    return "-judging-" in client_of(piece)


def _ends(piece: bytes) -> bool:
    return api_of(piece) == Api.END_TRANSACTION and _ledger(piece)


def posts(path: bytes) -> Callable[[bytes], bool]:
    return lambda piece: piece.startswith(b"POST ") and path in piece.split(b"\r\n", 1)[0]


def _steps() -> list[Step]:
    kafka, redis, provider = Part.KAFKA, Part.REDIS, Part.PROVIDER
    asked, answered = Side.REQUEST, Side.ANSWER
    reserved, issued, told = b'"state":"reserved"', b'"state":"issued"', b'"told":"delivered"'
    return [
        Step("judging", kafka, asked, lambda p: api_of(p) == Api.PRODUCE and _judges(p)),
        Step("judged", kafka, answered, lambda p: api_of(p) == Api.END_TRANSACTION and _judges(p)),
        Step("reserving", redis, asked, script("reserve")),
        Step("reserved", redis, answered, script("reserve")),
        Step("promising", kafka, asked, produces(reserved)),
        Step("promise written", kafka, answered, produces(reserved)),
        Step("promised", kafka, answered, _ends),
        Step("asking", provider, asked, posts(b"/coupons")),
        Step("answered", provider, answered, posts(b"/coupons")),
        Step("settling", kafka, asked, produces(issued)),
        Step("offsets", kafka, asked, lambda p: api_of(p) == Api.COMMIT_OFFSETS and _ledger(p)),
        Step("committing", kafka, asked, _ends),
        Step("following", redis, asked, script("settle")),
        Step("telling", provider, asked, posts(b"/notifications")),
        Step("told", provider, answered, posts(b"/notifications")),
        Step("recording", kafka, asked, produces(told)),
    ]


STEPS: Final = _steps()

"""Every sink against every rule of sinks/base.py: `check(make)` with a way to make the sink.

`make(behaviour)` returns a sink whose other side behaves as told, and a function that lists the
(key, body) pairs it received. A sink whose other side cannot misbehave so returns None.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from sinks.base import Delivered, Message, MessageKind, Refused, Sink, Unknown


class Behaviour(StrEnum):
    """What the other side does."""

    ACCEPTS = "accepts"
    REJECTS = "rejects"
    FAILS = "fails"
    BUSY = "busy"
    HANGS = "hangs"
    RESETS = "resets"
    GONE = "gone"
    FLOODS = "floods"
    TALKS_NONSENSE = "talks_nonsense"
    REDIRECTS = "redirects"
    DENIES = "denies"
    CLOSED = "closed"


Received = Callable[[], list[tuple[str, bytes]]]
Make = Callable[[Behaviour], Awaitable[tuple[Sink, Received] | None]]

MESSAGE = Message(
    kind=MessageKind.COUPON, key="rem_1", body='{"amount_minor":500,"text":"¥5"}'.encode()
)
EFFECT = frozenset({Behaviour.ACCEPTS, Behaviour.FLOODS, Behaviour.TALKS_NONSENSE})
NEVER = frozenset({Behaviour.REJECTS})


async def check(make: Make, message: Message = MESSAGE) -> set[Behaviour]:
    """Check all rules; returns the behaviours that could be tried."""
    tried = set()
    for behaviour in Behaviour:
        made = await make(behaviour)
        if made is None:
            continue
        tried.add(behaviour)
        sink, received = made
        try:
            await _check_one(sink, received, behaviour, message)
        finally:
            await sink.close()
            await sink.close()
    return tried


async def _check_one(
    sink: Sink, received: Received, behaviour: Behaviour, message: Message
) -> None:
    first = await sink.deliver(message)
    second = await sink.deliver(message)
    for outcome in (first, second):
        if behaviour in EFFECT:
            assert isinstance(outcome, Delivered), (behaviour, outcome)
            continue
        wanted = Refused if behaviour in NEVER else Unknown
        assert isinstance(outcome, wanted), (behaviour, outcome)
        assert len(outcome.detail) <= 200
        assert outcome.detail.isprintable()
    assert len(set(received())) <= 1, "the same key and bytes each time"
    if behaviour in EFFECT:
        assert received(), "something arrived"

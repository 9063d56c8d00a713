"""The last look before a message leaves, when a connection stands and no byte of it was sent.

Who sends may have been frozen while it connected: whether it still may is asked here once more. It
is bound to the task that delivers, because a sink knows nothing of those who use it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

_LOOK: Final[ContextVar[Callable[[], Awaitable[None]] | None]] = ContextVar("look", default=None)


def look_first(may_send: Callable[[], Awaitable[None]]) -> None:
    """Have `may_send` asked before whatever this task delivers; it raises when it must not."""
    _LOOK.set(may_send)


async def last_look() -> None:
    """Ask; sinks await this just before the first byte of a message."""
    may_send = _LOOK.get()
    if may_send is not None:
        await may_send()

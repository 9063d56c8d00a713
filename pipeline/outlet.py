"""A sink with a switch: who answers 410 (Gone) is not asked again.

A process that has heard 410 sends nothing more there. One that is started later finds in the
ledger that 410 was the last word, and cannot know whether a person has mended the address since or
a supervisor has merely started it again: it sends one message, alone, and goes on only if that is
not answered 410. So no state of its own is kept for it, and a crash loop asks once a start.
"""

import asyncio
from typing import Final

import structlog

from pipeline.money_metrics import SWITCHED_OFF, count_sink
from sinks.base import Message, Outcome, Sink, Unknown, UnknownReason

_LOG: Final = structlog.get_logger(__name__)
_NOT_SENT: Final = "not sent: switched off"


class Outlet:
    """Where messages of one kind leave.

    Parameters
    ----------
    name
        In metrics and messages.
    sink
        What it hands them to.
    repeats
        Whether the other side answers a repeated key as it answered the first: without that a
        message whose outcome is unknown is never sent again.
    """

    def __init__(self, name: str, sink: Sink, *, repeats: bool = True) -> None:
        self.name, self.repeats = name, repeats
        self.off = False
        """The other side said 410: start the process again once the address is right."""
        self.trial = False
        """410 was the last word: one message first."""
        self._sink, self._proven, self._alone = sink, False, asyncio.Lock()
        SWITCHED_OFF.labels(name).set(0)

    async def deliver(self, message: Message) -> Outcome:
        """Send one message; nothing is sent where the receiver is gone."""
        if not self.trial:
            return await self._sent(message)
        async with self._alone:
            outcome = await self._sent(message)
            if self._proven:
                self.trial = False
            return outcome

    def try_first(self) -> None:
        """Send one message before all others: the ledger knows of a 410 and of nothing after it."""
        self.trial = not self._proven

    async def _sent(self, message: Message) -> Outcome:
        if self.off:
            return Unknown(UnknownReason.GONE, _NOT_SENT)
        outcome = await self._sink.deliver(message)
        count_sink(self.name, outcome)
        if isinstance(outcome, Unknown) and outcome.reason is UnknownReason.GONE and not self.off:
            self.off = True
            SWITCHED_OFF.labels(self.name).set(1)
            _LOG.error("switched off: the receiver is gone for good", sink=self.name)
        self._proven = self._proven or not self.off
        return outcome

    async def close(self) -> None:
        """Let go of connections."""
        await self._sink.close()

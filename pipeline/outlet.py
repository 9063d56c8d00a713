"""A sink with a switch: who answers 410 (Gone) is not asked again by this process."""

from typing import Final

import structlog

from pipeline.money_metrics import SWITCHED_OFF, count_sink
from sinks.base import Message, Outcome, Sink, Unknown, UnknownReason

_LOG: Final = structlog.get_logger(__name__)


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
        self._sink = sink
        SWITCHED_OFF.labels(name).set(0)

    async def deliver(self, message: Message) -> Outcome:
        """Send one message."""
        outcome = await self._sink.deliver(message)
        count_sink(self.name, outcome)
        if isinstance(outcome, Unknown) and outcome.reason is UnknownReason.GONE and not self.off:
            self.off = True
            SWITCHED_OFF.labels(self.name).set(1)
            _LOG.error("switched off: the receiver is gone for good", sink=self.name)
        return outcome

    async def close(self) -> None:
        """Let go of connections."""
        await self._sink.close()

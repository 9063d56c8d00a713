"""Messages kept in memory, by key, as an idempotent receiver would: for tests and embedding."""

from collections.abc import Iterable, Iterator

from sinks.base import Delivered, Message, Outcome, Refused, RefusedReason, Unknown


class MemorySink:
    """Has each key's effect once, however often the message comes.

    Parameters
    ----------
    script
        Outcomes to give first, one a call. `Unknown` after the effect (a lost answer) is
        `(outcome, True)`; a plain outcome other than `Delivered` has no effect.
    capacity
        Distinct keys it takes; more are refused.
    """

    def __init__(
        self,
        script: Iterable[Outcome | tuple[Unknown, bool]] = (),
        *,
        capacity: int = 100_000,
    ) -> None:
        self.messages: dict[str, Message] = {}
        """What had an effect, by key."""
        self.attempts: list[Message] = []
        """Every call, for asserting what was repeated."""
        self.script(script)
        self._capacity = capacity

    def script(self, script: Iterable[Outcome | tuple[Unknown, bool]]) -> None:
        """Give these outcomes first from now on."""
        self._script: Iterator[Outcome | tuple[Unknown, bool]] = iter(script)

    async def deliver(self, message: Message) -> Outcome:
        if len(self.attempts) < self._capacity:
            self.attempts.append(message)
        step = next(self._script, None)
        if isinstance(step, tuple):
            outcome, effect = step
            if effect:
                self.messages.setdefault(message.key, message)
            return outcome
        if step is not None and not isinstance(step, Delivered):
            return step
        return self._accept(message)

    def _accept(self, message: Message) -> Outcome:
        known = self.messages.get(message.key)
        if known is not None and known.body != message.body:
            return Refused(RefusedReason.REJECTED, "this key came with another body")
        if known is None and len(self.messages) >= self._capacity:
            return Refused(RefusedReason.REJECTED, "full")
        self.messages.setdefault(message.key, message)
        return Delivered(reference=f"memory:{message.key}")

    async def close(self) -> None:
        """Keep everything."""

"""Messages as lines for a person: what would be sent where nothing is connected."""

import sys
from typing import TextIO

from sinks.base import Delivered, Message, Outcome, Unknown, UnknownReason


class ConsoleSink:
    """Writes one line a message; a closed console is `Unknown`, not an error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def deliver(self, message: Message) -> Outcome:
        stream = sys.stdout if self._stream is None else self._stream
        line = f"{message.kind} {message.key} {_printable(message.body)}\n"
        try:
            stream.write(line)
            stream.flush()
        except (OSError, ValueError) as error:
            return Unknown(UnknownReason.UNREACHABLE, type(error).__name__)
        return Delivered(reference=f"console:{message.key}")

    async def close(self) -> None:
        """Leave the stream to its owner."""


def _printable(body: bytes) -> str:
    """Return a body that no terminal obeys and that stays one line, read from left to right."""
    text = body.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

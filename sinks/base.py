"""What a sink is: it takes one message and says what became of it.

A sink says only whether a failure may be retried; when, how often and for how long is one stage's
business (pipeline/issuer.py). Every sink, for every message:

* MUST return `Delivered`, `Refused` or `Unknown`, and MUST NOT raise for what the other side does;
* MUST return `Refused` only when the message certainly had no effect and the same message never
  will; all else that failed is `Unknown`;
* MUST send the same key and the same bytes for the same message, each time;
* MUST end within its time-out;
* MUST await `sinks.last_look` when nothing but the message itself is left to be sent;
* MUST NOT keep what it cannot bound, and MUST NOT show secrets in a `detail`.

`tests/sinks/contract.py` checks each sink against each rule.
"""

from enum import StrEnum
from typing import Final, Protocol

import msgspec

MAX_DETAIL_CHARACTERS: Final = 200
"""How much of an answer is kept."""


class MessageKind(StrEnum):
    """What a message is."""

    COUPON = "coupon"
    NOTIFICATION = "notification"
    ACTION = "action"
    ALERT = "alert"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes for somebody outside, and the key that makes repeating them harmless."""

    kind: MessageKind
    key: str
    """Idempotency key: printable ASCII, the same for the same intention."""
    body: bytes
    """A JSON object in UTF-8, frozen: retried as it is."""


class UnknownReason(StrEnum):
    """Why nobody knows whether a message had an effect; it may be sent again."""

    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    SERVER_ERROR = "server_error"
    BUSY = "busy"
    """429, or a request with this key is under way (409, 425)."""
    NOT_ACCEPTED_HERE = "not_accepted_here"
    """401, 403, 404, 405, 407 or a redirect: address or secret are wrong, the message may be
    right. A person mends the settings."""
    GONE = "gone"
    """410: nobody takes messages there any more. Send none until a person mends the settings."""


class RefusedReason(StrEnum):
    """Why a message had no effect and never will."""

    REJECTED = "rejected"


class Delivered(msgspec.Struct, frozen=True):
    """It had its effect, once, now or earlier."""

    reference: str | None = None
    """What the other side calls it."""


class Refused(msgspec.Struct, frozen=True):
    """It had no effect and never will."""

    reason: RefusedReason
    detail: str


class Unknown(msgspec.Struct, frozen=True):
    """It may have had its effect; the same message may be sent again."""

    reason: UnknownReason
    detail: str
    retry_after_seconds: float | None = None
    """How long the other side asks to be left alone."""

    @property
    def text(self) -> str:
        """Both in one line, the reason first: what the ledger keeps."""
        return f"{self.reason}: {self.detail}"


Outcome = Delivered | Refused | Unknown


class Sink(Protocol):
    """Takes messages to one place outside."""

    async def deliver(self, message: Message) -> Outcome:
        """Send one message; never raises for what the other side does."""
        ...

    async def close(self) -> None:
        """Let go of connections; safe to repeat."""
        ...

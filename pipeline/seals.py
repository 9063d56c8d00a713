"""Seals: nobody but `forewarn repartition` may work with these topics.

A seal is a record of its own key in every partition of the state topic, and an entry of every
partition of the ledger, so whoever opens one of the two reads it before anything else can happen.
Versions that know of no seals cannot read its key and stop, too.
"""

from collections.abc import MutableMapping
from enum import StrEnum
from typing import Final

import msgspec

SEAL_KEY: Final = b"seal"


class SealReason(StrEnum):
    """Why topics are sealed."""

    AWAITS = "awaits"
    """Their state has not yet been brought from another prefix."""
    MOVED = "moved"
    """Their state is being, or has been, brought to another prefix."""


class Seal(msgspec.Struct, frozen=True):
    """Why, and the prefix of the other topics."""

    reason: SealReason
    prefix: str

    @property
    def text(self) -> str:
        """What it means and what to do."""
        if self.reason is SealReason.AWAITS:
            return (
                f"it waits for what is in {self.prefix}.*: run `forewarn repartition` to its end "
                f"(with the settings of {self.prefix})"
            )
        return (
            f"its work goes on in {self.prefix}.*: start with kafka.prefix {self.prefix}. If the "
            "move has not ended and shall not, run `forewarn repartition --cancel`"
        )


def take_seal(latest: MutableMapping[bytes, bytes]) -> Seal | None:
    """Take the seal out of the last values of a state partition's keys."""
    value = latest.pop(SEAL_KEY, None)
    return None if value is None else msgspec.json.decode(value, type=Seal)

"""Which episodes are known to have ended, seen ahead of the requests that wait before them."""

from datetime import datetime
from typing import Final

from configs.condition_schema import Kind
from detectors.decisions import ClearedReason
from pipeline.remedies import EpisodeEnded, Reason, RemedyRequest

_ENDS_PARCEL: Final = frozenset({ClearedReason.DELIVERED, ClearedReason.RETURNED})
_WHILE_UNDER_WAY: Final = frozenset({Kind.STALL, Kind.CUSTOMS})
"""Remedies that make sense only while the parcel is under way; an inquiry about a strange delivery
scan is made because the parcel is said to be delivered."""


class Endings:
    """Ends that were read and not yet passed.

    A request is over when its own episode has ended, or when its parcel was delivered or returned
    later than the decision was made: then no other remedy for the parcel makes sense either. A
    parcel number that is used again starts after the end, so it is not affected.
    """

    def __init__(self) -> None:
        self._episodes: dict[str, EpisodeEnded] = {}
        self._parcels: dict[str, datetime] = {}

    def see(self, ended: EpisodeEnded) -> None:
        """Note an end as soon as it is read."""
        self._episodes[ended.episode_id] = ended
        if ended.reason in _ENDS_PARCEL:
            known = self._parcels.get(ended.subject, ended.decided_at)
            self._parcels[ended.subject] = max(known, ended.decided_at)

    def forget(self, ended: EpisodeEnded) -> None:
        """Let go of an end that every earlier request has been measured against."""
        self._episodes.pop(ended.episode_id, None)
        if self._parcels.get(ended.subject) == ended.decided_at:
            del self._parcels[ended.subject]

    def reason(self, request: RemedyRequest) -> Reason | None:
        """Return why a request comes too late, None when it does not."""
        ended = self._episodes.get(request.episode_id)
        if ended is not None:
            delivered = ended.reason is ClearedReason.DELIVERED
            return Reason.PARCEL_DELIVERED if delivered else Reason.EPISODE_OVER
        arrived_at = self._parcels.get(request.subject)
        too_late = arrived_at is not None and arrived_at >= request.decided_at
        return Reason.PARCEL_DELIVERED if too_late and request.kind in _WHILE_UNDER_WAY else None

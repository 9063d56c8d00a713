"""Alerts for operations, by Alertmanager's API v2 (`POST /api/v2/alerts`).

The message's body is one postable alert: labels (which alert it is, so they never change while it
fires), annotations (what to do), `startsAt`, `endsAt`. Alertmanager forgets an alert at `endsAt`,
so a firing one is sent again and again with a later one; sending it twice is one alert.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from sinks.base import Message, MessageKind, Outcome
from sinks.http import PUBLIC, HttpClient, Outbound
from sinks.webhook import USER_AGENT, utc_now


class PostableAlert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert as Alertmanager reads it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime


def alert_message(
    key: str,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    starts_at: datetime,
    now: datetime,
    lasts: timedelta | None,
) -> Message:
    """Return the message for an alert that fires for `lasts` from now, or (None) is over.

    `starts_at` may be of a simulated time; one that is still to come counts as now.
    """
    began = min(starts_at, now)
    ends = now if lasts is None else now + lasts
    alert = PostableAlert(labels, annotations, began, max(ends, began + timedelta(seconds=1)))
    return Message(kind=MessageKind.ALERT, key=key, body=msgspec.json.encode(alert))


class AlertmanagerSink:
    """Posts alerts to one Alertmanager.

    Parameters
    ----------
    url
        Base URL, e.g. `http://127.0.0.1:9093`.
    outbound
        Time-outs, and which hosts may be inside.

    Raises `sinks.destination.Forbidden`.
    """

    def __init__(
        self,
        url: str,
        *,
        outbound: Outbound = PUBLIC,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = HttpClient(f"{url.rstrip('/')}/api/v2/alerts", outbound)
        self._now = now

    async def deliver(self, message: Message) -> Outcome:
        body = b"[" + message.body + b"]"
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        return await self._client.post(body, headers, self._now())

    async def close(self) -> None:
        await self._client.close()

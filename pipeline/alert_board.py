"""Alerts that are firing, sent again before Alertmanager forgets them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pipeline.ledger import AlertEntry, Book
from pipeline.money_metrics import count_sink
from pipeline.remedies import OperationsAlert
from sinks.alertmanager import alert_message
from sinks.base import Delivered, Sink

_FAILED_SECONDS: Final = 5.0
"""Wait after an alert was not taken."""
_LASTS: Final = 4
"""An alert lasts for so many of its intervals, so three may be lost."""


class AlertBoard:
    """Keeps Alertmanager told of what one ledger partition says is firing.

    Parameters
    ----------
    book
        The fold of the ledger, where the firing alerts are.
    sink
        Alertmanager, or the console.
    resend_seconds
        How often a firing alert is sent.
    """

    def __init__(self, book: Book, sink: Sink, *, resend_seconds: float) -> None:
        self._book, self._sink = book, sink
        self._every = resend_seconds
        self._due: dict[str, float] = {}
        self._ending: dict[str, OperationsAlert] = {}

    def changed(self, entries: Sequence[AlertEntry]) -> None:
        """Send these at the next tick."""
        for entry in entries:
            alert = entry.alert
            self._due.pop(alert.alert_id, None)
            if alert.firing:
                self._ending.pop(alert.alert_id, None)
            else:
                self._ending[alert.alert_id] = alert

    def expired(self, now: datetime) -> list[OperationsAlert]:
        """Return alerts nobody has had news of for too long, as ended."""
        return [
            msgspec.structs.replace(entry.alert, firing=False)
            for entry in self._book.alerts.values()
            if now - entry.at > timedelta(seconds=entry.alert.expires_seconds)
        ]

    async def tick(self, now: datetime, monotonic: float) -> None:
        """Send what is due; what fails is due again soon."""
        for alert in (*self._firing(), *tuple(self._ending.values())):
            if not alert.tell or self._due.get(alert.alert_id, monotonic) > monotonic:
                continue
            taken = await self._send(alert, now)
            self._due[alert.alert_id] = monotonic + (self._every if taken else _FAILED_SECONDS)
            if taken and not alert.firing:
                self._ending.pop(alert.alert_id, None)
                self._due.pop(alert.alert_id, None)

    def _firing(self) -> tuple[OperationsAlert, ...]:
        return tuple(entry.alert for entry in self._book.alerts.values())

    async def _send(self, alert: OperationsAlert, now: datetime) -> bool:
        labels = {"alertname": alert.name, "severity": str(alert.severity), **alert.labels}
        message = alert_message(
            alert.alert_id,
            labels=labels,
            annotations=alert.annotations,
            starts_at=alert.starts_at,
            now=now,
            lasts=timedelta(seconds=self._every * _LASTS) if alert.firing else None,
        )
        outcome = await self._sink.deliver(message)
        count_sink("alertmanager", outcome)
        return isinstance(outcome, Delivered)

"""What the news of a round changes in the alerts of a ledger."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from pipeline.ledger import AlertEntry, Book
from pipeline.remedies import OperationsAlert


def alert_entries(news: Iterable[OperationsAlert], book: Book, now: datetime) -> list[AlertEntry]:
    """Firing alerts as they come; ends only of what fires, with what ends alongside."""
    firing = {key: entry.alert for key, entry in book.alerts.items()}
    entries = []
    for one in news:
        known = firing.get(one.alert_id)
        if one.firing:
            alert = one if known is None else _continued(known, one)
            firing[alert.alert_id] = alert
            entries.append(AlertEntry(alert=alert, at=now))
            continue
        ended = [known] if known else []
        ended += [alert for alert in firing.values() if _ends_with(alert, one)]
        for alert in ended:
            firing.pop(alert.alert_id, None)
            entries.append(AlertEntry(alert=_ended(alert, one), at=now))
    return entries


def _continued(known: OperationsAlert, news: OperationsAlert) -> OperationsAlert:
    """News of an alert that fires: which alert it is and since when stays as it was."""
    return msgspec.structs.replace(
        news, severity=known.severity, starts_at=known.starts_at, tell=known.tell or news.tell
    )


def _ended(alert: OperationsAlert, end: OperationsAlert) -> OperationsAlert:
    return msgspec.structs.replace(alert, firing=False, decided_at=end.decided_at)


def _ends_with(alert: OperationsAlert, end: OperationsAlert) -> bool:
    """Another alert of the same episode (the couriers a surge needs) ends with it."""
    return alert.alert_id != end.alert_id and alert.episode_id == end.episode_id

"""What help desks leave out, and what their tags say."""

import json
from datetime import UTC, datetime

import pytest

from detectors.events import Category, Complaint
from pipeline.adapters.items import Options, Read, Rejected
from pipeline.adapters.registry import adapter_of

NOW = datetime(2026, 3, 8, 20, tzinfo=UTC)
KEY = b"0123456789abcdef"


def ticket(*tags: str, region: str | None = None, at: datetime | None = NOW) -> Complaint | str:
    """The complaint of a Freshdesk webhook without a time, or why there is none."""
    hook = {"ticket_id": 7, "ticket_tags": list(tags), "ticket_requester_email": "a@example.com"}
    adapter = adapter_of("freshdesk", Options(pseudonym_key=KEY, region=region))
    (item,) = adapter.read(json.dumps({"freshdesk_webhook": hook}).encode(), at)
    if isinstance(item, Rejected):
        return str(item.reason)
    assert isinstance(item, Read)
    assert isinstance(item.event, Complaint)
    return item.event


def test_a_webhook_without_a_time_counts_from_when_it_came() -> None:
    """A file without one is refused: nobody knows when."""
    found = ticket("region_R01")
    assert isinstance(found, Complaint)
    assert found.occurred_at == NOW
    assert ticket("region_R01", at=None) == "no_time"


def test_a_retry_is_the_same_complaint() -> None:
    """Its id is the ticket's, not the time's."""
    later = ticket("region_R01", at=datetime(2026, 3, 9, tzinfo=UTC))
    first = ticket("region_R01")
    assert isinstance(first, Complaint)
    assert isinstance(later, Complaint)
    assert first.complaint_id == later.complaint_id


@pytest.mark.parametrize(
    ("tags", "field", "expected"),
    [
        (["region_north_rhine"], "region", "North Rhine"),
        (["region_R01"], "region", "R01"),
        (["vip"], "region", "unknown"),
        (["category_logistics"], "category", Category.LOGISTICS),
        (["category_nonsense"], "category", None),
        (["issue_late"], "issue", "late"),
        (["parcel_sw00000042"], "parcel_id", "SW00000042"),
        (["order_O-77"], "order_id", "O-77"),
        (["carrier_swift"], "carrier", "swift"),
        (["order_"], "order_id", None),
    ],
)
def test_tags(tags: list[str], field: str, expected: object) -> None:
    """What an agent or a form has tagged; the rest is left open."""
    assert getattr(ticket(*tags, region="unknown"), field) == expected


def test_a_ticket_without_a_region_is_told() -> None:
    """Unless the source has one."""
    assert ticket("vip") == "no_region"

"""Hostile text through every sink and table: it arrives as text and does nothing."""

import asyncio
import csv
import io
import json

import msgspec
import pytest

from pipeline.ledger_view import Row, write_csv
from pipeline.messages import coupon_body, coupon_message, notice_message
from pipeline.outlet import Outlet
from pipeline.promises import Promises
from pipeline.remedies import RemedyRequest
from sinks.alertmanager import AlertmanagerSink, alert_message
from sinks.base import Delivered
from sinks.console import ConsoleSink
from sinks.memory import MemorySink
from sinks.webhook import WebhookSink
from tests.pipeline.delivering import NOON
from tests.pipeline.issuing import WORDING, request
from tests.pipeline.test_policy import SHIPPED_POLICIES
from tests.sinks.hostile import HOSTILE
from tests.sinks.test_contract import NEAR, SECRET, other_side


def wish(text: str) -> RemedyRequest:
    return msgspec.structs.replace(
        request(SHIPPED_POLICIES, 1), parcel_id=text, customer_id=text, order_id=text, carrier=text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_webhooks(text: str) -> None:
    """The body holds it as one JSON string, the headers nothing of it."""

    async def run() -> None:
        async with other_side() as (other, url):
            sink = WebhookSink(f"{url}/hook", SECRET, outbound=NEAR)
            coupon = coupon_message("rem_1", coupon_body(wish(text)))
            promises = Promises(Outlet("actions", MemorySink()), WORDING)
            notice = notice_message("rem_1", promises.notice(wish(text), text, NOON))
            for message in (coupon, notice):
                assert isinstance(await sink.deliver(message), Delivered)
            await sink.close()
            for (key, body), headers in zip(other.received, other.headers, strict=True):
                told = json.loads(body)
                assert told["parcel_id"] == told["customer_id"] == text
                assert told["amount_minor"] == 500
                assert headers["webhook-id"] == key
                assert key.startswith("rem_")
                assert all("owned" not in f"{n}{v}" for n, v in headers.items())

    asyncio.run(run())


@pytest.mark.parametrize("text", HOSTILE)
def test_alertmanager(text: str) -> None:
    """Labels and annotations hold it as it is, one alert."""

    async def run() -> None:
        async with other_side() as (other, url):
            sink = AlertmanagerSink(url, outbound=NEAR)
            await sink.deliver(
                alert_message(
                    "alert",
                    labels={"region": text},
                    annotations={"summary": text},
                    starts_at=NOON,
                    now=NOON,
                    lasts=None,
                )
            )
            await sink.close()
            [(_, body)] = other.received
            [alert] = json.loads(body)
            assert alert["labels"] == {"region": text}

    asyncio.run(run())


@pytest.mark.parametrize("text", HOSTILE)
def test_console(text: str) -> None:
    """One line a message, nothing a terminal would obey or read from right to left."""
    stream = io.StringIO()
    asyncio.run(ConsoleSink(stream).deliver(coupon_message("rem_1", coupon_body(wish(text)))))
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().rstrip("\n").isprintable()


def test_csv() -> None:
    """No cell begins as a formula does, and every row stays one row."""
    fields = dict.fromkeys(Row.__struct_fields__, "")
    found = [
        Row(**(fields | {"partition": 0, "amount_minor": 5, "attempts": 0, "parcel_id": text}))  # type: ignore[arg-type]
        for text in HOSTILE
    ]
    stream = io.StringIO(newline="")
    assert write_csv(found, stream) == len(HOSTILE)
    read = list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))
    assert len(read) == len(HOSTILE)
    for row, text in zip(read, HOSTILE, strict=True):
        assert not row["parcel_id"].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
        if text.isprintable():
            assert row["parcel_id"].removeprefix("'") == text.removeprefix("'")

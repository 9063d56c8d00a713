"""Alerts are sent, sent again, and resolved; against memory and a real Alertmanager."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import msgspec

from detectors.decisions import SurgeClosed, SurgeOpened, SurgeReason
from pipeline.alert_board import AlertBoard
from pipeline.ledger import AlertEntry, Book
from pipeline.policy import judge
from pipeline.remedies import OperationsAlert
from sinks.alertmanager import AlertmanagerSink
from sinks.base import Message, Outcome, Sink, Unknown, UnknownReason
from sinks.http import Outbound
from sinks.memory import MemorySink
from tests.pipeline.delivering import NOON
from tests.pipeline.test_policy import SHIPPED_POLICIES, surge
from tests.real_parts import Alertmanager


def alert(*, firing: bool) -> AlertEntry:
    decision = (
        surge(SurgeOpened, SurgeReason.ABOVE_EXPECTATION)
        if firing
        else surge(SurgeClosed, SurgeReason.BACK_TO_EXPECTATION)
    )
    verdict = judge(decision, SHIPPED_POLICIES)
    assert isinstance(verdict, OperationsAlert)
    return AlertEntry(alert=verdict, at=NOON)


class Post(MemorySink):
    """Keeps every sending, each with its own end."""

    async def deliver(self, message: Message) -> Outcome:
        self.messages.pop(message.key, None)
        return await super().deliver(message)


def board_of(sink: Sink) -> tuple[Book, AlertBoard]:
    book = Book()
    return book, AlertBoard(book, sink, resend_seconds=60)


def ends(sink: MemorySink) -> list[datetime]:
    return [datetime.fromisoformat(json.loads(message.body)["endsAt"]) for message in sink.attempts]


def test_sent_again_until_it_is_over() -> None:
    """A firing alert is sent each interval with a later end; its end is sent once."""
    sink = Post()
    book, board = board_of(sink)
    opened, closed = alert(firing=True), alert(firing=False)

    async def run() -> None:
        book.apply(opened)
        board.changed([opened])
        for second in (0, 1, 59, 60, 61):
            await board.tick(NOON + timedelta(seconds=second), second)
        book.apply(closed)
        board.changed([closed])
        for second in (90, 91, 400):
            await board.tick(NOON + timedelta(seconds=second), second)

    asyncio.run(run())
    assert [(end - NOON).total_seconds() for end in ends(sink)] == [240, 300, 90]
    labels = [json.loads(message.body)["labels"] for message in sink.attempts]
    assert labels[0] == labels[1] == labels[2]
    assert labels[0]["alertname"] == "ForewarnSurge"


def test_an_alertmanager_that_is_down_is_tried_again_soon() -> None:
    """A sending that failed is due again after seconds, also for the end."""
    sink = Post([Unknown(UnknownReason.UNREACHABLE, "")] * 2)
    book, board = board_of(sink)
    opened = alert(firing=True)

    async def run() -> None:
        book.apply(opened)
        board.changed([opened])
        for second in range(20):
            await board.tick(NOON, second)

    asyncio.run(run())
    assert len(sink.attempts) == 3
    assert len(sink.messages) == 1


def test_an_alert_without_news_expires() -> None:
    """What nothing ends is over after the policy's time."""
    book, board = board_of(Post())
    book.apply(alert(firing=True))
    assert board.expired(NOON + timedelta(hours=72)) == []
    [over] = board.expired(NOON + timedelta(hours=73))
    assert not over.firing


def test_real_alertmanager(alertmanager: Alertmanager) -> None:
    """Prometheus Alertmanager shows the alert with what to do, and drops it at its end."""

    def listed() -> list[dict[str, Any]]:
        with urlopen(f"{alertmanager.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)
            return [one for one in found if one["labels"].get("region") == "R01"]

    async def run() -> None:
        sink = AlertmanagerSink(alertmanager.url, outbound=Outbound(allow=("127.0.0.1",)))
        book, board = board_of(sink)
        opened = alert(firing=True)
        book.apply(opened)
        await board.tick(datetime.now(UTC), 0)
        [shown] = listed()
        assert shown["annotations"]["what_to_do"]
        closed = msgspec.structs.replace(opened.alert, firing=False)
        over = AlertEntry(alert=closed, at=NOON)
        book.apply(over)
        board.changed([over])
        await board.tick(datetime.now(UTC), 1)
        for _ in range(50):
            if not listed():
                break
            await asyncio.sleep(0.1)
        assert listed() == []
        await sink.close()

    asyncio.run(run())

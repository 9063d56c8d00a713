"""A secret changes while messages are under way."""

import asyncio
import base64

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sinks.base import Delivered
from sinks.webhook import WebhookSink
from tests.sinks.contract import MESSAGE
from tests.sinks.test_contract import NEAR, SECRET, other_side

NEW = "whsec_" + base64.b64encode(b"another secret of 24 b..").decode()


def test_signed_with_both() -> None:
    """A receiver finds a signature by the old secret and by the new one, and by no other."""

    async def run() -> None:
        async with other_side() as (other, url):
            sink = WebhookSink(url, f"{NEW} {SECRET}", outbound=NEAR)
            assert await sink.deliver(MESSAGE) == Delivered(None)
            await sink.close()
            [headers], [(_, body)] = other.headers, other.received
            for secret in (NEW, SECRET):
                assert Webhook(secret).verify(body, headers)
            with pytest.raises(WebhookVerificationError):
                Webhook("whsec_" + base64.b64encode(b"x" * 24).decode()).verify(body, headers)

    asyncio.run(run())

"""Coupons and notifications as signed HTTP requests (Standard Webhooks).

The body is sent as it is, the key as `Idempotency-Key` and as `webhook-id`; the signature covers
key, time and body, so a receiver can tell a repetition from a replay. https://www.standardwebhooks.com
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import aiohttp
from standardwebhooks.webhooks import Webhook

from sinks.base import Message, Outcome
from sinks.http import post

USER_AGENT: Final = "forewarn"


def utc_now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.now(UTC)


class WebhookSink:
    """Posts messages to one URL.

    Parameters
    ----------
    url
        Where to.
    secret
        `whsec_…` or its base64 part.
    timeout_seconds
        For one request from connecting to the last byte of the answer.
    now
        Stamps and signs requests.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_seconds: float = 5.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._url, self._signer, self._now = url, Webhook(secret), now
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, message: Message) -> Outcome:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        now = self._now()
        return await post(self._session, self._url, message.body, self._headers(message, now), now)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _headers(self, message: Message, now: datetime) -> dict[str, str]:
        signature = self._signer.sign(message.key, now.astimezone(UTC), message.body.decode())
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Idempotency-Key": message.key,
            "webhook-id": message.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }

"""Coupons and notifications as signed HTTP requests (Standard Webhooks).

The body is sent as it is, the key as `Idempotency-Key` and as `webhook-id`; the signature covers
key, time and body, so a receiver can tell a repetition from a replay. https://www.standardwebhooks.com
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks.webhooks import Webhook

from sinks.base import Message, Outcome
from sinks.http import PUBLIC, HttpClient, Outbound

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
        `whsec_…` or its base64 part; while a secret is being changed both, the new one first, with
        a space between them: each request is then signed with both.
    outbound
        Time-outs, and which hosts may be inside.
    now
        Stamps and signs requests.

    Raises `sinks.destination.Forbidden`.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        outbound: Outbound = PUBLIC,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client, self._now = HttpClient(url, outbound), now
        self._signers = [Webhook(part) for part in secret.split()]

    async def deliver(self, message: Message) -> Outcome:
        now = self._now()
        return await self._client.post(message.body, self._headers(message, now), now)

    async def close(self) -> None:
        await self._client.close()

    def _headers(self, message: Message, now: datetime) -> dict[str, str]:
        text, at = message.body.decode(), now.astimezone(UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Idempotency-Key": message.key,
            "webhook-id": message.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                signer.sign(message.key, at, text) for signer in self._signers
            ),
        }

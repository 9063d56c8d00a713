"""Messages to customers as e-mail, in plain text and HTML.

Forewarn knows pseudonyms and no addresses: mail goes to `PSEUDONYM@DOMAIN`, a relay of the shop
that knows who that is. The bytes of a message are the same each time (its date is when it was
written, its Message-ID its key), so a relay that was asked twice can drop the second.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import blake2b
from typing import Final

import msgspec

from sinks.base import (
    MAX_DETAIL_CHARACTERS,
    Delivered,
    Message,
    Outcome,
    Refused,
    RefusedReason,
    Unknown,
    UnknownReason,
)
from sinks.destination import Destination, Forbidden
from sinks.letters import Letter, as_html, as_text
from sinks.smtp import Account, Reply, SmtpClient, Stage

_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9._+=-]{1,64}")
_LOGIN_CODES: Final = frozenset({530, 534, 535, 538})


class _Text(msgspec.Struct):
    letter: Letter


class _Notice(msgspec.Struct):
    """What of a notice an e-mail needs."""

    texts: dict[str, _Text]
    written_at: datetime
    customer_id: str | None = None
    region: str | None = None


class MailSink:
    """Sends notices through one SMTP server.

    Parameters
    ----------
    url
        `smtp://host:587` (STARTTLS) or `smtps://host:465`.
    sender
        Address customers see.
    domain
        Of the relay that knows customers by their pseudonyms.
    account
        None: without login.
    language, region_languages
        What most customers read; what those of some regions do.
    timeout_seconds
        For one message, from resolving the name to the server's last word.
    allow
        Hosts that may be inside or without TLS (sinks/destination.py).
    context
        How TLS is verified.

    Raises `sinks.destination.Forbidden`.
    """

    def __init__(
        self,
        url: str,
        *,
        sender: str,
        domain: str,
        account: Account | None = None,
        language: str = "zh",
        region_languages: Mapping[str, str] = {},
        timeout_seconds: float = 10.0,
        allow: frozenset[str] = frozenset(),
        context: ssl.SSLContext | None = None,
    ) -> None:
        destination = Destination(url, allow, schemes=("smtp", "smtps"))
        verified = context or ssl.create_default_context()
        self._client = SmtpClient(destination, account, verified)
        self._sender, self._domain = sender, domain
        self._language, self._region_languages = language, region_languages
        self._timeout_seconds = timeout_seconds

    async def deliver(self, message: Message) -> Outcome:
        try:
            notice = msgspec.json.decode(message.body, type=_Notice)
            language = self._region_languages.get(notice.region or "", self._language)
            letter = notice.texts[language].letter
        except (msgspec.MsgspecError, KeyError) as error:
            return _rejected(f"not a notice: {type(error).__name__}")
        if not _LOCAL_PART.fullmatch(notice.customer_id or ""):
            return _rejected("no address can be made of the customer's pseudonym")
        recipient = f"{notice.customer_id}@{self._domain}"
        mail = compose(
            letter, language, message.key,
            sender=self._sender, recipient=recipient, written_at=notice.written_at,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return judge(await self._client.send(self._sender, recipient, mail))
        except TimeoutError:
            return Unknown(UnknownReason.TIMED_OUT, "no answer in time")
        except Forbidden as error:
            return Unknown(UnknownReason.NOT_ACCEPTED_HERE, str(error)[:MAX_DETAIL_CHARACTERS])
        except (OSError, EOFError, ValueError) as error:
            return Unknown(UnknownReason.UNREACHABLE, type(error).__name__)

    async def close(self) -> None:
        """Nothing is open between messages."""


def compose(
    letter: Letter, language: str, key: str, *, sender: str, recipient: str, written_at: datetime
) -> bytes:
    """Return the mail (RFC 5322), always the same bytes for the same arguments."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(written_at)
    mail["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
    mail.set_content(as_text(letter), cte="quoted-printable")
    mail.add_alternative(as_html(letter, language), subtype="html", cte="quoted-printable")
    mail["Content-Language"] = language
    mail.set_boundary(f"=_{blake2b(key.encode(), digest_size=12).hexdigest()}")
    return mail.as_bytes()


def judge(reply: Reply) -> Outcome:
    """Return what the server's last word means.

    Examples
    --------
    >>> judge(Reply(Stage.END, 250, "queued as 17"))
    Delivered(reference='queued as 17')
    >>> judge(Reply(Stage.RECIPIENT, 550, "no such user")).reason.value
    'rejected'
    >>> judge(Reply(Stage.RECIPIENT, 450, "greylisted")).reason.value
    'busy'
    """
    detail = f"{reply.code} {reply.text}".strip()[:MAX_DETAIL_CHARACTERS]
    if reply.good and reply.stage is Stage.END:
        return Delivered(reply.text[:MAX_DETAIL_CHARACTERS] or None)
    if reply.code in {421, 450, 452}:
        return Unknown(UnknownReason.BUSY, detail)
    if reply.code < 500:
        return Unknown(UnknownReason.SERVER_ERROR, detail)
    here = reply.stage in {Stage.CONNECT, Stage.LOGIN} or reply.code in _LOGIN_CODES
    if here:
        return Unknown(UnknownReason.NOT_ACCEPTED_HERE, detail)
    return _rejected(detail)


def _rejected(detail: str) -> Refused:
    return Refused(RefusedReason.REJECTED, detail[:MAX_DETAIL_CHARACTERS])

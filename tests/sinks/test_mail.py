"""E-mail against a real SMTP server: the contract, TLS, login, and values that mean harm."""

import asyncio
import email
import email.policy
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import Envelope
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.processes import free_port
from sinks.base import Delivered, Message, MessageKind, Outcome, Refused, Sink, Unknown
from sinks.base import UnknownReason as Why
from sinks.letters import Letter
from sinks.mail import MailSink, compose
from sinks.smtp import Account, _stuffed
from tests.sinks.contract import Behaviour, Received, check
from tests.sinks.mail_server import MailServer, certificate, mail_server

# What aiosmtpd says of its own fields and of a login without TLS.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*login_data.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH.*:UserWarning"),
]
LETTER = Letter(
    subject="您的包裹可能会晚到",
    hello="您好：",
    paragraphs=("非常抱歉。", ".a dot"),
    bye="再见",
    footer="…",
)
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOCAL = frozenset({"localhost", "127.0.0.1"})


def notice(customer: str | None = "C1", letter: Letter = LETTER, **more: Any) -> Message:
    texts = {language: {"subject": "", "body": "", "letter": letter} for language in ("zh", "en")}
    body = {"texts": texts, "written_at": AT, "customer_id": customer} | more
    return Message(
        kind=MessageKind.NOTIFICATION, key="rem_1.notice", body=msgspec.json.encode(body)
    )


def sink(port: int, **changes: Any) -> MailSink:
    given: dict[str, Any] = {
        "sender": "service@shop.example", "domain": "relay.example", "allow": LOCAL,
        "timeout_seconds": 0.5,
    }  # fmt: skip
    return MailSink(f"smtp://localhost:{port}", **(given | changes))


def read(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_mail_sink() -> None:
    """It keeps the contract, whatever the server does."""

    async def run() -> None:
        async with mail_server() as plain, mail_server(login=True) as closed:

            async def make(behaviour: Behaviour) -> tuple[Sink, Received] | None:
                if behaviour in {Behaviour.REDIRECTS, Behaviour.CLOSED}:
                    return None  # SMTP has neither
                plain.behaviour = behaviour
                port, account = plain.port, None
                if behaviour is Behaviour.GONE:
                    port = free_port()
                if behaviour is Behaviour.DENIES:
                    port, account = closed.port, Account("forewarn", "wrong")
                plain.received.clear()
                return sink(port, account=account), lambda: [
                    (str(read(e)["Message-ID"]), e.content or b"")  # type: ignore[misc]
                    for e in plain.received
                ]

            assert len(await check(make, notice())) == len(Behaviour) - 2

    asyncio.run(run())


def sent(message: Message, **changes: Any) -> tuple[Outcome, MailServer]:
    async def run() -> tuple[Outcome, MailServer]:
        async with mail_server() as server:
            return await sink(server.port, **changes).deliver(message), server

    return asyncio.run(run())


def test_a_mail_has_everything_a_relay_and_a_reader_need() -> None:
    """Sender, pseudonym, subject, date of writing, key; text first, HTML last; no auto-reply."""
    outcome, server = sent(notice())
    assert outcome == Delivered("queued as 17")
    (envelope,) = server.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("service@shop.example", ["C1@relay.example"])
    mail = read(envelope)
    assert mail["To"] == "C1@relay.example"
    assert mail["Subject"] == LETTER.subject
    assert mail["Date"].datetime == AT
    assert mail["Message-ID"] == "<rem_1.notice@shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "非常抱歉。" in text
    assert ".a dot" in text.splitlines()
    assert "<h1" in html


def test_languages_by_region() -> None:
    """Most read one language, some regions another."""
    message = notice(region="R07")
    for regions, language in (({}, "zh"), ({"R07": "en"}, "en"), ({"R01": "en"}, "zh")):
        _, server = sent(message, region_languages=regions)
        assert read(server.received[0])["Content-Language"] == language


@pytest.mark.parametrize("at_once", [False, True])
def test_tls_and_login(tmp_path: Path, at_once: bool) -> None:
    """STARTTLS or TLS from the first byte, the certificate verified, the password after it."""
    theirs, ours = certificate(tmp_path)
    account = Account("forewarn", "right")

    async def run() -> None:
        async with mail_server(tls=theirs, at_once=at_once, login=True) as server:
            url = f"{'smtps' if at_once else 'smtp'}://localhost:{server.port}"

            async def deliver(context: ssl.SSLContext, who: Account) -> Outcome:
                mail = MailSink(
                    url, sender="service@shop.example", domain="relay.example", account=who,
                    allow=LOCAL, context=context,
                )  # fmt: skip
                return await mail.deliver(notice())

            assert isinstance(await deliver(ours, account), Delivered)
            assert server.logins == [(b"forewarn", b"right")]
            assert server.secure == [True]
            stranger = await deliver(ssl.create_default_context(), account)
            assert stranger == Unknown(Why.UNREACHABLE, "SSLCertVerificationError")
            denied = await deliver(ours, Account("forewarn", "wrong"))
            assert isinstance(denied, Unknown)
            assert denied.reason is Why.NOT_ACCEPTED_HERE
            assert len(server.received) == 1

    asyncio.run(run())


def test_without_tls_only_where_it_is_allowed() -> None:
    """A server that offers no STARTTLS gets no message, and an address inside no connection."""
    inside, server = sent(notice(), allow=frozenset())
    assert isinstance(inside, Unknown)
    assert inside.reason is Why.NOT_ACCEPTED_HERE
    assert "not allowed by name" in inside.detail
    assert not server.received
    assert "secret" not in repr(Account("user", "secret"))


@pytest.mark.parametrize(
    "customer",
    [None, "", "a b", "a@b", "a>\r\nRCPT TO:<x@y", "a\r\nBcc: all", "x" * 65, "é", '"a"', "a\x00"],
)
def test_pseudonyms_that_are_no_addresses(customer: str | None) -> None:
    """Refused before a connection is made."""
    outcome = asyncio.run(sink(free_port()).deliver(notice(customer)))
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"texts":{},"written_at":"2026-01-01T00:00:00Z"}']
)
def test_what_is_no_notice_is_refused(body: bytes) -> None:
    """No message, no exception."""
    message = Message(kind=MessageKind.NOTIFICATION, key="k", body=body)
    assert isinstance(asyncio.run(sink(free_port()).deliver(message)), Refused)


HOSTILE = st.text(max_size=60).map(
    lambda text: text + "\r\nBcc: all@x.example\r\n\r\n<script>{{7*7}}"
)


@settings(max_examples=30)
@given(subject=HOSTILE.map(lambda text: " ".join(text.split())), value=HOSTILE)
def test_hostile_values_change_neither_headers_nor_parts(subject: str, value: str) -> None:
    """Whatever a letter holds, the mail has the same headers, two parts, and no live markup."""
    letter = msgspec.structs.replace(
        LETTER, subject=subject.encode("utf-8", "replace").decode(),
        rows=(("Where", value.encode("utf-8", "replace").decode()),),
    )  # fmt: skip
    raw = compose(
        letter, "en", "rem_1", sender="s@x.example", recipient="c@y.example", written_at=AT
    )
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    plain = compose(
        LETTER, "en", "rem_1", sender="s@x.example", recipient="c@y.example", written_at=AT
    )
    assert mail.keys() == email.message_from_bytes(plain).keys()
    _, html = mail.iter_parts()
    assert "<script" not in html.get_content()
    assert "49" not in value or "{{7*7}}" in html.get_content()


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"", b"\r", b".\r\n."]), max_size=8))
def test_no_message_ends_early(lines: list[bytes]) -> None:
    """A dot alone on a line ends the data, and only the last one is alone."""
    data = _stuffed(b"\r\n".join(lines))
    assert data.split(b"\r\n").count(b".") == 1
    assert data.endswith(b"\r\n.")

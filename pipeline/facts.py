"""What a message may say: the facts of one remedy as a reader sees them.

A fact that is not known, or a thing that is not given, is None, so that a text cannot promise it.
"""

import unicodedata
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from configs.remedy_schema import FollowUp, Form, Upgrade
from pipeline.remedies import RemedyRequest

_SYMBOLS: Final = {"CNY": "¥", "EUR": "€", "GBP": "£", "USD": "$", "JPY": "¥"}
_NO_MINOR_UNITS: Final = frozenset({"JPY", "KRW", "VND"})
_MOST_CHARACTERS: Final = 80
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What texts, words and layouts can name."""

    parcel: str | None
    carrier: str | None
    place: str | None
    """Where it was seen last."""
    since: str | None
    """When it was seen last, in the recipient's time."""
    eta_from: str | None
    eta_to: str | None
    """The day from which, and the day until which, it is expected."""
    promised: str | None
    """The day it was promised for."""
    reason: str
    """Of the decision, e.g. `no_movement`."""
    amount: str | None
    """Money that is given, e.g. `¥5`."""
    refund: bool
    """The money is a refund, not a coupon."""
    validity_days: int | None
    """Of the coupon."""
    express: bool
    """The parcel goes express from now on."""
    priority_clearance: bool
    agent: bool
    """One person looks after the customer."""
    agent_by: str | None
    """By when that person writes."""


FIELDS: Final = Facts.__struct_fields__


def facts_of(request: RemedyRequest, language: str) -> Facts:
    """Return the facts of a request in the recipient's language and time."""
    zone = ZoneInfo(request.time_zone)

    def at(moment: datetime | None, *, hours: bool = False) -> str | None:
        return (
            None if moment is None else moment_text(moment.astimezone(zone), language, hours=hours)
        )

    known = request.eta_p50_at is not None and request.eta_p90_at is not None
    given = request.amount_minor > 0
    return Facts(
        parcel=plain(request.parcel_id),
        carrier=plain(request.carrier),
        place=plain(request.facility or request.region),
        since=at(request.since_at, hours=True),
        eta_from=at(request.eta_p50_at) if known else None,
        eta_to=at(request.eta_p90_at) if known else None,
        promised=at(request.promised_at),
        reason=request.decision_reason,
        amount=amount_text(request.amount_minor, request.currency) if given else None,
        refund=given and request.form is Form.REFUND,
        validity_days=request.validity_days if given and request.form is Form.COUPON else None,
        express=request.upgrade is Upgrade.EXPRESS,
        priority_clearance=request.upgrade is Upgrade.PRIORITY_CLEARANCE,
        agent=request.follow_up is FollowUp.DEDICATED_AGENT,
        agent_by=at(request.follow_up_due_at, hours=True),
    )


def plain(value: str | None) -> str | None:
    r"""Return a value without what could change the text around it: one line, no controls.

    Examples
    --------
    >>> plain("P1\r\nBcc: all"), plain("a\u202eb"), plain(" "), plain(None)
    ('P1 Bcc: all', 'ab', None, None)
    """
    if value is None:
        return None
    shown = value[: 4 * _MOST_CHARACTERS]
    if not shown.isprintable():  # nearly every one is
        shown = "".join(
            " " if character.isspace() else character
            for character in shown
            if character.isspace() or unicodedata.category(character) not in _UNSAFE
        )
    text = " ".join(shown.split())
    return (text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…") or None


_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


def moment_text(at: datetime, language: str, *, hours: bool) -> str:
    """Return a day, or a moment, as it is written.

    Examples
    --------
    >>> moment = datetime(2026, 3, 2, 20, 5)
    >>> moment_text(moment, "en", hours=True), moment_text(moment, "zh", hours=False)
    ('2 Mar, 20:05', '3月2日')
    """
    day = f"{at.month}月{at.day}日" if language == "zh" else f"{at.day} {_MONTHS[at.month - 1]}"
    if not hours:
        return day
    return f"{day} {at:%H:%M}" if language == "zh" else f"{day}, {at:%H:%M}"


def amount_text(amount_minor: int, currency: str) -> str:
    """Return an amount for a customer to read, without rounding.

    Examples
    --------
    >>> amount_text(500, "CNY"), amount_text(1050, "EUR"), amount_text(500, "JPY")
    ('¥5', '€10.50', '¥500')
    """
    if currency in _NO_MINOR_UNITS:
        whole, rest = amount_minor, 0
    else:
        whole, rest = divmod(amount_minor, 100)
    number = f"{whole}.{rest:02d}" if rest else str(whole)
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {currency}"

"""Does a webhook come from whom it says: each provider's own signature, compared in constant time.

| scheme      | header                                   | what is signed          | how          |
|-------------|------------------------------------------|-------------------------|--------------|
| aftership   | aftership-hmac-sha256                    | body                    | HMAC, Base64 |
| 17track     | sign                                     | body + "/" + key        | SHA-256, hex |
| easypost    | X-Hmac-Signature                         | body                    | HMAC, hex    |
| easypost-v2 | X-Hmac-Signature-V2, X-Timestamp, X-Path | time, POST, path, body  | HMAC, hex    |
| shippo      | Shippo-Auth-Signature, `t=…,v1=…`        | t + "." + body          | HMAC, hex    |
| zendesk     | X-Zendesk-Webhook-Signature, -Timestamp  | timestamp + body        | HMAC, Base64 |
| standard    | webhook-id, -timestamp, -signature       | id.timestamp.body       | HMAC, Base64 |
| token       | Authorization: Bearer …                  | nothing: it is a secret |              |

Several secrets may be good at once, so that one can be replaced without losing a webhook. Where the
time is signed, a webhook that is too old or from the future is refused. AfterShip, 17TRACK and
EasyPost's first signature sign no time and a webhook is repeated for days: a replay is harmless
because it holds the same events under the same ids. EasyPost sends both of its signatures (its
secrets are in NFKD); `easypost` checks the second where it comes, so a wrong second one is refused
whatever the first says, and `easypost-v2` asks for it, so nobody can leave it out.
"""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.ingest.settings import Scheme

_EASYPOST: Final = "hmac-sha256-hex="

Headers = Mapping[str, str]
"""Case does not matter to its keys."""


class Denied(StrEnum):
    """Why a webhook is not believed."""

    MISSING = "signature_missing"
    WRONG = "signature_wrong"
    STALE = "signature_stale"
    """Rightly signed, but not now: a replay, or a clock that is wrong."""


def verify(
    scheme: Scheme,
    secrets: Sequence[str],
    headers: Headers,
    body: bytes,
    *,
    now: float,
    window_seconds: float,
) -> Denied | None:
    """Return why a webhook is not believed, None if it is. `now` is seconds since the epoch."""
    if scheme is Scheme.STANDARD:
        return _standard(secrets, headers, body, now, window_seconds)
    if scheme is Scheme.EASYPOST and _HEADER[Scheme.EASYPOST_V2] in headers:
        scheme = Scheme.EASYPOST_V2
    given = headers.get(_HEADER[scheme], "")
    if not given:
        return Denied.MISSING
    signed = _SIGNED[scheme](given, headers)
    # Every secret is tried, so that the time taken does not tell which one was good.
    good = [
        hmac.compare_digest(_EXPECTED[scheme](secret, body, signed.stamp), signed.signature)
        for secret in secrets
    ]
    if not any(good):
        return Denied.WRONG
    if signed.at is not None and abs(now - signed.at) > window_seconds:
        return Denied.STALE
    return None


class _Signed:
    """What a header says: the signature, and the time that is signed with it."""

    __slots__ = ("at", "signature", "stamp")

    def __init__(self, signature: str, stamp: str = "", at: float | None = None) -> None:
        # Bytes: comparing text that is not ASCII would raise.
        self.signature = signature.strip().encode("utf-8", "replace")
        self.stamp = stamp.encode("utf-8", "replace")
        self.at = at


def _plain(given: str, _headers: Headers) -> _Signed:
    return _Signed(given)


def _hex(given: str, _headers: Headers) -> _Signed:
    return _Signed(given.casefold())


def _easypost_v2(given: str, headers: Headers) -> _Signed:
    """The path is the one EasyPost called: a proxy may have shortened ours."""
    when, path = headers.get("x-timestamp", ""), headers.get("x-path", "")
    try:
        moment = parsedate_to_datetime(when)
        # RFC 2822 writes UTC without a place as -0000, which comes as a time without a zone.
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        at = 0.0
    return _Signed(given.casefold().removeprefix(_EASYPOST), f"{when}POST{path}", at)


def _bearer(given: str, _headers: Headers) -> _Signed:
    kind, _, token = given.partition(" ")
    return _Signed(token if kind.casefold() == "bearer" else "")


def _shippo(given: str, _headers: Headers) -> _Signed:
    parts = dict(part.strip().partition("=")[::2] for part in given.split(","))
    stamp = parts.get("t", "")
    at = float(stamp) if stamp.isdecimal() and len(stamp) < 16 else 0.0
    return _Signed(parts.get("v1", "").casefold(), stamp, at)


def _zendesk(given: str, headers: Headers) -> _Signed:
    stamp = headers.get("x-zendesk-webhook-signature-timestamp", "")
    try:
        at = datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        at = 0.0
    return _Signed(given, stamp, at)


def _hmac(secret: str, message: bytes) -> bytes:
    return hmac.digest(secret.encode(), message, hashlib.sha256)


def _aftership_expected(secret: str, body: bytes, _stamp: bytes) -> bytes:
    return base64.b64encode(_hmac(secret, body))


def _track17_expected(secret: str, body: bytes, _stamp: bytes) -> bytes:
    return hashlib.sha256(body + b"/" + secret.encode()).hexdigest().encode()


def _easypost_expected(secret: str, body: bytes, _stamp: bytes) -> bytes:
    normal = unicodedata.normalize("NFKD", secret)
    return f"{_EASYPOST}{_hmac(normal, body).hex()}".encode()


def _easypost_v2_expected(secret: str, body: bytes, stamp: bytes) -> bytes:
    return _hmac(unicodedata.normalize("NFKD", secret), stamp + body).hex().encode()


def _shippo_expected(secret: str, body: bytes, stamp: bytes) -> bytes:
    return _hmac(secret, stamp + b"." + body).hex().encode()


def _zendesk_expected(secret: str, body: bytes, stamp: bytes) -> bytes:
    return base64.b64encode(_hmac(secret, stamp + body))


def _token_expected(secret: str, _body: bytes, _stamp: bytes) -> bytes:
    return secret.encode()


def _standard(
    secrets: Sequence[str], headers: Headers, body: bytes, now: float, window_seconds: float
) -> Denied | None:
    """Check as Standard Webhooks say; the library makes the signature, the window is ours."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    given = {name: headers.get(name, "") for name in names}
    if not all(given.values()):
        return Denied.MISSING
    stamp = given["webhook-timestamp"]
    if not stamp.isdecimal() or len(stamp) >= 16:
        return Denied.WRONG
    stale = abs(now - float(stamp)) > window_seconds
    good = [_standard_good(secret, given, body, stamp) for secret in secrets]
    if not any(good):
        return Denied.WRONG
    return Denied.STALE if stale else None


def _standard_good(secret: str, given: dict[str, str], body: bytes, stamp: str) -> bool:
    try:
        at = datetime.fromtimestamp(float(stamp)).astimezone()
        text = body.decode()
        expected = Webhook(secret).sign(given["webhook-id"], at, text).encode()
    except (UnicodeDecodeError, ValueError, OverflowError, WebhookVerificationError, RuntimeError):
        return False
    # A header may hold several signatures, of an old and a new secret.
    offered = given["webhook-signature"].split()
    return any(hmac.compare_digest(expected, each.encode("utf-8", "replace")) for each in offered)


_HEADER: Final = {
    Scheme.AFTERSHIP: "aftership-hmac-sha256",
    Scheme.TRACK17: "sign",
    Scheme.EASYPOST: "x-hmac-signature",
    Scheme.EASYPOST_V2: "x-hmac-signature-v2",
    Scheme.SHIPPO: "shippo-auth-signature",
    Scheme.ZENDESK: "x-zendesk-webhook-signature",
    Scheme.TOKEN: "authorization",
}
_SIGNED: Final[dict[Scheme, Callable[[str, Headers], _Signed]]] = {
    Scheme.AFTERSHIP: _plain,
    Scheme.TRACK17: _hex,
    Scheme.EASYPOST: _hex,
    Scheme.EASYPOST_V2: _easypost_v2,
    Scheme.SHIPPO: _shippo,
    Scheme.ZENDESK: _zendesk,
    Scheme.TOKEN: _bearer,
}
_EXPECTED: Final[dict[Scheme, Callable[[str, bytes, bytes], bytes]]] = {
    Scheme.AFTERSHIP: _aftership_expected,
    Scheme.TRACK17: _track17_expected,
    Scheme.EASYPOST: _easypost_expected,
    Scheme.EASYPOST_V2: _easypost_v2_expected,
    Scheme.SHIPPO: _shippo_expected,
    Scheme.ZENDESK: _zendesk_expected,
    Scheme.TOKEN: _token_expected,
}
DEFAULT_SCHEMES: Final = {
    "aftership": Scheme.AFTERSHIP,
    "17track": Scheme.TRACK17,
    "easypost": Scheme.EASYPOST,
    "shippo": Scheme.SHIPPO,
    "zendesk": Scheme.ZENDESK,
    "freshdesk": Scheme.TOKEN,
}
"""By adapter; all others are Standard Webhooks."""

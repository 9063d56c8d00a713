"""Each provider's signature as documented: right, wrong, missing, old, with a new secret."""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pipeline.ingest.settings import Scheme
from pipeline.ingest.signatures import Denied, verify

NOW = 1_773_000_000.0
BODY = '{"msg":"über"}'.encode()
SECRET = "geheim-Ⅸ-secret"
STANDARD = "whsec_" + base64.b64encode(b"a standard webhooks secret").decode()
Signer = Callable[[str, bytes, float], dict[str, str]]


def mac(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def aftership(secret: str, body: bytes, _at: float) -> dict[str, str]:
    return {"aftership-hmac-sha256": base64.b64encode(mac(secret, body)).decode()}


def track17(secret: str, body: bytes, _at: float) -> dict[str, str]:
    return {"sign": hashlib.sha256(body + b"/" + secret.encode()).hexdigest()}


def easypost(secret: str, body: bytes, _at: float) -> dict[str, str]:
    """As easypost-python's `validate_webhook` does."""
    normal = unicodedata.normalize("NFKD", secret)
    return {"x-hmac-signature": "hmac-sha256-hex=" + mac(normal, body).hex()}


def easypost_v2(secret: str, body: bytes, at: float) -> dict[str, str]:
    """As its help centre describes "Webhook HMAC Validation"."""
    when = format_datetime(datetime.fromtimestamp(at, UTC).replace(tzinfo=None))
    normal = unicodedata.normalize("NFKD", secret)
    signature = mac(normal, f"{when}POST/hooks/easypost".encode() + body).hex()
    return {
        "x-timestamp": when,
        "x-path": "/hooks/easypost",
        "x-hmac-signature-v2": f"hmac-sha256-hex={signature}",
    }


def shippo(secret: str, body: bytes, at: float) -> dict[str, str]:
    signature = mac(secret, b"%d." % at + body).hex()
    return {"shippo-auth-signature": f"t={int(at)},v1={signature}"}


def zendesk(secret: str, body: bytes, at: float) -> dict[str, str]:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = base64.b64encode(mac(secret, stamp.encode() + body)).decode()
    return {
        "x-zendesk-webhook-signature": signature,
        "x-zendesk-webhook-signature-timestamp": stamp,
    }


def standard(secret: str, body: bytes, at: float) -> dict[str, str]:
    when = datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": f"{int(at)}",
        "webhook-signature": Webhook(secret).sign("msg_1", when, body.decode()),
    }


def token(secret: str, _body: bytes, _at: float) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


SIGNERS: dict[Scheme, Signer] = {
    Scheme.AFTERSHIP: aftership,
    Scheme.TRACK17: track17,
    Scheme.EASYPOST: easypost,
    Scheme.EASYPOST_V2: easypost_v2,
    Scheme.SHIPPO: shippo,
    Scheme.ZENDESK: zendesk,
    Scheme.STANDARD: standard,
    Scheme.TOKEN: token,
}
TIMED = (Scheme.EASYPOST_V2, Scheme.SHIPPO, Scheme.ZENDESK, Scheme.STANDARD)


def secret_of(scheme: Scheme) -> str:
    return STANDARD if scheme is Scheme.STANDARD else SECRET


def checked(
    scheme: Scheme, headers: dict[str, str], body: bytes = BODY, secrets: tuple[str, ...] = ()
) -> Denied | None:
    wanted = secrets or (secret_of(scheme),)
    return verify(scheme, wanted, headers, body, now=NOW, window_seconds=300)


@pytest.mark.parametrize("scheme", Scheme)
def test_right_signature_is_believed(scheme: Scheme) -> None:
    """Signed now with the secret."""
    assert checked(scheme, SIGNERS[scheme](secret_of(scheme), BODY, NOW)) is None


@pytest.mark.parametrize("scheme", Scheme)
def test_secret_is_rotated_without_a_gap(scheme: Scheme) -> None:
    """Old and new are both good while both are in the settings, in either order."""
    headers = SIGNERS[scheme](secret_of(scheme), BODY, NOW)
    other = "whsec_" + base64.b64encode(b"another secret of ours").decode()
    assert checked(scheme, headers, secrets=(other, secret_of(scheme))) is None
    assert checked(scheme, headers, secrets=(secret_of(scheme), other)) is None
    assert checked(scheme, headers, secrets=(other,)) is Denied.WRONG


@pytest.mark.parametrize("scheme", [scheme for scheme in Scheme if scheme is not Scheme.TOKEN])
def test_changed_body_is_not_believed(scheme: Scheme) -> None:
    """One byte more."""
    headers = SIGNERS[scheme](secret_of(scheme), BODY, NOW)
    assert checked(scheme, headers, BODY + b" ") is Denied.WRONG


@pytest.mark.parametrize("scheme", Scheme)
def test_unsigned_is_not_believed(scheme: Scheme) -> None:
    """No header at all."""
    assert checked(scheme, {}) is Denied.MISSING


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize("seconds", [-301, 301])
def test_old_and_future_signatures_are_replays(scheme: Scheme, seconds: float) -> None:
    """Rightly signed, at a time outside of the window."""
    headers = SIGNERS[scheme](secret_of(scheme), BODY, NOW + seconds)
    assert checked(scheme, headers) is Denied.STALE


@pytest.mark.parametrize("scheme", TIMED)
def test_time_is_part_of_what_is_signed(scheme: Scheme) -> None:
    """An old webhook with a new time is wrong, not fresh."""
    old = SIGNERS[scheme](secret_of(scheme), BODY, NOW - 9999)
    new = SIGNERS[scheme](secret_of(scheme), BODY, NOW)
    stamp = {
        "shippo-auth-signature",
        "webhook-signature",
        "x-hmac-signature-v2",
        "x-zendesk-webhook-signature",
    }
    mixed = {name: old[name] if name in stamp else new[name] for name in new}
    if scheme is Scheme.SHIPPO:
        mixed = {"shippo-auth-signature": old["shippo-auth-signature"].replace("t=", "t=9")}
    assert checked(scheme, mixed) is Denied.WRONG


def test_either_signature_of_easypost_is_believed_but_no_wrong_second_one() -> None:
    """It sends both: the second one decides where it comes, the strict scheme asks for it."""
    first, second = easypost(SECRET, BODY, NOW), easypost_v2(SECRET, BODY, NOW)
    assert checked(Scheme.EASYPOST, first | second) is None
    assert checked(Scheme.EASYPOST, first) is None
    assert checked(Scheme.EASYPOST, first | easypost_v2(SECRET, BODY, NOW - 900)) is Denied.STALE
    assert checked(Scheme.EASYPOST, first | second | {"x-path": "/other"}) is Denied.WRONG
    assert checked(Scheme.EASYPOST_V2, first) is Denied.MISSING
    assert second["x-timestamp"].endswith(" -0000")


@settings(deadline=None)
@given(st.sampled_from(Scheme), st.text(min_size=1), st.text())
def test_any_header_is_answered(scheme: Scheme, one: str, other: str) -> None:
    """Garbage is wrong, never an error."""
    names = [*SIGNERS[scheme](secret_of(scheme), BODY, NOW)]
    headers = dict.fromkeys(names, one) | {names[-1]: other or one}
    assert checked(scheme, headers) in {Denied.WRONG, Denied.MISSING}


VECTOR = b'{"event":"TRACKING_UPDATED"}'
ZENDESK_STAMP = {"x-zendesk-webhook-signature-timestamp": "2026-03-08T20:00:00Z"}


@pytest.mark.parametrize(
    ("scheme", "secret", "headers"),
    [
        (
            Scheme.AFTERSHIP,
            "as-secret",
            {"aftership-hmac-sha256": "99INP6cYjhkAve6auQ+AbuccPeMTB78vi4nKGJMhWbc="},
        ),
        (
            Scheme.TRACK17,
            "key17",
            {"sign": "bea4502b157fbd0363b8067402085bf89fe45b1a5866a9a997e513c32f8bb22b"},
        ),
        (
            Scheme.EASYPOST,
            "ep-secret",
            {
                "x-hmac-signature": "hmac-sha256-hex="
                "83dfd9c386c4a61400f48854ecdd30f1ad2d61e0d3968209195954ac6397b37b"
            },
        ),
        (
            Scheme.EASYPOST_V2,
            "ep-secret",
            {
                "x-timestamp": "Sun, 08 Mar 2026 20:00:00 -0000",
                "x-path": "/easypost",
                "x-hmac-signature-v2": "hmac-sha256-hex="
                "6c0222f374d128ad38512e2776269c2a898861d5799b126661195712953b9035",
            },
        ),
        (
            Scheme.SHIPPO,
            "sh-secret",
            {
                "shippo-auth-signature": "t=1773000000,v1="
                "cec681b2143d4a23958952b61cdd5926f2b61951a7acea6162b222d1f685e349"
            },
        ),
        (
            Scheme.ZENDESK,
            "zd-secret",
            {"x-zendesk-webhook-signature": "08TZhG8/KLRkmmsdyqe7QgXDHvjj5p1YyguMSM2lNtI="}
            | ZENDESK_STAMP,
        ),
    ],
)
def test_signatures_made_elsewhere(scheme: Scheme, secret: str, headers: dict[str, str]) -> None:
    """Made with openssl, so that signer and checker cannot be wrong together."""
    assert checked(scheme, headers, VECTOR, (secret,)) is None


def test_vector_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    denied = verify(
        Scheme.STANDARD,
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,other v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        now=1614265330,
        window_seconds=300,
    )
    assert denied is None

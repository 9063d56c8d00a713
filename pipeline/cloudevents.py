"""CloudEvents 1.0 on Kafka, binary and structured JSON mode, as an envelope around our events.

Follows the Kafka protocol binding and the JSON event format of the specification (1.0.2): a
`content-type` that begins with `application/cloudevents` means structured mode, otherwise a
`ce_specversion` header means binary mode, otherwise the record is plain JSON. The envelope's
`id` and `time` stand in for the event's own id and `occurred_at` where the data lack them;
everything else of the envelope is checked and then ignored.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from pipeline.limits import MAX_STRING_BYTES, Reason, Refused, scan, shorten, utf8

Headers = Sequence[tuple[str, bytes | None]]

STRUCTURED: Final = "application/cloudevents"
STRUCTURED_JSON: Final = "application/cloudevents+json"


class Kind(NamedTuple):
    """What a topic takes."""

    type: str
    """The attribute `type` without its major version."""
    major: int
    id_field: str
    """Which field of the data `id` stands in for."""


TRACKING: Final = Kind("forewarn.tracking", 1, "event_id")
COMPLAINTS: Final = Kind("forewarn.complaint", 1, "complaint_id")


class _Attributes(msgspec.Struct, frozen=True):
    """What both modes say about an event. Null means unset (JSON event format, 2.2)."""

    specversion: str | None = None
    id: str | None = None
    source: str | None = None
    type: str | None = None
    time: str | None = None
    datacontenttype: str | None = None


class _Envelope(_Attributes, frozen=True):
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | None = None


def is_envelope(headers: Headers) -> bool:
    """Tell whether the headers announce a CloudEvent of either mode."""
    return any(
        name == "ce_specversion" or (name.lower() == "content-type" and _is_structured(value))
        for name, value in headers
    )


def unwrap(headers: Headers, value: bytes, kind: Kind) -> str:
    """Return the data as a JSON object with id and time filled in, or raise `Refused`.

    What it returns has been through the strict pass of `pipeline.limits`.
    """
    content_type = _content_type(headers)
    if not content_type.startswith(STRUCTURED):
        attributes = _from_headers(headers, content_type)
        _check(attributes, kind)
        return _fill(_scanned(value), attributes, kind)
    if content_type != STRUCTURED_JSON:
        raise Refused(Reason.ENVELOPE_INVALID, f"the format {shorten(content_type)} is not read")
    envelope = _open(_scanned(value))
    _check(envelope, kind)
    return _fill(_data(envelope), envelope, kind)


def _is_structured(value: bytes | None) -> bool:
    return value is not None and value[: len(STRUCTURED)].lower() == STRUCTURED.encode()


def _scanned(value: bytes) -> str:
    text = utf8(value)
    scan(text)
    return text


def _content_type(headers: Headers) -> str:
    """Return the media type, without parameters, in lower case; empty where there is none."""
    found = [value or b"" for name, value in headers if name.lower() == "content-type"]
    if len(found) > 1:
        raise Refused(Reason.ENVELOPE_INVALID, "the header content-type is given more than once")
    return _media_type(_text("content-type", found[0]) if found else "")


def _from_headers(headers: Headers, content_type: str) -> _Attributes:
    found: dict[str, str] = {}
    for name, value in headers:
        if name not in _HEADERS or value is None:
            continue
        if name in found:
            raise Refused(Reason.ENVELOPE_INVALID, f"the header {name} is given more than once")
        found[name] = _text(name, value)
    get = found.get
    return _Attributes(
        get("ce_specversion"), get("ce_id"), get("ce_source"), get("ce_type"), get("ce_time"),
        content_type,
    )  # fmt: skip


def _text(name: str, value: bytes) -> str:
    if len(value) > MAX_STRING_BYTES:
        raise Refused(
            Reason.STRING_TOO_LONG,
            f"the header {name} has {len(value)} bytes; at most {MAX_STRING_BYTES}",
        )
    return utf8(value)


def _open(text: str) -> _Envelope:
    try:
        return _decode_envelope(text)
    except msgspec.DecodeError as error:
        raise Refused(Reason.ENVELOPE_INVALID, str(error)) from error


def _data(envelope: _Envelope) -> str:
    has_data = envelope.data is not msgspec.UNSET
    if has_data == (envelope.data_base64 is not None):
        raise Refused(Reason.ENVELOPE_INVALID, "either data or data_base64 is wanted")
    if isinstance(envelope.data, msgspec.Raw):
        return utf8(bytes(envelope.data))
    try:
        return _scanned(base64.b64decode(envelope.data_base64 or "", validate=True))
    except (binascii.Error, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(Reason.ENVELOPE_INVALID, f"data_base64: {error}") from error


def _check(attributes: _Attributes, kind: Kind) -> None:
    """Refuse what is no CloudEvent 1.0, or none of this kind."""
    if attributes.specversion != "1.0":
        raise Refused(
            Reason.ENVELOPE_INVALID,
            f"specversion is {shorten(str(attributes.specversion))}, only '1.0' is read",
        )
    for name in ("id", "source", "type"):
        if not getattr(attributes, name):
            raise Refused(Reason.ENVELOPE_INVALID, f"the attribute {name} is missing or empty")
    _check_type(attributes.type or "", kind)
    content = _media_type(attributes.datacontenttype or "") or "application/json"
    subtype = content.partition("/")[2]
    if subtype != "json" and not subtype.endswith("+json"):
        raise Refused(
            Reason.ENVELOPE_TYPE, f"the data are {shorten(content)}, wanted is application/json"
        )


def _check_type(found: str, kind: Kind) -> None:
    wanted = f"{kind.type}.v{kind.major}"
    if found == wanted:
        return
    stem, _, major = found.rpartition(".v")
    if stem == kind.type and major.isdecimal():
        raise Refused(Reason.UNKNOWN_VERSION, f"type is {shorten(found)}, only {wanted} is known")
    raise Refused(Reason.ENVELOPE_TYPE, f"type is {shorten(found)}, this topic takes {wanted}")


def _fill(data: str, attributes: _Attributes, kind: Kind) -> str:
    """Put the envelope's id and time where the data have none."""
    try:
        fields = _decode_fields(data)
    except msgspec.ValidationError as error:
        raise Refused(Reason.IMPOSSIBLE_VALUE, f"the data: {error}") from error
    except msgspec.DecodeError as error:
        raise Refused(Reason.NOT_JSON, f"the data: {error}") from error
    stand_ins = {kind.id_field: attributes.id, "occurred_at": attributes.time}
    lacking = {
        name: msgspec.Raw(msgspec.json.encode(value))
        for name, value in stand_ins.items()
        if value is not None and bytes(fields.get(name, _NULL)) == b"null"
    }
    if not lacking:
        return data
    return msgspec.json.encode(fields | lacking).decode()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


_HEADERS: Final = frozenset({"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"})
_NULL: Final = msgspec.Raw(b"null")
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

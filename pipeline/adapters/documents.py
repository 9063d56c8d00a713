"""What is around a payload: arrays of documents and CloudEvents in structured mode.

Binary mode needs nothing: over HTTP the payload is the body, and the `ce-…` headers say nothing an
adapter asks for.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from pipeline.adapters.items import Document, Refusal, Row, Unreadable

MAX_DEPTH: Final = 4
"""Arrays and envelopes inside one another; a batch of CloudEvents has two."""
_SPACE: Final = b" \t\r\n"

Payload = TypeVar("Payload")


class _Envelope(msgspec.Struct):
    specversion: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | None = None


_envelope: Final = msgspec.json.Decoder(_Envelope)
_row: Final[msgspec.json.Decoder[dict[str, object]]] = msgspec.json.Decoder(dict[str, object])
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def payloads(document: bytes, depth: int = MAX_DEPTH) -> Iterator[bytes]:
    """Yield the payloads of a document, itself if there is nothing around it.

    Raises `Unreadable` for what cannot be opened.
    """
    start = document.lstrip(_SPACE)[:1]
    wrapped = start == b"{" and b'"specversion"' in document
    if not wrapped and start != b"[":
        yield document
        return
    if depth == 0:
        raise Unreadable(Refusal.WRONG_SHAPE, "arrays or envelopes nested too deep")
    if start == b"[":
        for each in decoded(_array, document):
            yield from payloads(bytes(each), depth - 1)
        return
    envelope = decoded(_envelope, document)
    if envelope.specversion is None:  # the word is somewhere inside
        yield document
        return
    yield from payloads(_data(envelope), depth - 1)


def _data(envelope: _Envelope) -> bytes:
    if isinstance(envelope.data, msgspec.Raw):
        return bytes(envelope.data)
    if envelope.data_base64 is None:
        raise Unreadable(Refusal.WRONG_SHAPE, "a CloudEvent without data")
    try:
        return base64.b64decode(envelope.data_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(Refusal.WRONG_SHAPE, "data_base64 is not Base64") from error


def decoded(decoder: msgspec.json.Decoder[Payload], document: Document) -> Payload:
    """Decode JSON, or a row as if it were.

    Raises `Unreadable`; what it says names the field and never quotes a value.
    """
    try:
        return decoder.decode(_json(document))
    except msgspec.ValidationError as error:
        raise Unreadable(Refusal.WRONG_SHAPE, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(Refusal.NOT_JSON, "not JSON in UTF-8") from error
    except RecursionError as error:
        raise Unreadable(Refusal.WRONG_SHAPE, "nested too deep") from error


def row_of(document: Document) -> Row:
    """Return a row, which JSON gives as an object. Raises `Unreadable`."""
    if not isinstance(document, bytes):
        return document
    return decoded(_row, document)


def _json(document: Document) -> bytes:
    return document if isinstance(document, bytes) else msgspec.json.encode(document)

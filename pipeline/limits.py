"""The limits of the wire, and the strict pass that finds every way a JSON text breaks them.

The strict pass costs several microseconds; `pipeline.records` first asks cheap questions whose
answer is either "certainly fine" or "cannot tell", and comes here only for the second.
"""

import json
import math
import re
from enum import StrEnum
from typing import Any, Final, NoReturn

MAX_RECORD_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
"""Containers inside one another; a flat object has depth 1."""
MAX_STRING_BYTES: Final = 4 * 1024
"""UTF-8 bytes of one string, keys included, after escapes are resolved."""
MAX_AHEAD_SECONDS: Final = 300.0
"""How far ahead of its arrival an event may claim to be: clocks of scanners differ."""
MAX_BEHIND_SECONDS: Final = 366 * 86_400.0
"""How far behind its arrival: a scanner whose clock was reset says 1970 or 2000."""
EARLIEST_SECONDS: Final = 946_684_800.0
"""2000-01-01T00:00:00Z: no event and no arrival is older."""
LATEST_SECONDS: Final = 4_102_444_800.0
"""2100-01-01T00:00:00Z: no event, arrival or promise is as late."""


MAX_DETAIL_CHARACTERS: Final = 500


class Reason(StrEnum):
    """Why a record became a dead letter before any core saw it."""

    NULL_RECORD = "null_record"
    RECORD_TOO_LARGE = "record_too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    STRING_TOO_LONG = "string_too_long"
    NOT_FINITE = "not_finite"
    DUPLICATE_KEY = "duplicate_key"
    MISSING_FIELD = "missing_field"
    IMPOSSIBLE_VALUE = "impossible_value"
    UNSAFE_CHARACTER = "unsafe_character"
    NAIVE_TIMESTAMP = "naive_timestamp"
    UNKNOWN_VERSION = "unknown_version"
    AHEAD_OF_ARRIVAL = "ahead_of_arrival"
    ENVELOPE_INVALID = "envelope_invalid"
    """A CloudEvent that is none: attributes missing, another specversion, not readable."""
    ENVELOPE_TYPE = "envelope_type"
    """A CloudEvent of a type or content type that this topic does not take."""


class Refused(ValueError):
    """A record that cannot be taken: `reason` is for counting, the message for a person.

    The message may quote the record, so it is made safe to print and to encode.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(printable(detail, MAX_DETAIL_CHARACTERS))
        self.reason = reason


def utf8(value: bytes) -> str:
    """Decode, or raise `Refused`."""
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            Reason.NOT_UTF8, f"byte {error.start} is not UTF-8 ({error.reason})"
        ) from error


def scan(text: str) -> None:
    """Raise `Refused` for a text that is not JSON or breaks a limit of form, wherever it does."""
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(text)
    try:
        found = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_float=_finite, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise Refused(
            Reason.NOT_JSON, f"{error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    except Refused:
        raise
    except ValueError as error:  # the interpreter's own limit on the digits of an integer
        raise Refused(Reason.IMPOSSIBLE_VALUE, "a number has over 4300 digits") from error
    if len(text) > MAX_STRING_BYTES // 4:
        _check_strings(found, "$")


_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def _check_depth(text: str) -> None:
    """Count brackets outside strings, without recursion."""
    depth = 0
    for character in _STRING.sub("", text):
        if character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(Reason.TOO_DEEP, f"nested more than {MAX_DEPTH} deep")
        elif character in "}]":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(Reason.DUPLICATE_KEY, f"{shorten(twice)} is given more than once")
    return found


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise Refused(Reason.NOT_FINITE, f"{shorten(literal)} is beyond any finite number")
    return number


def _constant(literal: str) -> NoReturn:
    raise Refused(Reason.NOT_FINITE, f"{literal} is not a finite number")


def _check_strings(found: object, path: str) -> None:
    """Walk at most MAX_DEPTH deep."""
    if isinstance(found, str):
        size = len(found.encode("utf-8", "surrogatepass"))
        if size > MAX_STRING_BYTES:
            raise Refused(
                Reason.STRING_TOO_LONG, f"{path} has {size} bytes; at most {MAX_STRING_BYTES}"
            )
    elif isinstance(found, dict):
        for name, inner in found.items():
            _check_strings(name, f"a key in {path}")
            _check_strings(inner, f"{path}.{shorten(name)}")
    elif isinstance(found, list):
        for index, inner in enumerate(found):
            _check_strings(inner, f"{path}[{index}]")


def shorten(text: str, limit: int = 80) -> str:
    """Quote for a message: printable, at most `limit` characters."""
    return repr(printable(text, limit - 2))


def printable(text: str, limit: int) -> str:
    """Escape what a terminal or an encoder might trip over and cut after `limit` characters."""
    cut = text[: limit + 1]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return cut if len(cut) <= limit else f"{cut[: limit - 1]}…"

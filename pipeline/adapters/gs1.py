"""GS1 keys in EPCIS events: URNs and Digital Links of the same thing become the same number."""

import re
from typing import Final

_SSCC_URN: Final = re.compile(r"urn:epc:id:sscc:(\d{6,12})\.(\d{5,11})")
_SSCC_LINK: Final = re.compile(r"https?://[^\s?#]+/00/(\d{18})(?:[/?#].*)?")
_GLN_URN: Final = re.compile(r"urn:epc:id:sgln:(\d{6,12})\.(\d{0,6})\.([\w.-]{1,20})")
_GLN_LINK: Final = re.compile(r"https?://[^\s?#]+/414/(\d{13})(?:/254/([\w.-]{1,20}))?(?:[?#].*)?")
_CONSIGNMENT: Final = re.compile(r"urn:epc:id:(?:gsin|ginc):([\w.-]{2,64})")
_OTHER_GS1: Final = re.compile(r"urn:epc:|https?://[^\s?#]+/(?:01|8003|8004|8010|253|255)/")
_TAIL: Final = re.compile(r"[^/:#]+$")


def check_digit(digits: str) -> str:
    """Return GS1's check digit: weights 3 and 1 from the right.

    Examples
    --------
    >>> check_digit("10614141234567890")
    '8'
    """
    total = sum(int(d) * (3 if n % 2 == 0 else 1) for n, d in enumerate(reversed(digits)))
    return str(-total % 10)


def logistic_unit(uri: str) -> str | None:
    """Return the number of a parcel, None for products, assets and whatever else EPCIS tracks.

    Examples
    --------
    >>> logistic_unit("urn:epc:id:sscc:0614141.1234567890")
    '106141412345678908'
    >>> logistic_unit("https://id.gs1.org/00/106141412345678908")
    '106141412345678908'
    >>> logistic_unit("urn:epc:id:sgtin:0614141.107346.2018")
    """
    if match := _SSCC_URN.fullmatch(uri):
        prefix, reference = match.groups()
        digits = f"{reference[0]}{prefix}{reference[1:]}"
        return digits + check_digit(digits) if len(digits) == 17 else None
    if match := _SSCC_LINK.fullmatch(uri):
        digits = match[1]
        return digits if check_digit(digits[:-1]) == digits[-1] else None
    if match := _CONSIGNMENT.fullmatch(uri):
        return match[1]
    if _OTHER_GS1.match(uri):
        return None
    tail = _TAIL.search(uri)
    return tail[0] if tail else None


def location(uri: str | None) -> str | None:
    """Return a place's GLN with its extension, or the last part of a URI of one's own.

    Examples
    --------
    >>> (
    ...     location("urn:epc:id:sgln:0614141.00777.0"),
    ...     location("https://id.gs1.org/414/0614141007776"),
    ... )
    ('0614141007776', '0614141007776')
    """
    if uri is None:
        return None
    if match := _GLN_URN.fullmatch(uri):
        digits = match[1] + match[2]
        if len(digits) != 12:
            return None
        return _with_extension(digits + check_digit(digits), match[3])
    if match := _GLN_LINK.fullmatch(uri):
        return _with_extension(match[1], match[2])
    tail = _TAIL.search(uri)
    return tail[0] if tail else None


def _with_extension(gln: str, extension: str | None) -> str:
    return gln if extension in {None, "0"} else f"{gln}.{extension}"

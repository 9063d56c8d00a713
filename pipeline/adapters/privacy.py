"""What may pass: identifiers, names of places, codes. Never whom a parcel is for.

Adapters read only the fields they name, so free text (a courier's message, a ticket's description)
is never looked at. What they do read goes through one of these, because people write e-mail
addresses into order numbers and streets into cities: a value that does not look like what it
should be is dropped, not mended. A name in a city's field cannot be told from a city.
"""

import hashlib
import hmac
import re
import unicodedata
from functools import lru_cache
from typing import Final

from detectors.events import ADDRESS_HASH

_IDENTIFIER: Final = re.compile(r"[^\W_][\w.:/#-]{0,127}")
_PARCEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,63}")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}")
_LABEL: Final = re.compile(r"[^\W_][\w .&'/-]{0,63}")
_LONG_NUMBER: Final = re.compile(r"\d(?:[ ()./-]{0,2}\d){6,}")
"""Seven digits or more, perhaps in groups: a telephone number, if not an identifier."""
_PLACE_CHARACTERS: Final = frozenset(" .,'’-()&")
_PLACE_LENGTH: Final = 60
_REMEMBERED: Final = 4096
"""Answers kept: places, carriers and services repeat from parcel to parcel."""
_SPACES: Final = re.compile(r"\s+")


def parcel_number(text: str | None) -> str | None:
    """Return a tracking number without the spaces people group it with, or None."""
    squeezed = _SPACES.sub("", text or "")
    return squeezed if _PARCEL.fullmatch(squeezed) else None


@lru_cache(_REMEMBERED)
def identifier(text: str | None) -> str | None:
    """Return an order's or a facility's number, None for what may be a person's.

    Examples
    --------
    >>> identifier("#1001"), identifier("a@example.com"), identifier("+49 170 1234567")
    ('1001', None, None)
    """
    found = (text or "").strip().lstrip("#")
    return found if _IDENTIFIER.fullmatch(found) else None


@lru_cache(_REMEMBERED)
def code(text: str | None) -> str | None:
    """Return a short code (a service, an issue), words joined by `_`; None for anything else."""
    joined = "_".join((text or "").split()).casefold()
    return joined if _CODE.fullmatch(joined) and not _LONG_NUMBER.search(text or "") else None


@lru_cache(_REMEMBERED)
def label(text: str | None) -> str | None:
    """Return the name of a carrier or a building; None for what may be an address or a number.

    Examples
    --------
    >>> label("China Post"), label("usps-New York"), label("12 Main Street"), label("0170 1234567")
    ('China Post', 'usps-New York', None, None)
    """
    words = (text or "").split()
    found = " ".join(words)
    bad = not _LABEL.fullmatch(found) or _LONG_NUMBER.search(found) is not None
    return None if bad or (len(words) > 1 and any(map(str.isdecimal, words))) else found


@lru_cache(_REMEMBERED)
def place(text: str | None) -> str | None:
    """Return a city, state or country in one spelling; None if it has digits or is no name.

    Examples
    --------
    >>> place("LAS VEGAS"), place("12 Main Street"), place("a@example.com"), place("São Paulo")
    ('Las Vegas', None, None, 'São Paulo')
    """
    found = " ".join((text or "").split())
    if not found or len(found) > _PLACE_LENGTH:
        return None
    for character in found:
        if character not in _PLACE_CHARACTERS and unicodedata.category(character)[0] not in "LM":
            return None
    return found.title() if len(found) > 3 and (found.isupper() or found.islower()) else found


def looks_personal(text: str) -> bool:
    """Tell whether a value should not be shown: an e-mail address or a long number in it."""
    return "@" in text or _LONG_NUMBER.search(text) is not None


class Pseudonyms:
    """Turns what identifies a customer into a name that says nothing without the key.

    Parameters
    ----------
    key
        At least 16 bytes, kept as long as the data; None drops every customer.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    @property
    def possible(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    def of(self, *candidates: str | None) -> str | None:
        """Return the pseudonym of the first candidate that is not empty.

        E-mail addresses, telephone numbers and ids are folded before, so that the same person is
        the same pseudonym in every source that knows the same thing about them.
        """
        if self._key is None:
            return None
        for candidate in candidates:
            folded = _fold_person(candidate or "")
            if folded:
                digest = hmac.digest(self._key, folded.encode("utf-8", "replace"), hashlib.sha256)
                return f"c-{digest.hex()[:24]}"
        return None

    def address(self, text: str) -> str | None:
        """Return the pseudonym of an address: hexadecimal digits.

        Case, spaces and punctuation do not matter. A street that is abbreviated is another one.

        Examples
        --------
        >>> people = Pseudonyms(b"a key of sixteen bytes")
        >>> people.address("12 Main St, Springfield") == people.address("12 MAIN ST SPRINGFIELD ")
        True
        >>> people.address("12 Main Street") == people.address("21 Main Street")
        False
        """
        folded = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))
        if self._key is None or not folded:
            return None
        # Another kind than customers: one who is called like a street is not at that street.
        return hmac.digest(self._key, f"address\x1f{folded}".encode(), hashlib.sha256).hex()[:24]


def address_hash(text: str) -> str | None:
    """Return a pseudonym of an address that stands there already; None for anything else.

    Examples
    --------
    >>> address_hash("1F00AB5C9D7E"), address_hash("12 Main Street")
    ('1f00ab5c9d7e', None)
    """
    found = text.strip().lower()
    return found if ADDRESS_HASH.fullmatch(found) else None


def _fold_person(text: str) -> str:
    squeezed = _SPACES.sub("", unicodedata.normalize("NFKC", text)).casefold()
    if squeezed.startswith("+"):
        return "+" + "".join(c for c in squeezed if c.isdecimal())
    return squeezed

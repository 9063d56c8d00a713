"""What is a parcel's own, as one string: its id, its order, its customer, a hash of its address."""

from typing import Final, NamedTuple

SEPARATOR: Final = b"\x1f"
"""Between the parts of a text. No id has it: control characters are refused."""
_ADDRESS_DIGITS: Final = 12


class Own(NamedTuple):
    """What is a parcel's own."""

    parcel_id: str
    order_id: str | None = None
    customer_id: str | None = None
    address: str | None = None
    """Twelve hexadecimal digits."""


def packed(
    parcel_id: str,
    order_id: str | None = None,
    customer_id: str | None = None,
    address: str | None = None,
) -> bytes:
    r"""Return it as one string.

    An address is six bytes of a hash at the end, whatever they are, where there is one: seven
    bytes a parcel. Of ten million addresses, fewer than one pair is likely to share them.

    Examples
    --------
    >>> packed("P1", "O1", None, "1f00ab5c9d7e44")
    b'P1\x1fO1\x1f\x1f\x1f\x00\xab\\\x9d~'
    >>> unpacked(packed("P1", "O1", None, "1f00ab5c9d7e44"))
    Own(parcel_id='P1', order_id='O1', customer_id=None, address='1f00ab5c9d7e')
    """
    text = f"{parcel_id}\x1f{order_id or ''}\x1f{customer_id or ''}".encode()
    return text if not address else text + SEPARATOR + bytes.fromhex(address[:_ADDRESS_DIGITS])


def unpacked(text: bytes) -> Own:
    """Return what `packed` was given."""
    parcel_id, order, customer, *address = text.split(SEPARATOR, 3)
    return Own(
        parcel_id.decode(),
        order.decode() or None,
        customer.decode() or None,
        address[0].hex() if address else None,
    )

"""How many pages a state ring should have: it follows the state and the chunks, up and down.

Each chunk writes one page and what it changed; the log keeps both of the last K chunks:

    written a chunk = page + changes          kept = K x (page + changes) = state x (1 + 1 / r)

with r = page / changes. Pages about as large as the changes (r between 0.6 and 2) therefore write
at most three times what changed and keep at most 2.7 times the state. Both sizes are measured, in
bytes, so the count needs to know nothing of rows. Below `LEAST_PAGE_BYTES` a page costs less than
the transaction it is written in.
"""

import math
from typing import Final

FIRST_PAGES: Final = 8
MAX_PAGES: Final = 1 << 20
LEAST_PAGE_BYTES: Final = 32 * 1024
_PAGE_WEIGHT: Final = 0.25
_CHANGES_DECAY: Final = 15 / 16
_SMALL, _LARGE = -0.75, 1.0
"""Bounds of log2 r; what lies between is left alone."""


class PageCount:
    """Follows the sizes of pages and changes.

    Parameters
    ----------
    first
        Least K, a power of two.
    least_page_bytes
        Pages are not made smaller than this.

    Examples
    --------
    >>> count = PageCount()
    >>> count.note(pages=8, page_bytes=4_000_000, changes_bytes=500_000)
    >>> count.wanted(8)
    64
    """

    def __init__(self, first: int = FIRST_PAGES, least_page_bytes: int = LEAST_PAGE_BYTES) -> None:
        self._first = first
        self._least_page_bytes = least_page_bytes
        self._state_bytes: float | None = None
        self._changes = self._squares = 0.0

    def note(self, pages: int, page_bytes: int, changes_bytes: int) -> None:
        """Take the sizes that one chunk wrote."""
        state = float(page_bytes * pages)
        if self._state_bytes is None:
            self._state_bytes = state
        self._state_bytes += _PAGE_WEIGHT * (state - self._state_bytes)
        self._changes = self._changes * _CHANGES_DECAY + changes_bytes
        self._squares = self._squares * _CHANGES_DECAY + changes_bytes**2

    @property
    def _typical(self) -> float:
        """The changes of the chunk that a changed byte comes with: ticks hardly count."""
        return self._squares / self._changes if self._changes else 0.0

    def wanted(self, pages: int) -> int:
        """Return the K to go on with."""
        if not self._state_bytes:
            return pages
        page = max(self._least_page_bytes, self._typical)
        excess = math.log2(self._state_bytes / pages / page)
        if _SMALL < excess < _LARGE:
            return pages
        exponent = round(math.log2(pages) + excess)
        return min(MAX_PAGES, max(self._first, 1 << max(0, exponent)))

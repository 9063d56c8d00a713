"""Tables of a provider's codes: what each means here, and what was never heard of.

A provider says where a parcel is with a coarse code (AfterShip's tag, 17TRACK's status) and most
with a finer one beside it. The finer one wins if it says something, unless the coarse one is
`firm`: an EasyPost tracker in `return_to_sender` that arrives at a facility is still returning.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from detectors.events import Milestone

M: TypeAlias = Milestone

REMEMBERED: Final = 1024
"""Answers kept: a source says the same few values again and again."""
SAME: Final = None
"""A finer code that says no more than the coarse one it comes with."""


class Meaning(NamedTuple):
    """What a code says."""

    milestone: Milestone
    unknown: str | None = None
    """The value that is in no table; the milestone is then the coarse code's or `other`."""
    awaits: bool = False
    """The customer has to act first."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The codes of one provider, as published.

    Parameters
    ----------
    title
        Whose they are, for people.
    source
        Where they are published.
    coarse, fine
        Code → milestone, as the provider writes them; case does not matter. `SAME` in `fine`
        means "as the coarse one".
    firm
        Coarse codes that no finer one overrules.
    awaits
        Codes after which the customer has to act first: papers, duties, a payment.
    """

    title: str
    source: str
    coarse: Mapping[str, Milestone]
    fine: Mapping[str, Milestone | None]
    firm: frozenset[str] = frozenset()
    awaits: frozenset[str] = frozenset()

    def folded(
        self, own: Mapping[str, Milestone] | None = None, awaits: Iterable[str] = ()
    ) -> "Reader":
        """Return what reads codes; `own` are values of a configuration, which win.

        `awaits` are further codes after which the customer has to act first.
        """
        return Reader(self, own or {}, awaits)

    def rows(self) -> Iterable[tuple[str, Milestone | None]]:
        """Yield every published code with its milestone, None for "as the coarse one"."""
        yield from self.coarse.items()
        yield from self.fine.items()

    def says(self) -> frozenset[Milestone]:
        """Return the milestones the vocabulary can express."""
        return frozenset(found for _, found in self.rows() if found is not None)


class Reader:
    """Looks codes up, whatever their case and the spaces around them."""

    def __init__(
        self, vocabulary: Vocabulary, own: Mapping[str, Milestone], awaits: Iterable[str]
    ) -> None:
        self._own = {fold(code): found for code, found in own.items()}
        self._coarse = {fold(code): found for code, found in vocabulary.coarse.items()}
        self._fine = {fold(code): found for code, found in vocabulary.fine.items()}
        self._firm = frozenset(map(fold, vocabulary.firm))
        self._awaits = frozenset(map(fold, (*vocabulary.awaits, *awaits)))
        self._remembered = lru_cache(REMEMBERED)(self._look_up)

    def read(self, coarse: str | None, fine: str | None = None) -> Meaning:
        """Return the meaning of a coarse code and, where there is one, of its finer code.

        Examples
        --------
        >>> words = Vocabulary("A", "-", {"moving": M.OTHER}, {"moving_1": M.ARRIVED})
        >>> words.folded().read("Moving", "moving_1").milestone.value
        'arrived'
        >>> words.folded().read("moving", "moving_9")
        Meaning(milestone=<Milestone.OTHER: 'other'>, unknown='moving_9', awaits=False)
        """
        return self._remembered(coarse, fine)

    def awaits(self, code: str) -> bool:
        """Tell whether after a code the customer has to act first."""
        return fold(code) in self._awaits

    def _look_up(self, coarse: str | None, fine: str | None) -> Meaning:
        awaits = any(code is not None and self.awaits(code) for code in (coarse, fine))
        return self._meaning(coarse, fine)._replace(awaits=awaits)

    def _meaning(self, coarse: str | None, fine: str | None) -> Meaning:
        for code in (fine, coarse):
            if code is not None and fold(code) in self._own:
                return Meaning(self._own[fold(code)])
        base, unknown = self._known(coarse)
        if fine is None:
            return Meaning(base, unknown)
        refined, unheard = self._known(fine)
        if unheard is not None or self._is_firm(coarse) or self._says_no_more(fine):
            return Meaning(base, unheard or unknown)
        return Meaning(refined, unknown)

    def _known(self, code: str | None) -> tuple[Milestone, str | None]:
        """Return what a code says by itself, and the code if nobody knows it."""
        if code is None:
            return M.OTHER, None
        key = fold(code)
        if key in self._coarse:
            return self._coarse[key], None
        if key in self._fine:
            return self._fine[key] or M.OTHER, None
        return M.OTHER, code

    def _is_firm(self, coarse: str | None) -> bool:
        return coarse is not None and fold(coarse) in self._firm

    def _says_no_more(self, fine: str) -> bool:
        """Tell whether a finer code is `SAME`, or a coarse code that says nothing, repeated."""
        key = fold(fine)
        if key in self._fine:
            return self._fine[key] is SAME
        return self._coarse[key] is M.OTHER


def fold(code: str) -> str:
    """Return a code as tables are searched for it."""
    return code.strip().casefold()

"""Which decisions a rule can match, and whether one rule's are another's: sets and spans.

A condition that is left out lets everything through, also what is not known; a span does not.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

from configs.condition_schema import DayRange, Kind, ValueRange, When, has_field, reasons_of

Span = tuple[float, float]
_FIELDS: Final = {
    "carrier": "carrier",
    "region": "region",
    "destination_region": "destination_region",
    "service_level": "service_level",
    "category": "category",
    "fragile": "fragile",
    "value": "declared_value_minor",
    "late_probability_at_least": "late_probability",
    "wrong_probability_at_least": "wrong_probability",
    "days_late": "promised_at",
    "days_in_customs": "customs_since",
}
"""The decision's field each condition looks at."""
_NAMED: Final = ("carrier", "region", "destination_region", "service_level", "category", "weekday")
_BOOLS: Final = ("fragile", "hold_out")

Atom = tuple[Kind, str]
"""A kind and one of its reasons."""


def atoms(when: When) -> Iterator[Atom]:
    """Yield the kinds and reasons a rule is about and can hold for."""
    for kind in when.kind:
        if missing_fields(when, kind):
            continue
        for reason in sorted(reasons_of(kind)):
            if when.reason is None or reason in when.reason:
                yield kind, reason


def missing_fields(when: When, kind: Kind) -> list[str]:
    """Return the conditions that no decision of a kind can meet: it has no such field."""
    return [
        condition
        for condition, field in _FIELDS.items()
        if getattr(when, condition) is not None and not has_field(kind, field)
    ]


def covers(wide: When, narrow: When) -> bool:
    """Whether what meets the narrow rule meets the wide one, too; kind and reason aside."""
    return all(
        _names(wide, name) is None or _within(_names(narrow, name), _names(wide, name))
        for name in (*_NAMED, *_BOOLS)
    ) and all(
        outer is None or (inner is not None and outer[0] <= inner[0] and inner[1] <= outer[1])
        for outer, inner in zip(_spans(wide), _spans(narrow), strict=True)
    )


def meets(one: When, other: When) -> bool:
    """Whether some decision can meet the conditions of both, but for kind and reason."""
    return all(
        first is None or second is None or first & second
        for first, second in ((_names(one, n), _names(other, n)) for n in (*_NAMED, *_BOOLS))
    ) and all(
        first is None or second is None or max(first[0], second[0]) <= min(first[1], second[1])
        for first, second in zip(_spans(one), _spans(other), strict=True)
    )


def _names(when: When, name: str) -> frozenset[object] | None:
    value = getattr(when, name)
    if value is None:
        return None
    return frozenset([value]) if isinstance(value, bool) else frozenset(value)


def _within(inner: frozenset[object] | None, outer: frozenset[object] | None) -> bool:
    return inner is not None and (outer is None or inner <= outer)


def _spans(when: When) -> tuple[Span | None, ...]:
    most, late = when.probability_at_most, when.late_probability_at_least
    wrong = when.wrong_probability_at_least
    return (
        _span(when.value),
        _span(when.days_late),
        _span(when.days_in_customs),
        None if most is None else (-inf, most),
        None if late is None else (late, inf),
        None if wrong is None else (wrong, inf),
    )


def _span(found: ValueRange | DayRange | None) -> Span | None:
    if found is None:
        return None
    low, high = (
        (found.min_minor, found.max_minor)
        if isinstance(found, ValueRange)
        else (found.min, found.max)
    )
    return (-inf if low is None else low, inf if high is None else high)

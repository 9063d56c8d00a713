"""Cases in YAML with virtual time: what happens, and what must be said and asked for.

A case gives scans and complaints, decisions, or both, and expects a list; what is not expected may
not be said. Times are spans after the case's start, such as `72 h`, `30 min` or `8 d`.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, StrictBool, StrictInt, model_validator

from configs.remedy_schema import FollowUp, Form, Person, Upgrade
from configs.sections import Section
from detectors.events import ADDRESS_HASH, Milestone

_UNITS: Final = {"min": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*(min|h|d)")


def _span(value: object) -> object:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a span such as `72 h`, `30 min` or `8 d`")
    return float(found[1]) * _UNITS[found[2]]


MOST_BESIDE: Final = 5000
"""Parcels of a background that follow while a case lasts, at most."""

Span = Annotated[float, BeforeValidator(_span)]
"""Seconds."""
Label = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^/\s]+$")]


class Scan(Section):
    """One scan."""

    at: Span
    """After the start of the case; in a background, of the parcel."""
    milestone: Milestone
    facility: str | None = None
    region: str | None = None


class Journey(Section):
    """What parcels of a case have in common."""

    carrier: Label = "swift"
    origin: Label = "R01"
    destination: Label = "R07"
    scans: Annotated[tuple[Scan, ...], Field(min_length=1)]


class Background(Journey):
    """Healthy parcels before and beside the case, from which the models learn what is usual."""

    parcels: Annotated[StrictInt, Field(ge=1, le=5000)] = 120
    every: Span = 6 * 3600.0
    """One starts so often; so many end before the case starts."""
    spread: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Each takes up to so much shorter or longer."""
    goes_on: StrictBool = True
    """Others follow while the case lasts; false: their carrier falls silent when it starts."""

    @property
    def length(self) -> float:
        """How long one may take, seconds."""
        return self.scans[-1].at * (1 + self.spread)

    def beside(self, end: float) -> int:
        """Return how many follow before a case ends; raises `ValueError` for too many."""
        span = end + self.length
        if not self.goes_on or span < 0:
            return 0
        if span >= MOST_BESIDE * self.every:
            raise ValueError(
                f"a background that goes on has more than {MOST_BESIDE} parcels beside this case: "
                "let one start less often (`every`), or say `goes_on: false`"
            )
        return int(span // self.every) + 1


class Parcel(Journey):
    """A parcel of the case."""

    customer: Label | None = None
    order: Label | None = None
    promised: Span | None = None
    """When it was promised for."""
    value_minor: StrictInt | None = None
    service_level: Label | None = None
    fragile: StrictBool | None = None
    address_hash: Annotated[str, Field(pattern=f"^{ADDRESS_HASH.pattern}$")] | None = None
    """Where it goes: 12 to 64 hexadecimal digits."""


class Complaint(Section):
    """A complaint of the case."""

    at: Span
    customer: Label
    region: Label = "R07"
    issue: str | None = None
    order: Label | None = None
    parcel: Label | None = None


class Asked(Section):
    """What a remedy must be; what is left out may be anything."""

    rule: str | None = None
    template: str | None = None
    amount_minor: StrictInt | None = None
    form: Form | None = None
    validity_days: StrictInt | None = None
    upgrade: Upgrade | None = None
    follow_up: FollowUp | None = None
    campaign: str | None = None
    person: Person | None = None
    hold: str | None = None
    """Why it waits; `none`: it does not."""
    refuse: str | None = None
    """Why it is refused; `none`: it is not."""
    not_before: AwareDatetime | None = None
    """End of the quiet hours it waits for."""


class Expected(Section):
    """One decision that must be made, and what it must ask for."""

    kind: str
    """E.g. `stall.opened`."""
    about: str | None = None
    """The parcel's or the customer's name in the case; the region or carrier of other kinds."""
    reason: str | None = None
    between: tuple[Span, Span] | None = None
    """Earliest and latest moment, both included."""
    asks: Asked | Literal["nothing", "operations"] | None = None
    """None: whatever."""


class Case(Section):
    """What happens, and what must come of it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    start: AwareDatetime = datetime(2026, 3, 2, tzinfo=UTC)
    """A Monday, 08:00 in Shanghai, if it is left out."""
    background: tuple[Background, ...] = ()
    parcels: dict[Label, Parcel] = Field(default_factory=dict)
    complaints: tuple[Complaint, ...] = ()
    decisions: tuple[dict[str, object], ...] = ()
    """Decisions to try policies on: `kind`, `at` and the fields that matter, as on the wire; what
    is left out is that of a sample."""
    until: Span | None = None
    """How long to look; default: to the last thing that happens."""
    expect: tuple[Expected, ...]
    """Empty: nothing may be said."""

    @model_validator(mode="after")
    def _something_happens(self) -> Self:
        if not (self.parcels or self.complaints or self.decisions):
            raise ValueError("needs parcels, complaints or decisions")
        return self

    @model_validator(mode="after")
    def _background_ends(self) -> Self:
        for background in self.background:
            background.beside(self.end)
        return self

    @property
    def end(self) -> float:
        """How long to look, seconds after the start."""
        if self.until is not None:
            return self.until
        last = [scan.at for parcel in self.parcels.values() for scan in parcel.scans]
        return max([*last, *(complaint.at for complaint in self.complaints)], default=0.0)


class Cases(Section):
    """A file of cases."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1)]

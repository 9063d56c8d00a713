"""Strict models of a mapping: how the columns of a table or the fields of JSON become events.

One YAML file for each export or table; `forewarn ingest --from FILE.yaml` reads with it and
`forewarn ingest --learn EXPORT` proposes one. A field is given as the name of a column (in JSON a
path, `a.b.c`), or as a section where more has to be said.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from configs.problems import ConfigError, problems_of
from configs.sections import Name, TimeZone
from configs.source import read_source
from detectors.events import Category, Milestone

_Model = TypeVar("_Model", bound=BaseModel)


def _column(value: object) -> object:
    """Let the name of a column stand for a section that says no more."""
    return {"column": value} if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Column(_Section):
    """Where a field's value stands."""

    column: str | None = None
    """Name of the column; in JSON the path to it, `a.b.c`."""
    columns: tuple[str, ...] | None = None
    """Several columns, joined by a space, e.g. a date and a time."""
    constant: str | None = None
    """The same value in every row."""
    values: dict[str, str] = {}
    """Other names for values: what stands in the column → what it should be here."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(each is not None for each in (self.column, self.columns, self.constant)) != 1:
            raise ValueError("needs exactly one of column, columns and constant")
        return self


class TimeColumn(Column):
    """Where a time stands and how it is written."""

    format: str = "iso"
    """`iso`, `epoch_s`, `epoch_ms`, `epoch_us`, or a format of strptime: `%d.%m.%Y %H:%M`."""
    zone: TimeZone | None = None
    """Zone of times without an offset in this column; without it that of the row's place or of the
    source."""


class MilestoneColumn(Column):
    """Where the status stands and what its values mean."""

    values: dict[str, Milestone] = {}  # type: ignore[assignment]
    """Status → milestone, whatever the case; a status that is not here is `other`, and counted."""
    vocabulary: Literal["aftership", "17track", "easypost", "shippo", "emsevt", "epcis"] | None = (
        None
    )
    """A provider's codes the column holds; `values` win over them."""
    detail: str | None = None
    """Column of the finer code (AfterShip's subtag, …)."""


class CategoryColumn(Column):
    """Where the kind of a complaint stands."""

    values: dict[str, Category] = {}  # type: ignore[assignment]
    """What stands in the column → category; a value that is not here is left out."""


class MoneyColumn(Column):
    """Where an amount stands."""

    unit: Literal["major", "minor"] = "major"
    """`major`: 12.90; `minor`: 1290."""


class CustomerColumn(Column):
    """Where the customer stands."""

    pseudonym: StrictBool = True
    """Replace it by a keyed pseudonym. `false` only for a column that holds pseudonyms already."""


class AddressColumn(Column):
    """Where the address of delivery stands; `columns` for street, number and postcode."""

    pseudonym: StrictBool = True
    """Replace it by a keyed pseudonym. `false` only for a column that holds pseudonyms already: 12
    to 64 hexadecimal digits."""


Text = Annotated[Column, BeforeValidator(_column)]
Time = Annotated[TimeColumn, BeforeValidator(_column)]
Customer = Annotated[CustomerColumn, BeforeValidator(_column)]


class TrackingFields(_Section):
    """Fields of a scan."""

    parcel_id: Text
    """Tracking number."""
    carrier: Text
    """Carrier; a constant where the export is one carrier's."""
    milestone: Annotated[MilestoneColumn, BeforeValidator(_column)]
    """Status."""
    occurred_at: Time
    """When it was scanned."""
    event_id: Text | None = None
    """The source's own id of the scan; without it source, parcel, time and status make one."""
    received_at: Time | None = None
    """When you got it."""
    facility: Text | None = None
    """Code of the building."""
    city: Text | None = None
    """City of the scan; stands in for a facility."""
    region: Text | None = None
    """Region of the scan."""
    order_id: Text | None = None
    """Your order."""
    customer_id: Customer | None = None
    """Your customer, as a pseudonym."""
    origin_region: Text | None = None
    """Region it comes from."""
    destination_region: Text | None = None
    """Region it goes to."""
    promised_at: Time | None = None
    """Promised delivery; a bare date lasts until it ends."""
    declared_value_minor: Annotated[MoneyColumn, BeforeValidator(_column)] | None = None
    """Declared value."""
    service_level: Text | None = None
    """Service booked."""
    supplier_id: Text | None = None
    """Supplier."""
    fragile: Text | None = None
    """true, yes, y or 1 for a fragile parcel."""
    address_hash: Annotated[AddressColumn, BeforeValidator(_column)] | None = None
    """Where it is delivered, as a pseudonym: for `caps.address` of the policies."""
    awaits_customer: Text | None = None
    """true, yes, y or 1 for a scan after which the customer has to act first."""


class ComplaintFields(_Section):
    """Fields of a complaint. Its text is not among them: it would hold personal data."""

    complaint_id: Text
    """The source's id of the complaint."""
    customer_id: Customer
    """Who complained, as a pseudonym."""
    occurred_at: Time
    """When it was made."""
    region: Text
    """Region it is about."""
    received_at: Time | None = None
    """When you got it."""
    order_id: Text | None = None
    """The order it is about."""
    parcel_id: Text | None = None
    """The parcel it is about."""
    carrier: Text | None = None
    """The parcel's carrier."""
    category: Annotated[CategoryColumn, BeforeValidator(_column)] | None = None
    """product, logistics, service or order; without it the words of `issue` decide."""
    issue: Text | None = None
    """Short code of what is wrong."""
    channel: Text | None = None
    """Where it was made."""
    language: Text | None = None
    """Language of the complaint."""
    supplier_id: Text | None = None
    """Supplier."""


class CsvFormat(_Section):
    """How a CSV file is written."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Character between columns; without it the first line decides between comma,
    semicolon, tab and bar."""
    encoding: str = "utf-8-sig"
    """Encoding of the file."""


class Mapping(_Section):
    """A mapping: exactly one of `tracking` and `complaints`."""

    source: Name
    """Name of the source: part of every event's id, so keep it."""
    zone: TimeZone | None = None
    """Zone of times without an offset."""
    zones: dict[str, TimeZone] = {}
    """Zone by facility, city or region, where a source spans several."""
    csv: CsvFormat = CsvFormat()
    tracking: TrackingFields | None = None
    """Each row is a scan."""
    complaints: ComplaintFields | None = None
    """Each row is a complaint."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.tracking is None) == (self.complaints is None):
            raise ValueError("needs exactly one of tracking and complaints")
        return self


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping; raise `ConfigError` with every problem, its line and its field."""
    source = read_source(path)
    try:
        return Mapping.model_validate(source.data)
    except ValidationError as error:
        raise ConfigError(problems_of(error, Mapping, source.place)) from None

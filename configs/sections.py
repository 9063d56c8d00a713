"""What sections of the policies share: strict models, and the types of their fields."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt


class Section(BaseModel):
    """A mapping in a file: unknown keys are errors, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def several(value: object) -> object:
    """Let one name stand for a list of one."""
    return [value] if isinstance(value, str) else value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be a time zone such as Asia/Shanghai") from error
    return name


Minor = Annotated[StrictInt, Field(ge=0, le=10**12)]
PositiveMinor = Annotated[StrictInt, Field(ge=1, le=10**12)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Names = Annotated[tuple[str, ...], BeforeValidator(several), Field(min_length=1)]
Days = Annotated[StrictInt, Field(ge=1, le=3650)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]

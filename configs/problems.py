"""What is wrong with a file or a variable a person wrote, said so that it can be mended.

A problem names the place (file and line, or the environment variable), the field, what was
expected and, where a name was misspelt, the likely one. Values are shown only for plain numbers
and choices, so that no secret can end up in a message.
"""

import difflib
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""

Place = tuple[str, int | None]
"""(file or variable, line from 1 or None)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what was expected, what was probably meant."""

    file: str
    """The file, or the environment variable."""
    line: int | None
    """Counted from 1; None where there is no line."""
    field: str
    """Dotted: `parcels.epoch_seconds`, `policies[2].coupon`; empty for the whole file."""
    expected: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """Return `file:line: field: what was expected; did you mean …?`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(part for part in (place, self.field, self.expected) if part)
        return f"{text}; did you mean `{self.suggestion}`?" if self.suggestion else text


class ConfigError(Exception):
    """Configuration or settings that cannot be used; `problems` says all that is wrong at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def dotted(location: Location) -> str:
    """Return `a.b[2].c`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def problems_of(
    error: ValidationError, model: type[BaseModel], place: Callable[[Location], Place]
) -> list[Problem]:
    """Turn what pydantic found into problems; `place` tells where a location was written."""
    return [_problem(details, model, place) for details in error.errors(include_url=False)]


def _problem(
    details: ErrorDetails, model: type[BaseModel], place: Callable[[Location], Place]
) -> Problem:
    location = _written(details["loc"])
    file, line = place(location)
    suggestion = None
    if details["type"] == "extra_forbidden":
        siblings = known_keys(model, location[:-1])
        suggestion = nearest(str(location[-1]), siblings)
        expected = "unknown key" if suggestion else f"unknown key; known: {', '.join(siblings)}"
    elif details["type"] == "missing":
        expected = "required, but missing"
    elif details["type"] in {"literal_error", "enum"}:
        expected = f"{_expected(details)}, not {details['input']!r}"
        suggestion = _nearest_choice(details)
    else:
        expected = _expected(details)
        if isinstance(details["input"], int | float) or details["type"].endswith("_parsing"):
            expected = f"{expected}, not {details['input']!r}"
    return Problem(file, line, dotted(location), expected, suggestion)


def _written(location: Location) -> Location:
    """Drop the parts pydantic adds for unions and keys, which nobody wrote."""
    return tuple(
        part
        for part in location
        if isinstance(part, int) or not ("[" in part or "(" in part or part.startswith("function-"))
    )


def _expected(details: ErrorDetails) -> str:
    text = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    text = text.split(", unable to parse", 1)[0].replace("should be", "must be", 1)
    return text[:1].lower() + text[1:]


def _nearest_choice(details: ErrorDetails) -> str | None:
    choices = str(details.get("ctx", {}).get("expected", ""))
    known = choices.replace("'", "").replace(" or ", ", ").split(", ")
    return nearest(str(details["input"]), known)


def known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that may stand at a location; empty where anything may."""
    here: type[BaseModel] | None = model
    for part in location:
        if here is None:
            return []
        if isinstance(part, str) and part in here.model_fields:
            here = model_in(here.model_fields[part].annotation)
    return list(here.model_fields) if here else []


def model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model inside an annotation such as `list[Rule] | None`."""
    arguments = typing.get_args(annotation)
    if not arguments and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in arguments if (found := model_in(part))), None)

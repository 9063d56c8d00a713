"""What customers are told, in English and Chinese: one file a text, its first line the subject.

Texts are `string.Template`s over a closed set of placeholders; values are put in as they are and
never read as templates themselves.
"""

from functools import cache
from importlib import resources
from string import Template
from typing import Final

import msgspec

LANGUAGES: Final = ("en", "zh")
PLACEHOLDERS: Final = frozenset({"parcel", "carrier", "amount", "validity_days"})


class Text(msgspec.Struct, frozen=True):
    """One message in one language."""

    subject: str
    body: str


def render(name: str, values: dict[str, str]) -> dict[str, Text]:
    """Return a template in every language; raises `KeyError` for a placeholder without a value."""
    return {language: _filled(name, language, values) for language in LANGUAGES}


def _filled(name: str, language: str, values: dict[str, str]) -> Text:
    subject, body = load(name, language)
    return Text(subject.substitute(values), body.substitute(values))


@cache
def load(name: str, language: str) -> tuple[Template, Template]:
    """Return subject and body of a shipped text; raises `FileNotFoundError`."""
    file = resources.files(__name__) / f"{name}.{language}.txt"
    subject, _, body = file.read_text("utf-8").partition("\n")
    return Template(subject), Template(body.strip())

"""A message to a customer, and its two forms: plain text and HTML.

The parts of a letter are finished text in one language; a layout only sets them. HTML is escaped by
Jinja2, and has no image, script, link or anything else from outside.
"""

from functools import cache
from importlib import resources
from typing import Final

import msgspec
from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one customer is told in one language: the apology first, the gift last."""

    subject: str
    hello: str
    paragraphs: tuple[str, ...]
    rows: tuple[tuple[str, str], ...] = ()
    """Facts: what, and how it is."""
    doing_title: str = ""
    doing: tuple[str, ...] = ()
    """What is done for the customer."""
    gift_title: str = ""
    amount: str = ""
    """Money, e.g. `¥5`; empty without a gift."""
    gift_text: str = ""
    bye: str
    footer: str


def as_text(letter: Letter) -> str:
    """Return the plain text, without its subject: blocks with an empty line between them.

    Not a template: every remedy has one in each language, and there is nothing to escape.
    """
    blocks = [letter.hello, *letter.paragraphs]
    if letter.rows:
        blocks.append("\n".join(f"{label}: {value}" for label, value in letter.rows))
    if letter.doing:
        blocks.append("\n".join([letter.doing_title, *(f"- {line}" for line in letter.doing)]))
    if letter.gift_title:
        blocks.append(f"{letter.gift_title}: {letter.amount}\n{letter.gift_text}")
    blocks += [letter.bye, f"--\n{letter.footer}\n"]
    return "\n\n".join(blocks)


def as_html(letter: Letter, language: str) -> str:
    """Return the HTML document."""
    return _layout("layout.html.j2").render(letter=letter, language=language)


_FOLDER: Final = resources.files("sinks") / "templates"


@cache
def _layout(name: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string((_FOLDER / name).read_text("utf-8"))

"""docs/vocabularies.md: every published value and what it means here, from the tables."""

from collections.abc import Iterator
from typing import Final

from detectors.events import Milestone
from pipeline.adapters.table import VOCABULARIES
from pipeline.adapters.vocabulary import Vocabulary

_HEAD: Final = """\
# Vocabularies

Generated from the tables in `pipeline/adapters` by `python -m pipeline.reference`; a test keeps
it true. A finer value wins over the coarse one it comes with, unless the coarse one is marked
*firm*; "as its status" says no more than the coarse one. A value that is not here is `other`, or
what its coarse value says, and is counted: `forewarn ingest --unknown` lists such values. `values`
of a source in the settings, or of a mapping, win over these tables. After a value that *waits for
the customer* (`awaits_customer` of a source names more) neither a silence nor customs' seven days
count.

What a vocabulary **cannot say** is lost when events are expressed in it; no reader brings it back.
"""


def vocabularies() -> str:
    """Return the page."""
    parts = [_HEAD, *_overview()]
    for name, vocabulary in VOCABULARIES.items():
        parts += list(_section(name, vocabulary))
    return "\n".join(parts).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield "| milestone | " + " | ".join(v.title for v in VOCABULARIES.values()) + " |"
    yield "|---|" + "---|" * len(VOCABULARIES)
    for milestone in Milestone:
        cells = ("yes" if milestone in v.says() else "–" for v in VOCABULARIES.values())
        yield f"| `{milestone}` | " + " | ".join(cells) + " |"
    yield ""


def _section(name: str, vocabulary: Vocabulary) -> Iterator[str]:
    unsaid = [f"`{each}`" for each in Milestone if each not in vocabulary.says()]
    yield f"## {vocabulary.title} (`--from {name}`)\n"
    yield f"Source: {vocabulary.source}. Cannot say: {', '.join(unsaid) or 'nothing'}.\n"
    yield "| value | milestone |"
    yield "|---|---|"
    for code, milestone in vocabulary.rows():
        firm = " (firm)" if code in vocabulary.firm else ""
        firm += " (waits for the customer)" if code in vocabulary.awaits else ""
        meaning = "as its status" if milestone is None else f"`{milestone}`"
        yield f"| `{code}` | {meaning}{firm} |"
    yield ""
